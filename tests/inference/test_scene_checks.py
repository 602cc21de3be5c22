"""Values that a model would take for something else are said; those of the training data, and odd ground, are not."""

import re

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from imrsf_d2.inference.opening import open_sensors
from imrsf_d2.inference.scene_checks import check_scene_values
from imrsf_d2.inference.sensors import NamedRasters, SceneArray
from imrsf_d2.modalities import Modality, ModalitySet
from tests.inference.scene_files import LEFT, TOP, UTM, write

MODALITIES = ModalitySet(
    [
        Modality("rgb", 3, mean=(110, 115, 105), std=(50, 48, 52)),
        Modality("dsm", 1, mean=(5,), std=(6,), clip=(-100, 500)),
        Modality("sar", 1, mean=(-12,), std=(4,), transform="db", clip=(-30, 10)),
        Modality("dem", 1),
        Modality("lulc", classes=5),
    ]
)
PLACE = from_origin(LEFT, TOP, 1, 1)


def warnings(caplog, sensor, bands, nodata=None, **where):
    caplog.clear()
    rasters = NamedRasters(MODALITIES, {sensor: SceneArray(bands, PLACE, UTM, nodata)})
    check_scene_values(open_sensors(MODALITIES, rasters, **where))
    return [record.getMessage() for record in caplog.records]


def rgb(rng):
    return rng.integers(1, 256, (3, 300, 400)).astype(np.uint8)


def heights(rng):
    """Flat ground and some buildings."""
    return np.where(rng.random((300, 400)) < 0.2, rng.normal(12, 4, (300, 400)), 0).astype(np.float32)


def test_values_like_those_of_the_training_data_are_nothing_to_speak_of(rng, caplog):
    assert not warnings(caplog, "rgb", rgb(rng)) and not warnings(caplog, "dsm", heights(rng))
    assert not warnings(caplog, "dsm", np.zeros((300, 400), np.float32))  # no building at all
    assert not warnings(caplog, "sar", rng.gamma(2, 0.05, (300, 400)).astype(np.float32))
    assert not warnings(caplog, "dem", 5000 + heights(rng))  # of a model that does not normalize it
    assert not warnings(caplog, "lulc", np.full((300, 400), 3, np.uint8))


@pytest.mark.parametrize(
    "sensor, change", [("rgb", lambda a: a / 255), ("rgb", lambda a: a * 257.0), ("dsm", lambda a: a * 100 + 9e4)]
)
def test_values_in_another_unit_are_said(rng, caplog, sensor, change):
    bands = rgb(rng) if sensor == "rgb" else heights(rng)
    (said,) = warnings(caplog, sensor, change(bands).astype(np.float32))
    assert said.startswith(f"Modality '{sensor}': half of the values of band 1 lie within ") and "SCALE" in said


@pytest.mark.parametrize(
    "sensor, value, said",
    [
        ("rgb", 0, r"all bands are 0 in 1\d"),
        ("dsm", -9999, "are -9999"),
        ("sar", -32768, "are -32768"),
        ("dem", -9999, "are -9999"),
    ],
)
def test_no_data_that_nothing_marks_is_said_and_marked_it_is_not(rng, caplog, sensor, value, said):
    bands = rgb(rng) if sensor == "rgb" else heights(rng) if sensor != "sar" else rng.gamma(2, 0.05, (300, 400))
    bands = bands.astype(np.float32)
    bands[..., :60] = value
    (found,) = warnings(caplog, sensor, bands)
    assert f"Modality '{sensor}'" in found and f"gdal_edit.py -a_nodata {value} " in found
    assert re.search(said, found)
    assert not warnings(caplog, sensor, bands, nodata=value)


LEAST_FLOAT = np.finfo(np.float32).min


@pytest.mark.parametrize(
    "dtype, value, scale, text",
    [
        (np.float32, LEAST_FLOAT, 1, "-3.4028234663852886e+38"),
        (np.float32, np.float32(-1e5 - 0.1), 1, "-100000.1"),
        (np.float64, -1.23456789012e30, 1, "-1.23456789012e+30"),
        (np.int32, -99_999_999, 1, "-99999999"),  # -100000000 in float32, which is what is looked at
        (np.int16, -9999, 0.1, "-9999"),  # -999.9 m
    ],
)
def test_the_value_to_mark_is_what_the_files_hold_to_the_digit(tmp_path, rng, caplog, dtype, value, scale, text):
    bands = (heights(rng) / scale).astype(dtype)
    bands[:, :60] = value
    path = write(tmp_path / "dsm.tif", bands, PLACE)
    with rasterio.open(path, "r+") as file:
        file.scales = (scale,)

    def said(**more):
        caplog.clear()
        modalities = ModalitySet([Modality("dsm", 1, mean=(5,), std=(6,), clip=(-100, 500), **more)])
        check_scene_values(open_sensors(modalities, NamedRasters(modalities, {"dsm": str(path)})))
        return caplog.messages

    (message,) = said()
    assert f"gdal_edit.py -a_nodata {text} FILE" in message and f"set NODATA: {text} in" in message
    assert not said(nodata=float(text))
    with rasterio.open(path, "r+") as file:
        file.nodata = float(text)
    assert not said()


def test_only_what_the_map_shows_counts(rng, caplog):
    bands = heights(rng)
    bands[:, 150:] = -9999
    assert warnings(caplog, "dsm", bands)
    assert not warnings(caplog, "dsm", bands, bounds=(LEFT, TOP - 200, LEFT + 150, TOP))


def test_decibels_are_refused_where_power_is_taken(rng, caplog):
    with pytest.raises(ValueError, match="'sar' has TRANSFORM: db.*these look like decibels"):
        warnings(caplog, "sar", rng.normal(-12, 4, (300, 400)).astype(np.float32))
