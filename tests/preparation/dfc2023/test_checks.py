"""The list of what is wrong with a copy of DFC2023: complete, and silent about what is right."""

import json
import re

import numpy as np
import pytest
import rasterio
from rasterio.errors import CRSError
from rasterio.transform import from_origin

from imrsf_d2.data.check import files
from imrsf_d2.preparation.dfc2023.checks import check_dfc2023
from imrsf_d2.preparation.dfc2023.raster_checks import check_tile
from tests.raster_files import write_raster_file

SIZE = 32
GOOD, NO_HEIGHT, ALONE = "SV_Berlin_52.5_13.4.tif", "GF2_NewYork_40.7_-73.9.tif", "SV_Rio_-22.9_-43.2.tif"
LABELS = "track2/buildings_only_train.json"


def place(column=0.0, row=0.0, epsg=32633, pixel_m=0.5):
    return {"crs": f"EPSG:{epsg}", "transform": from_origin(391000 + column / 2, 5820000 - row / 2, pixel_m, pixel_m)}


def array(modality, size=(SIZE, SIZE)):
    values = np.random.default_rng(0).uniform(1, 200, (3 if modality == "rgb" else 1, *size))
    return values.astype(np.uint8 if modality == "rgb" else np.float32)


def write_tile(root, name, *modalities, **where):
    for modality in modalities or ("rgb", "sar", "dsm"):
        write_raster_file(root / "track2/train" / modality / name, array(modality), **(where or place()))


def write_labels(root, *names):
    images = [{"id": i, "file_name": name, "height": SIZE, "width": SIZE} for i, name in enumerate(names)]
    (root / LABELS).write_text(json.dumps({"images": images, "annotations": [], "categories": []}))


@pytest.fixture
def root(tmp_path):
    """A copy without a fault: tiles with all sensors, with two, and with one."""
    write_tile(tmp_path, GOOD)
    write_tile(tmp_path, NO_HEIGHT, "rgb", "sar")
    write_tile(tmp_path, ALONE, "sar")
    write_labels(tmp_path, GOOD, NO_HEIGHT, ALONE)
    return tmp_path


def rows(findings):
    return {(problem.file, problem.problem, problem.expected) for problem in findings.problems}


def check(root):
    return rows(check_dfc2023(root, num_workers=1))


def test_a_good_copy_has_no_problem(root):
    train = root / "track2/train"
    # What is of no concern: a side-car, the operating system's files, grids that agree to a twentieth of a pixel, and
    # pixels without data.
    hole = array("sar")
    hole[:, : SIZE - 1] = np.nan
    write_raster_file(train / "sar" / NO_HEIGHT, hole, **place())
    (train / "rgb" / f"{GOOD}.aux.xml").write_text("<PAMDataset/>")
    (train / "rgb" / "._SV_Berlin_52.5_13.4.tif").write_bytes(b"\0")
    write_raster_file(train / "dsm" / GOOD, array("dsm"), **place(column=0.05))
    findings = check_dfc2023(root, num_workers=1)
    assert findings.problems == [] and findings.files == 6
    assert "6 rasters" in str(findings) and "no problem" in str(findings)


def test_height_and_annotations_are_accepted(root):
    (root / "track2/train/dsm").rename(root / "track2/train/height")
    (root / "track2/annotations").mkdir()
    (root / LABELS).rename(root / "track2/annotations/buildings_only_train.json")
    assert check(root) == set()


def put(modality, values, **where):
    return lambda root: write_raster_file(root / "track2/train" / modality / GOOD, values, **(where or place()))


def truncate(root):
    path = write_raster_file(root / "track2/train/rgb" / GOOD, array("rgb"), compress="deflate", **place())
    content = path.read_bytes()
    path.write_bytes(content[:-800])  # the header and the first rows are whole


NAN = np.full((SIZE, SIZE), np.nan, dtype=np.float32)
CASES = {
    "truncated": (truncate, "rgb", "unreadable: .*", "a complete GeoTIFF"),
    "empty file": (lambda root: (root / "track2/train/rgb" / GOOD).write_bytes(b""), "rgb", "empty file", "a GeoTIFF"),
    "no raster": (
        lambda root: (root / "track2/train/sar" / GOOD).write_text("404"),
        "sar",
        f"unreadable: '{GOOD}' not recognized .*",
        "a GeoTIFF",
    ),
    "link to nowhere": (
        lambda root: (
            (root / "track2/train/sar" / GOOD).unlink(),
            (root / "track2/train/sar" / GOOD).symlink_to(root / "gone"),
        ),
        "sar",
        "unreadable: .*No such file.*",
        "a GeoTIFF",
    ),
    "size": (put("dsm", array("dsm", (SIZE, 30))), "dsm", "30 x 32 px", "32 x 32 px as in the labels"),
    "bands": (put("sar", np.ones((2, SIZE, SIZE), dtype=np.float32)), "sar", "2 bands", "1 for sar"),
    "data type": (put("sar", np.ones((SIZE, SIZE), dtype=np.int16)), "sar", "data type int16", "floating point for sar"),
    "signed colors": (
        put("rgb", np.ones((3, SIZE, SIZE), dtype=np.int16)),
        "rgb",
        "data type int16",
        "unsigned integers for rgb",
    ),
    "complex": (
        put("sar", np.ones((SIZE, SIZE), dtype=np.complex64)),
        "sar",
        "data type complex64",
        "floating point for sar",
    ),
    "all NaN": (put("sar", NAN), "sar", "no valid pixel", "data, or no file.*"),
    "no power": (put("sar", np.zeros((SIZE, SIZE), dtype=np.float32)), "sar", "no valid pixel", "data, or no file.*"),
    "black": (put("rgb", np.zeros((3, SIZE, SIZE), dtype=np.uint8)), "rgb", "no valid pixel", "data, or no file.*"),
    "shifted": (put("dsm", array("dsm"), **place(column=3, row=4)), "dsm", "misplaced by 5 px", "up to 0.1 px from rgb"),
    "shifted a little": (put("dsm", array("dsm"), **place(row=0.2)), "dsm", "misplaced by 0.2 px", "up to 0.1 px .*"),
    "pixel size": (put("sar", array("sar"), **place(pixel_m=0.51)), "sar", "misplaced by 0.905 px", "up to 0.1 px .*"),
    "zone": (put("sar", array("sar"), **place(epsg=32632)), "sar", "CRS EPSG:32632", "EPSG:32633 as in rgb"),
}


@pytest.mark.parametrize("case", CASES)
def test_each_fault_is_named_alone(root, case):
    spoil, modality, problem, expected = CASES[case]
    spoil(root)
    (found,) = check(root)
    assert found[0] == f"track2/train/{modality}/{GOOD}"
    assert re.fullmatch(problem, found[1], re.S) and re.fullmatch(expected, found[2])


def test_an_alpha_band_is_the_files_mask(root):
    put("rgb", np.full((4, SIZE, SIZE), 200, dtype=np.uint8), photometric="RGB", alpha="YES", **place())(root)
    assert check(root) == set()


def test_where_only_one_says_where_it_lies_nothing_contradicts_it(root):
    put("rgb", array("rgb"), crs=None)(root)
    put("dsm", array("dsm"), transform=place()["transform"])(root)  # a place, but no CRS
    assert check(root) == set()
    put("dsm", array("dsm"), transform=place(column=1)["transform"])(root)
    assert check(root) == {(f"track2/train/dsm/{GOOD}", "misplaced by 1 px", "up to 0.1 px from sar")}


def test_without_labels_the_modalities_are_compared_with_each_other(root):
    put("dsm", array("dsm", (30, SIZE)))(root)
    paths = {modality: str(root / "track2/train" / modality / GOOD) for modality in ("rgb", "sar", "dsm")}
    (problem,) = check_tile((paths, None))
    assert (problem.file, problem.problem, problem.expected) == (paths["dsm"], "32 x 30 px", "32 x 32 px as in rgb")


def test_tiles_labels_and_names_that_do_not_match(root):
    write_tile(root, "SV_Sydney_-33.8_151.2.tif", "sar", "dsm")
    write_tile(root, "P_0001.tif", "sar")
    write_labels(root, GOOD, NO_HEIGHT, ALONE, GOOD, "SV_Berlin_52.6_13.5.tif", "P_0001.tif")
    assert check(root) == {
        ("track2/train/sar/SV_Sydney_-33.8_151.2.tif", "a raster without labels", "an image of this name in the labels"),
        ("SV_Berlin_52.6_13.5.tif", "labels without a raster", "a raster in one of rgb, sar, dsm"),
        (
            "track2/train/sar/P_0001.tif",
            "no labeled city in the name",
            "one of Barcelona, Berlin, Brasilia, Copenhagen, NewDelhi, NewYork, Portsmouth, Rio, SanDiego, SaoLuis, Sydney",
        ),
        (LABELS, f"2 images named {GOOD}", "one image for each tile"),
    }


@pytest.mark.parametrize(
    "text, problem",
    [
        (None, "no such file"),
        ("{", "is not JSON"),
        ("[]", "has no list 'images'"),
        ('{"images": [{"id": 1}], "annotations": [], "categories": []}', "has no 'file_name'"),
        ('{"images": ["a.tif"], "annotations": [], "categories": []}', "the file has the image 'a.tif'"),
        (
            f'{{"images": [{{"id": 1, "file_name": "{GOOD}", "height": "32", "width": 32}}], "annotations": [], '
            '"categories": []}',
            "has height '32', expected a whole number above 0",
        ),
    ],
)
def test_unusable_labels_do_not_hide_bad_rasters(root, text, problem):
    (root / LABELS).unlink()
    if text is not None:
        (root / LABELS).write_text(text)
    put("sar", NAN)(root)
    labels, sar = sorted(check(root))
    assert labels[0] == LABELS and problem in labels[1]
    assert sar[:2] == (f"track2/train/sar/{GOOD}", "no valid pixel")


def test_an_annotation_that_cannot_be_read_is_named(root):
    data = json.loads((root / LABELS).read_text())
    for change, message in (
        ({"category_id": 9}, "has category_id 9"),
        ({"segmentation": {"size": [SIZE, SIZE], "counts": [5, -2, SIZE * SIZE - 3]}}, "with -2"),
    ):
        data["annotations"] = [{"id": 5, "image_id": 0, "category_id": 1, "segmentation": [[1, 1, 5, 1, 5, 5]], **change}]
        (root / LABELS).write_text(json.dumps(data))
        ((file, problem, _),) = check(root)
        assert file == LABELS and problem.startswith("annotation 5 of") and message in problem


def test_a_missing_folder_is_named(root):
    (root / "track2/train/dsm" / GOOD).unlink()
    (root / "track2/train/dsm").rmdir()
    assert check(root) == {("track2/train/dsm", "no such folder", "a folder of GeoTIFFs")}


def test_no_track2_at_all(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder 'track2' in"):
        check_dfc2023(tmp_path)


def test_everything_is_listed_nothing_written_and_processes_do_not_matter(root):
    truncate(root)
    put("sar", array("sar", (SIZE, 30)), **place(column=3, epsg=32632))(root)
    put("dsm", NAN)(root)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    findings = check_dfc2023(root, num_workers=1)
    assert [(problem.file.split("/")[2], problem.problem.split()[0]) for problem in findings.problems] == [
        ("dsm", "no"),
        ("rgb", "unreadable:"),
        ("sar", "30"),
        ("sar", "CRS"),
    ]
    assert check_dfc2023(root, num_workers=2) == findings
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before

    header, *lines = str(findings).splitlines()
    assert header.split() == ["file", "problem", "expected"]
    assert lines[0].split("  ")[0] == f"track2/train/dsm/{GOOD}"
    assert lines[-1] == "4 problems in 3 files; 6 rasters checked"


def test_footprints_that_mark_nothing_are_listed_image_by_image(root):
    data = json.loads((root / LABELS).read_text())
    places = [(0, 5), (0, 612.5), (2, 40), (2, 5), (2, 90)]  # the image and the left edge of each footprint
    data["annotations"] = [
        {"id": number, "image_id": image, "category_id": 1, "segmentation": [[x, 5, x + 8, 5, x + 8, 9, x, 9]]}
        for number, (image, x) in enumerate(places)
    ]
    data["images"][2]["file_name"] = f"rgb/{ALONE}"  # the folder does not matter
    (root / LABELS).write_text(json.dumps(data))
    expected = "pixels within the 32 x 32 px of the image"
    assert check(root) == {
        (LABELS, f"annotation 1 of '{GOOD}' (x from 612.5 to 620.5, y from 5 to 9) marks no pixel of the image", expected),
        (
            LABELS,
            f"annotation 2 of 'rgb/{ALONE}' (x from 40 to 48, y from 5 to 9) and 1 more mark no pixel of the image",
            expected,
        ),
    }


# --- one odd file


def write_complex(path):
    with rasterio.open(
        path, "w", driver="GTiff", height=SIZE, width=SIZE, count=1, dtype="complex_int16", **place()
    ) as file:
        file.write(np.full((1, SIZE, SIZE), 30 + 40j, np.complex64))


def test_whole_complex_numbers_are_a_data_type_like_any_other(root):
    write_complex(root / "track2/train/sar" / GOOD)
    assert check(root) == {(f"track2/train/sar/{GOOD}", "data type complex_int16", "floating point for sar")}


@pytest.mark.parametrize(
    "error", [TypeError("data type 'odd' not understood"), MemoryError("too large"), CRSError("no such CRS")]
)
def test_what_nobody_foresaw_is_listed_beside_all_other_problems(root, monkeypatch, error):
    real = files.read_raster

    def read(path, modality, open_file):
        if path.endswith(f"rgb/{GOOD}"):
            raise error
        return real(path, modality, open_file=open_file)

    monkeypatch.setattr(files, "read_raster", read)
    (root / "track2/train/sar" / ALONE).write_bytes(b"")
    found = {(file, problem) for file, problem, _ in check(root)}
    odd = f"cannot be checked: {type(error).__name__}: {error}"
    assert found == {(f"track2/train/rgb/{GOOD}", odd), (f"track2/train/sar/{ALONE}", "empty file")}


def test_radar_in_decibels_is_said_to_be(root):
    decibels = -np.abs(array("sar")) / 10
    write_raster_file(root / "track2/train/sar" / GOOD, decibels, **place())
    (found,) = check(root)
    assert found[:2] == (f"track2/train/sar/{GOOD}", "100% of the values are below 0")
    assert found[2].startswith("linear power; these look like decibels: TRANSFORM: none")


def test_a_scale_is_applied_before_values_are_judged(root):
    # Whole numbers with an offset that makes decibels of them.
    path = write_raster_file(root / "track2/train/sar" / GOOD, array("sar"), **place())
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets = [0.1], [-40.0]
    assert {problem for _, problem, _ in check(root)} == {"100% of the values are below 0"}


def test_heights_stored_as_whole_decimeters_are_heights(root):
    path = write_raster_file(root / "track2/train/dsm" / GOOD, array("dsm").astype(np.uint16), **place())
    assert check(root) == {(f"track2/train/dsm/{GOOD}", "data type uint16", "floating point for dsm")}
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets = [0.1], [0.0]
    assert check(root) == set()


def test_another_name_of_one_coordinate_system_is_no_problem(root):
    write_raster_file(root / "track2/train/dsm" / GOOD, array("dsm"), **{**place(), "crs": f"{place()['crs']}+5773"})
    assert check(root) == set()
