"""What is refused, before anything is written or with the other tiles done."""

import json

import numpy as np
import pytest

from imrsf_d2.data.datasets.dfc2023 import load_dfc2023
from imrsf_d2.preparation.dfc2023.prepare import prepare_dfc2023
from imrsf_d2.utils.errors import OccupiedError
from imrsf_d2.utils.locks import sole_user
from tests.folders import contents
from tests.preparation.dfc2023.source_files import (
    BERLIN,
    CROP,
    FOOTPRINTS,
    LABELS,
    NEWYORK,
    RIO,
    SIZE,
    crop_names,
    rectangle,
    write_labels,
    write_source,
)
from tests.raster_files import write_raster_file


@pytest.mark.parametrize(
    "size, message",
    [
        (48, "the tile size 48 does not divide 3 of 3 tiles, e.g. SV_Rio_-22.9_-43.2.tif of 64 x 64 px"),
        (128, "the tile size 128 does not divide"),
        (0, "the tile size 0 does not divide"),
    ],
)
def test_a_tile_size_that_does_not_fit_is_an_error_before_anything_is_written(source, tmp_path, size, message):
    with pytest.raises(ValueError, match=message):
        prepare_dfc2023(source, tmp_path / "out", tile_size=size, num_workers=1)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("inside", [".", "track2", "new/folder", "../in", "link"])
def test_the_output_must_lie_outside_the_input(own_source, inside):
    (own_source.parent / "elsewhere").symlink_to(own_source)
    output = own_source.parent / "elsewhere" / "x" if inside == "link" else own_source / inside
    before = contents(own_source)
    with pytest.raises(ValueError, match=r"the output .* lies in the input .*choose a folder outside it"):
        prepare_dfc2023(own_source, output, tile_size=CROP, num_workers=1)
    assert contents(own_source) == before


def test_an_input_without_track2_or_labels(own_source):
    out = own_source.parent / "out"
    with pytest.raises(FileNotFoundError, match=f"no folder 'track2' in .* pass {own_source} as input"):
        prepare_dfc2023(own_source / "track2", out)
    (own_source / LABELS).unlink()
    with pytest.raises(FileNotFoundError, match=r"no DFC2023 labels: neither .*buildings_only_train.json nor .*ann"):
        prepare_dfc2023(own_source, out)


def test_a_name_that_stands_twice_in_the_labels(own_source):
    data = json.loads((own_source / LABELS).read_text())
    data["images"].append({**data["images"][0], "id": 7})
    (own_source / LABELS).write_text(json.dumps(data))
    with pytest.raises(ValueError, match=f"several images of the same file name, e.g. '{BERLIN}'"):
        prepare_dfc2023(own_source, own_source.parent / "out", tile_size=CROP, num_workers=1)


@pytest.mark.parametrize(
    "change, message",
    [({"tile_size": 16}, "tile_size was 32, now 16"), ({"tile_size": None}, "tile_size was 32, now 'keep'")],
)
def test_other_parameters_are_an_error_not_a_mixture(source, output, change, message):
    before = contents(output)
    with pytest.raises(FileExistsError, match=f"made with other parameters: {message}. Choose another output"):
        prepare_dfc2023(source, output, **{"tile_size": CROP, "num_workers": 1, **change})
    assert contents(output) == before


def test_other_labels_are_other_parameters(own_source, tmp_path):
    prepare_dfc2023(own_source, tmp_path / "out", tile_size=CROP, num_workers=1)
    write_labels(own_source, {**FOOTPRINTS, RIO: [([rectangle(1, 1, 9, 9)], 0)]})
    with pytest.raises(FileExistsError, match="labels_sha256 was"):
        prepare_dfc2023(own_source, tmp_path / "out", tile_size=CROP, num_workers=1)


def test_a_folder_of_other_origin_is_left_alone(source, tmp_path):
    foreign = write_source(tmp_path / "other")
    before = contents(foreign)
    with pytest.raises(FileExistsError, match="track2/train exists and was not written by this command"):
        prepare_dfc2023(source, foreign, tile_size=CROP, num_workers=1)
    assert contents(foreign) == before


def test_tiles_without_any_valid_pixel_are_an_error_not_an_empty_dataset(own_source, tmp_path):
    for name in FOOTPRINTS:
        for modality in ("rgb", "dsm"):
            (own_source / "track2/train" / modality / name).unlink(missing_ok=True)
        write_raster_file(own_source / "track2/train/sar" / name, np.zeros((SIZE, SIZE), dtype=np.float32))
    for _ in range(2):  # the second time nothing is left to cut
        with pytest.raises(ValueError, match="no crop is left of 3 tiles: no sensor has a valid pixel.* --check"):
            prepare_dfc2023(own_source, tmp_path / "out", tile_size=CROP, num_workers=1)
        assert not (tmp_path / "out" / LABELS).exists() and not (tmp_path / "out/summary.md").exists()


def test_bad_files_are_named_after_the_other_tiles_are_done(own_source, tmp_path):
    rgb, sar = own_source / "track2/train/rgb" / BERLIN, own_source / "track2/train/sar" / RIO
    original = rgb.read_bytes()
    rgb.write_bytes(original[: len(original) // 2])
    write_raster_file(sar, np.ones((SIZE, 60), dtype=np.float32))
    with pytest.raises(ValueError) as error:
        prepare_dfc2023(own_source, tmp_path / "out", tile_size=CROP, num_workers=1)
    text = str(error.value)
    assert text.startswith("2 of 3 tiles cannot be cut")
    assert f"{sar} is 60 x 64 px, expected 64 x 64 px as in the labels." in text
    assert f"cannot read {rgb}" in text and f"--input {own_source} --check" in text
    assert not (tmp_path / "out" / LABELS).exists()
    assert (tmp_path / "out/track2/train/rgb" / crop_names(NEWYORK)[0]).is_file()

    rgb.unlink()  # the tile has other sensors
    write_raster_file(sar, np.ones((SIZE, SIZE), dtype=np.float32))
    outcome = prepare_dfc2023(own_source, tmp_path / "out", tile_size=CROP, num_workers=1)
    assert (outcome.cut, outcome.tiles) == (2, 3)
    berlin = [sample for sample in load_dfc2023(tmp_path / "out", "train") if sample["city"] == "Berlin"]
    assert len(berlin) == 4 and all(sample["modalities"]["rgb"] is None for sample in berlin)


def test_only_some_of_very_many_problems_are_named(own_source, tmp_path):
    names = [f"SV_Berlin_52.{i}_13.4.tif" for i in range(15)]
    write_labels(own_source, {name: [] for name in names})
    for name in names:
        (own_source / "track2/train/rgb" / name).write_bytes(b"")
    with pytest.raises(ValueError, match=r"15 of 15 tiles cannot be cut(.|\n)*\.\.\. and 5 more") as error:
        prepare_dfc2023(own_source, tmp_path / "out", tile_size=CROP, num_workers=1)
    assert str(error.value).count("cannot read") == 10


def test_two_runs_do_not_share_an_output(source, tmp_path):
    with sole_user(tmp_path / "out"), pytest.raises(OccupiedError, match="out is in use: another process writes to it"):
        prepare_dfc2023(source, tmp_path / "out", tile_size=CROP, num_workers=1)
