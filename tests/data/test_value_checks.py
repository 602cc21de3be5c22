"""Statistics of another unit than the files' are said before a model learns from a constant."""

import numpy as np
import pytest

from imrsf_d2.data import value_checks
from imrsf_d2.data.windows import read_windows
from imrsf_d2.modalities import Modality

S2 = Modality("s2", 1, mean=(1353.3,), std=(242.1,), clip=(0, 10000))


RADAR = Modality("s1", 1, mean=(-8.0,), std=(3.0,), transform="db", clip=(-25, 12))


def check_values(samples, modalities):
    value_checks.check_values(read_windows(samples, modalities), modalities)


def files(folder, write_raster, values, **profile):
    return [
        {"s2": str(write_raster(folder / f"{number}.tif", array, **profile)), "dem": None}
        for number, array in enumerate(values)
    ]


def test_reflectance_under_statistics_of_reflectance_times_10000(tmp_path, write_raster, caplog):
    reflectance = np.random.default_rng(0).normal(0.135, 0.024, (3, 16, 16)).astype(np.float32)
    check_values(files(tmp_path, write_raster, reflectance), [S2])
    (message,) = caplog.messages
    # (0.135 - 1353.3) / 242.1 = -5.59
    assert (
        "in the 3 files looked at" in message
        and "around -5.59 standard deviations from the mean (MEAN 1353.3, STD 242.1)" in message
    )


def test_heights_above_sea_level_under_statistics_of_heights_above_ground(tmp_path, write_raster, caplog):
    """They vary as they should, but a config that lists modalities keeps its own statistics."""
    heights = np.random.default_rng(0).normal(431, 3, (2, 16, 16)).astype(np.float32)
    ground = Modality("dsm", 1, mean=(5.0,), std=(7.6,))
    samples = [{"dsm": sample["s2"]} for sample in files(tmp_path, write_raster, heights)]
    check_values(samples, [ground])
    assert "around 56" in caplog.text and "those of a dataset.yaml are taken by one that lists none" in caplog.text


@pytest.mark.parametrize(
    "values",
    [
        lambda rng: rng.normal(1353, 242, (3, 16, 16)),
        lambda rng: np.zeros((2, 16, 16)) + 1300,  # flat, but not far
        lambda rng: rng.normal(4000, 242, (3, 16, 16)),  # far, but not flat: snow
        lambda rng: np.full((2, 16, 16), np.nan),
    ],
    ids=["fitting", "flat", "bright", "empty"],
)
def test_what_fits_or_is_merely_unusual_is_not_mentioned(values, tmp_path, write_raster, caplog):
    check_values(files(tmp_path, write_raster, values(np.random.default_rng(0)).astype(np.float32)), [S2])
    check_values([{"s2": str(tmp_path / "gone.tif")}], [S2])
    assert not caplog.messages


def test_values_are_compared_after_transform_and_clip(tmp_path, write_raster, caplog):
    power = np.full((16, 16), 1e9, np.float32)
    power[:2] = 0.0  # no echo: left out
    check_values([{"s1": str(write_raster(tmp_path / "a.tif", power))}], [RADAR])
    assert "around 6.67 standard deviations from the mean (MEAN -8, STD 3)" in caplog.text  # (12 + 8) / 3, not (90 + 8) / 3
