"""What samples must have before work starts, and which files two splits share."""

import os

import pytest

from imrsf_d2.data.sample_checks import check_rasters, padding_share, shared_samples, with_sensors

NAMES = ("rgb", "sar")


@pytest.fixture
def samples(tmp_path):
    """Twelve samples with both sensors on disk, as empty files: nothing is read."""
    made = []
    for number in range(12):
        paths = {name: tmp_path / f"{name}_{number}.tif" for name in NAMES}
        for path in paths.values():
            path.touch()
        made.append(
            {
                "file_name": f"tile_{number}.tif",
                "image_id": number,
                "modalities": {name: str(path) for name, path in paths.items()},
            }
        )
    return made


def test_complete_and_incomplete_samples_pass(samples):
    samples[3]["modalities"]["rgb"] = None
    del samples[4]["modalities"]["sar"]
    os.remove(samples[5]["modalities"]["sar"])  # one file of two: what reads it says so
    check_rasters(samples, NAMES, ["mine"])


def test_a_sensor_that_the_dataset_knows_and_no_tile_has_is_no_spelling_mistake(samples):
    for sample in samples:
        sample["modalities"] |= {"dsm": None, "lidar": sample["modalities"]["rgb"]}
    assert check_rasters(samples, (*NAMES, "dsm"), ["mine"]) == {"rgb": 12, "sar": 12, "lidar": 12}


def test_a_tile_with_other_sensors_than_the_models_is_counted_not_refused(samples, caplog):
    for sample in samples[:5]:
        sample["modalities"]["sar"] = None
    check_rasters(samples, ["sar"], ["mine"])
    assert "5 of the 12 images of ['mine'] have none of the model's sensors ['sar'], but others" in caplog.text
    assert with_sensors(samples, ["sar"]) == samples[5:]


def test_a_misspelled_sensor_shows_both_lists(samples):
    with pytest.raises(
        ValueError,
        match=r"no sample of \['mine'\] has the modality 'sarr', while the model does not know "
        r"the dataset's 'sar': the model has \['rgb', 'sarr'\], the dataset \['rgb', 'sar'\]",
    ):
        check_rasters(samples, ("rgb", "sarr"), ["mine"])
    check_rasters(samples, ("rgb",), ["mine"])  # a sensor that the model does without


def test_the_first_ten_tiles_that_lost_all_rasters_are_named(samples):
    for sample in samples[:5]:
        sample["modalities"] = dict.fromkeys(NAMES)
    for sample in samples[5:11]:
        sample["modalities"] = {name: path.replace("_", "\\") for name, path in sample["modalities"].items()}
    with pytest.raises(FileNotFoundError) as caught:
        check_rasters(samples, NAMES, ["mine"])
    message = str(caught.value)
    assert "11 of the 12 images of ['mine'] have no file of any sensor, expected one of ['rgb', 'sar']: " in message
    assert "'tile_0.tif', 'tile_1.tif', " in message and "'tile_9.tif' and 1 more." in message
    assert f"There is no {samples[5]['modalities']['rgb']}, for one." in message


@pytest.mark.parametrize("path", ["/vsizip/tiles.zip/a.tif", "https://a.org/a.tif", "NETCDF:a.nc:rgb"])
def test_what_gdal_opens_beside_files_counts_as_there(path):
    check_rasters([{"file_name": "a", "image_id": 1, "modalities": {"rgb": path}}], ["rgb"], ["mine"])


def test_files_in_two_splits_are_found_under_any_name(samples, tmp_path):
    train, val = samples[:6], samples[6:]
    assert shared_samples(train, val) == []
    os.symlink(train[0]["modalities"]["sar"], tmp_path / "link.tif")
    val[1]["modalities"]["sar"] = str(tmp_path / "link.tif")
    val[2]["modalities"]["rgb"] = os.path.join(str(tmp_path), ".", f"rgb_{train[1]['image_id']}.tif")
    for sample in (train[2], val[3]):
        sample["sem_seg_file_name"] = str(tmp_path / "gone.tif")
    assert shared_samples(train, val) == val[1:4]


def test_no_file_is_looked_for_twice(samples, monkeypatch):
    asked, real = [], os.stat
    monkeypatch.setattr(os, "stat", lambda path, **options: asked.append(path) or real(path, **options))
    check_rasters(samples, NAMES, ["mine"])
    assert with_sensors(samples, NAMES) == samples and shared_samples(samples[:6], samples[6:]) == []
    files = [str(path) for path in asked if str(path).endswith(".tif")]
    assert len(files) == len(set(files)) == 24


def test_padding_by_hand():
    assert padding_share([(64, 64)], (256, 256)) == 1 - 1 / 16
    # Half of the first, all of the second.
    assert padding_share([(128, 256), (300, 900)], (256, 256)) == 0.25
    # Twice as large at least, 128 px of a 256 px crop hold all of it; at most half, a crop reaches over 512 px.
    assert padding_share([(128, 128)], (256, 256), (2.0, 4.0)) == 0
    assert padding_share([(128, 128)], (256, 256), (0.25, 0.5)) == 1 - 1 / 16
    assert padding_share([(128, 128)], (256, 256), (0.1, 2.0)) == 0.75
