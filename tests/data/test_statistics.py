"""Statistics against float64 NumPy over all valid pixels put together."""

import numpy as np
import pytest
import rasterio
import yaml
from detectron2.data import DatasetCatalog
from rasterio.transform import from_origin

from imrsf_d2.data.statistics import Moments, compute_statistics, dataset_statistics, modalities_yaml
from imrsf_d2.modalities import Modality, ModalitySet
from tests.raster_files import MODALITIES, write_raster_file
from tests.tiny import REPOSITORY

SET = ModalitySet(map(Modality.from_mapping, MODALITIES))
ENTRIES = [*MODALITIES, {"NAME": "dnw", "CLASSES": 4}]
WITH_MAP = ModalitySet(map(Modality.from_mapping, ENTRIES))


# --- moments


def test_merging_in_any_order_gives_the_moments_of_all():
    rng = np.random.default_rng(0)
    # Parts of different sizes, levels and spreads, an empty one among them, far from zero beside their spread.
    parts = [rng.normal(1e6 + 5 * i, 0.1 + i, (3, n)) for i, n in enumerate([1, 7, 0, 4000, 50, 3])]
    everything = np.concatenate(parts, axis=1)
    moments = [Moments.of(part) for part in parts]
    forwards, backwards = moments[0], moments[-1]
    for other in moments[1:]:
        forwards = forwards.merge(other)
    for other in moments[-2::-1]:
        backwards = other.merge(backwards)
    for merged in (forwards, backwards):
        assert merged.count == everything.shape[1] == 4061
        np.testing.assert_allclose(merged.mean, everything.mean(axis=1), rtol=1e-14)
        np.testing.assert_allclose(merged.std, everything.std(axis=1), rtol=1e-9)


def test_by_hand():
    merged = Moments.of(np.array([[1.0, 3.0]])).merge(Moments.of(np.array([[5.0]])))
    assert (merged.count, merged.mean.tolist(), merged.m2.tolist()) == (3, [3.0], [8.0])
    assert merged.std == pytest.approx((8 / 3) ** 0.5)


def test_of_nothing():
    nothing = Moments.of(np.empty((2, 0)))
    assert nothing.merge(nothing).count == 0 and np.isnan(nothing.std).all()
    some = Moments.of(np.array([[1.0, 2.0], [3.0, 5.0]]))
    for merged in (nothing.merge(some), some.merge(nothing)):
        np.testing.assert_array_equal([merged.mean, merged.m2], [some.mean, some.m2])


# --- files


@pytest.fixture
def samples(tmp_path):
    """Three tiles of different sizes and brightness, with invalid pixels of every kind; and the valid ones, float64."""
    rng = np.random.default_rng(3)
    samples, valid = [], {"sar": [], "rgb": [], "dsm": [], "dnw": []}
    for i, size in enumerate([(16, 16), (24, 8), (5, 7)]):
        power = rng.gamma(2.0, 0.02 * 10**i, size).astype(np.float32)  # from below the clip to above it
        power[0, :3], power[1, :3] = np.nan, 0.0
        sar = 10 * np.log10(power[(power > 0)].astype(np.float64))
        valid["sar"].append(np.clip(sar, -25, 12)[None])

        rgb = rng.integers(0, 60 * (i + 1), (3, *size), dtype=np.uint8)
        rgb[:, 2] = 0
        rgb[0, 3] = 0  # only one band is black: still valid
        valid["rgb"].append(rgb[:, rgb.any(axis=0)].astype(np.float64))

        dsm = rng.uniform(0, 10**i, size).astype(np.float32)
        dsm[:, 0] = -9999
        valid["dsm"].append(dsm[:, 1:].reshape(1, -1).astype(np.float64))

        classes = rng.integers(0, 3, size, dtype=np.uint8)  # class 3 never occurs
        valid["dnw"].append(classes.reshape(1, -1).astype(np.float64))
        arrays = {"sar": (power, None), "rgb": (rgb, None), "dsm": (dsm, -9999), "dnw": (classes, None)}
        samples.append(
            {
                name: str(write_raster_file(tmp_path / f"{i}_{name}.tif", array, nodata=nodata))
                for name, (array, nodata) in arrays.items()
            }
        )
    return samples, {name: np.concatenate(parts, axis=1) for name, parts in valid.items()}


def test_statistics_are_those_of_all_valid_pixels_together(samples):
    paths, valid = samples
    found = compute_statistics(paths, WITH_MAP, num_workers=1)
    for name, values in valid.items():
        assert found[name].moments.count == values.shape[1]
        # The model's units are float32, so the logarithm of a power is too; the sums are not.
        tolerance = 1e-6 if name == "sar" else 1e-12
        np.testing.assert_allclose(found[name].moments.mean, values.mean(axis=1), rtol=tolerance)
        np.testing.assert_allclose(found[name].moments.std, values.std(axis=1), rtol=tolerance)
        assert (found[name].pixels, found[name].files, found[name].missing) == (16 * 16 + 24 * 8 + 5 * 7, 3, 0)
    np.testing.assert_array_equal(found["dnw"].classes, [*np.bincount(valid["dnw"][0].astype(int)), 0])


def test_the_variance_is_pooled_not_a_mean_over_images(tmp_path):
    # Two flat tiles: within each nothing varies, all together do.
    paths = [
        {"dsm": str(write_raster_file(tmp_path / f"{height}.tif", np.full((8, 8), height, np.float32)))} for height in (2, 8)
    ]
    moments = compute_statistics(paths, SET, num_workers=1)["dsm"].moments
    assert (moments.mean, moments.std) == ([5.0], [3.0])


def test_the_configured_mean_plays_no_part(samples):
    # Invalid pixels are read as the mean; a wrong one must not leak into the statistics.
    shifted = ModalitySet(Modality.from_mapping({**entry, "MEAN": [1e6] * entry["CHANNELS"]}) for entry in MODALITIES)
    ours, theirs = (compute_statistics(samples[0], each, num_workers=1) for each in (SET, shifted))
    for name in SET.names:
        np.testing.assert_array_equal(ours[name].moments.mean, theirs[name].moments.mean)


def test_the_number_of_processes_changes_nothing(samples):
    one, two = (compute_statistics(samples[0], SET, num_workers=number) for number in (1, 2))
    for name in SET.names:
        np.testing.assert_array_equal(one[name].moments.m2, two[name].moments.m2)
        np.testing.assert_array_equal(one[name].moments.mean, two[name].moments.mean)


def test_unreadable_files_are_listed_and_missing_ones_counted(samples, tmp_path):
    (first, second, third), valid = samples
    bad = tmp_path / "bad.tif"
    bad.write_bytes(b"II*\0")
    found = compute_statistics(
        [first, {**second, "dsm": str(bad)}, {**third, "sar": None}, {"rgb": third["rgb"]}], SET, num_workers=1
    )
    dsm, sar = found["dsm"], found["sar"]
    assert (dsm.files, dsm.missing, len(dsm.unreadable)) == (2, 1, 1) and str(bad) in dsm.unreadable[0]
    assert (sar.files, sar.missing, sar.unreadable) == (2, 2, [])
    assert dsm.moments.count == (16 * 15) + 5 * 6
    text = modalities_yaml(MODALITIES, found)
    assert "# dsm: 2 tiles, 1 without this sensor, 1 unreadable, 92.8% of the pixels valid\n" in text


def test_if_no_file_of_a_modality_can_be_read_it_is_an_error(samples, tmp_path):
    bad = tmp_path / "bad.tif"
    bad.write_bytes(b"")
    with pytest.raises(ValueError, match=r"none of the 3 files of 'dsm' can be read, e.g.: cannot read .*bad\.tif"):
        compute_statistics([{**sample, "dsm": str(bad)} for sample in samples[0]], SET, num_workers=1)


def test_a_file_that_contradicts_the_config_is_an_error(samples):
    (first, second, _), _ = samples
    with pytest.raises(ValueError, match="has 3 bands, expected 1 for modality 'dsm'"):
        compute_statistics([first, {**second, "dsm": second["rgb"]}], SET, num_workers=1)
    with pytest.raises(ValueError, match="there is no sample"):
        compute_statistics([], SET)


def test_datasets_are_found_by_name(samples):
    DatasetCatalog.register("statistics_a", lambda: [{"file_name": "a", "modalities": samples[0][0]}])
    DatasetCatalog.register("statistics_b", lambda: [{"modalities": sample} for sample in samples[0][1:]])
    DatasetCatalog.register("statistics_foreign", lambda: [{"file_name": "cat.jpg"}])
    try:
        both = dataset_statistics(["statistics_a", "statistics_b"], SET, num_workers=1)
        direct = compute_statistics(samples[0], SET, num_workers=1)
        assert both["dsm"].moments.mean == direct["dsm"].moments.mean and both["dsm"].files == 3
        with pytest.raises(
            ValueError, match=r"no sample of \['statistics_a'\] has any of the model's modalities \['lidar'\]"
        ):
            dataset_statistics(["statistics_a"], ModalitySet([Modality("lidar")]), num_workers=1)
        with pytest.raises(ValueError, match=r"the modality 'lidar', while .* the dataset's 'dnw', 'dsm', 'sar'"):
            dataset_statistics(["statistics_a"], ModalitySet([Modality("rgb", 3), Modality("lidar")]), num_workers=1)
        with pytest.raises(ValueError, match="1 of 2 samples of .* have no 'modalities', e.g. 'cat.jpg'"):
            dataset_statistics(["statistics_a", "statistics_foreign"], SET)
        with pytest.raises(
            ValueError, match="'nowhere', which is not registered; imrsf_d2 registers .*dfc2023_track2_train"
        ):
            dataset_statistics(["nowhere"], SET)
    finally:
        for name in ("statistics_a", "statistics_b", "statistics_foreign"):
            DatasetCatalog.remove(name)


@pytest.fixture
def radar(tmp_path):
    """Two tiles of two bands in decibels, and the paths of the same as power."""
    rng = np.random.default_rng(5)
    decibels = rng.normal([[[-10]], [[-24]]], 3, (2, 2, 20, 30)).astype(np.float32)
    paths = [{"s1": str(write_raster_file(tmp_path / f"{i}.tif", 10 ** (tile / 10)))} for i, tile in enumerate(decibels)]
    return decibels, paths


def test_what_the_clip_cuts_is_counted_in_each_band_and_too_much_is_a_warning(radar, caplog):
    decibels, paths = radar
    entry = {"NAME": "s1", "CHANNELS": 2, "TRANSFORM": "db", "CLIP": [-25, -6]}
    found = compute_statistics(paths, ModalitySet([Modality.from_mapping(entry)]), num_workers=1)["s1"]
    values = decibels.transpose(1, 0, 2, 3).reshape(2, -1)
    below, above = (values < -25).sum(axis=1), (values > -6).sum(axis=1)
    np.testing.assert_array_equal(found.cut, [below, above])
    np.testing.assert_allclose(found.moments.mean, np.clip(values, -25, -6).mean(axis=1), rtol=1e-5)
    assert below[0] == 0 and 300 < below[1] < 500 and above[0] > 90
    shares = f"{0:.1%}/{below[1] / 1200:.1%} below; {above[0] / 1200:.1%}/{above[1] / 1200:.1%} above"
    (record,) = caplog.records
    assert record.getMessage().startswith(
        "CLIP [-25.0, -6.0] of modality 's1' cuts more than 1% of a band's valid pixels: " + shares
    )
    assert f"# s1: 2 tiles, 100.0% of the pixels valid, CLIP cuts {shares}\n" in modalities_yaml([entry], {"s1": found})


def test_a_clip_that_cuts_little_is_no_warning(radar, caplog):
    entry = {"NAME": "s1", "CHANNELS": 2, "TRANSFORM": "db", "CLIP": [-40, 25]}
    compute_statistics(radar[1], ModalitySet([Modality.from_mapping(entry)]), num_workers=1)
    assert not caplog.records


def test_files_in_decibels_are_counted_and_the_yaml_says_what_to_do(radar, tmp_path):
    decibels, paths = radar
    wrong = {"s1": str(write_raster_file(tmp_path / "decibels.tif", decibels[0]))}
    entry = {"NAME": "s1", "CHANNELS": 2, "TRANSFORM": "db"}
    found = compute_statistics([*paths, wrong], ModalitySet([Modality.from_mapping(entry)]), num_workers=1)
    assert found["s1"].decibels == 1
    assert "1 with most values below 0: these look like decibels: TRANSFORM: none" in modalities_yaml([entry], found)
    DatasetCatalog.register("statistics_decibels", lambda: [{"modalities": wrong}])
    try:
        with pytest.raises(ValueError, match="these look like decibels: TRANSFORM: none"):
            dataset_statistics(["statistics_decibels"], ModalitySet([Modality.from_mapping(entry)]), num_workers=1)
    finally:
        DatasetCatalog.remove("statistics_decibels")


def test_statistics_are_of_scaled_values(tmp_path):
    path = write_raster_file(
        tmp_path / "dem.tif",
        np.array([[100, 300, -9999]], np.int16),
        nodata=-9999,
        crs="EPSG:32631",
        transform=from_origin(5e5, 5e6, 10, 10),
    )
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets = [0.1], [5.0]
    moments = compute_statistics([{"dsm": str(path)}], SET, num_workers=1)["dsm"].moments
    np.testing.assert_allclose((moments.mean, moments.std), ([25.0], [10.0]), rtol=1e-6)


# --- YAML


def flat(mean, std, entry, files=1):
    """The text for statistics with this mean and deviation in each band."""
    values = np.stack([np.array([m - s, m + s]) for m, s in zip(mean, std)])
    name = entry["NAME"]
    found = compute_statistics([{}], ModalitySet([Modality.from_mapping(entry)]), num_workers=1)[name]
    changed = type(found)(Moments.of(values), found.classes, pixels=4, files=files)
    return modalities_yaml([entry], {name: changed})


def test_the_yaml_replaces_mean_and_std_alone():
    text = flat(
        [81.16667, 87.8, 71.9],
        [41.2512, 37.0701, 37.43],
        {"NAME": "rgb", "CHANNELS": 3, "MEAN": [0, 0, 0], "STD": [1, 1, 1], "NODATA": 0},
    )
    assert text == (
        "MODEL:\n  IMRSF:\n    MODALITIES:\n"
        "      # rgb: 1 tiles, 50.0% of the pixels valid\n"
        "      - {NAME: rgb, CHANNELS: 3, MEAN: [81.17, 87.8, 71.9], STD: [41.25, 37.07, 37.43], "
        "NODATA: 0}\n"
    )


def test_keys_that_were_not_there_come_where_the_configs_have_them():
    assert "{NAME: sar, MEAN: [-8.0], STD: [3.0], TRANSFORM: db, CLIP: [-25, 12]}" in flat(
        [-8], [3], {"NAME": "sar", "TRANSFORM": "db", "CLIP": (-25, 12)}
    )


@pytest.mark.parametrize(
    "mean, std, shown",
    [
        (1353.3123, 242.1487, "MEAN: [1353.3], STD: [242.1]"),
        (0.123456, 0.000456789, "MEAN: [0.1234560], STD: [0.0004568]"),
        (-123456.7, 98765.4, "MEAN: [-123457.0], STD: [98765.0]"),
        (7.0, 0.0, "MEAN: [7.0], STD: [1.0]"),
    ],
)
def test_numbers_are_as_precise_as_a_normalized_value_needs(mean, std, shown):
    entry = yaml.safe_load(flat([mean], [std], {"NAME": "dsm"}))["MODEL"]["IMRSF"]["MODALITIES"][0]
    expected = yaml.safe_load("{" + shown + "}")
    assert {key: entry[key] for key in expected} == expected


def test_a_constant_band_gets_a_deviation_that_the_config_accepts(tmp_path):
    # 0.1 is no binary number: were its sum rounded, a tiny deviation would be left and the band be divided by it.
    heights = np.full((50, 31), 0.1, dtype=np.float32)
    paths = [{"dsm": str(write_raster_file(tmp_path / f"{i}.tif", heights))} for i in range(3)]
    found = compute_statistics(paths, ModalitySet([Modality("dsm")]), num_workers=1)
    text = modalities_yaml([{"NAME": "dsm"}], found)
    assert "constant: band 1, whose STD of 0 became 1" in text and "MEAN: [0.1], STD: [1.0]" in text


def test_the_yaml_can_be_pasted_and_normalizes_to_zero_and_one(samples):
    paths, valid = samples
    text = modalities_yaml(ENTRIES, compute_statistics(paths, WITH_MAP, num_workers=1))
    entries = yaml.safe_load(text)["MODEL"]["IMRSF"]["MODALITIES"]
    pasted = ModalitySet(map(Modality.from_mapping, entries))
    assert pasted.names == WITH_MAP.names
    for modality in list(pasted)[:3]:
        normalized = (valid[modality.name] - np.array(modality.mean)[:, None]) / np.array(modality.std)[:, None]
        np.testing.assert_allclose(normalized.mean(axis=1), 0, atol=1e-3)
        np.testing.assert_allclose(normalized.std(axis=1), 1, atol=1e-3)
    assert entries[3] == {"NAME": "dnw", "CLASSES": 4}
    shares = np.bincount(valid["dnw"][0].astype(int), minlength=4) / valid["dnw"].size
    assert "classes " + ", ".join(f"{i}: {share:.1%}" for i, share in enumerate(shares)) in text


def test_the_form_is_that_of_the_configs(samples):
    configured = (REPOSITORY / "configs/base/dfc2023.yaml").read_text()
    entries = yaml.safe_load(configured)["MODEL"]["IMRSF"]["MODALITIES"]
    found = compute_statistics([{}], ModalitySet(map(Modality.from_mapping, entries)), num_workers=1)
    lines = [line for line in modalities_yaml(entries, found).splitlines() if "#" not in line]
    assert "\n".join(lines) in configured


def test_a_sensor_that_is_nowhere_keeps_its_numbers(samples):
    found = compute_statistics([{"rgb": samples[0][0]["rgb"]}], SET, num_workers=1)
    text = modalities_yaml(MODALITIES, found)
    assert "# sar: 0 tiles, 1 without this sensor; nothing to measure, left as it was\n" in text
    assert yaml.safe_load(text)["MODEL"]["IMRSF"]["MODALITIES"][0] == MODALITIES[0]
