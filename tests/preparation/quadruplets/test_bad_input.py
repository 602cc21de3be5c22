"""What is refused, and what is said of input that is not read or came to nothing."""

import shutil

import numpy as np
import pytest
import rasterio

from tests.preparation.quadruplets.scene_files import CITY_LEFT, TOP, cover, from_utm, relabel, warnings_of, write_scene


def spoil_s2(root, crs="EPSG:32631", transform=rasterio.transform.from_origin(CITY_LEFT, TOP, 10, 10)):
    with rasterio.open(
        root / "Aix_en_Provence/s2.tif",
        "w",
        driver="GTiff",
        count=4,
        dtype="uint16",
        height=150,
        width=150,
        crs=crs,
        transform=transform,
    ) as file:
        file.write(np.full((4, 150, 150), 7, np.uint16))


MISTAKES = {
    "no input": (lambda root: shutil.rmtree(root), [], "a folder for each city"),
    "no city": (lambda root: [shutil.rmtree(path) for path in root.iterdir()], [], "holds no folder, expected one for"),
    "no scene": (lambda root: (root / "Oslo").mkdir(), [], "Oslo holds no scenes"),
    "no vector": (lambda root: (root / "Aix_en_Provence/ua.gpkg").unlink(), [], "holds 0 vector files, expected one"),
    "vector and raster": (
        lambda root: write_scene(root / "Nice/labels.tif", np.ones((9, 9), np.uint8), left=340_000),
        [],
        "holds 1 vector files: ua.shp and 1 rasters of land cover (labels*.tif), expected one *.gpkg",
    ),
    "land cover elsewhere": (
        lambda root: cover(root / "Aix_en_Provence", np.ones((9, 9), np.uint8), left=340_000),
        ["--merge-table", "esri_land_cover"],
        "show different places: no scene overlaps the land cover",
    ),
    "unknown codes": (
        # 1500 m of scenes are 15 x 15 px of land cover, from the corner on; what lies beyond is not looked at.
        lambda root: cover(
            root / "Aix_en_Provence", np.pad(np.diag([10] * 9 + [7] * 6), (0, 5), constant_values=99).astype(np.uint8)
        ),
        ["--merge-table", "esa_worldcover"],
        "hold 7 (2.7% of the pixels), which the merge table",
    ),
    "two vectors": (
        lambda root: shutil.copy(root / "Aix_en_Provence/ua.gpkg", root / "Aix_en_Provence/b.gpkg"),
        [],
        "holds 2 vector files: b.gpkg, ua.gpkg",
    ),
    "misnamed": (
        lambda root: (root / "Nice/s2.tif").rename(root / "Nice/sentinel2.tif"),
        [],
        "sentinel2.tif belongs to no sensor, expected a name that starts with s1, s2, dem, dnw",
    ),
    "one city": (lambda root: shutil.rmtree(root / "Nice"), [], "one city only (Aix_en_Provence)"),
    "unknown city": (None, ["--val-cities", "Nizza"], "--val-cities names 'Nizza', which is not in"),
    "hash": (lambda root: (root / "Nice").rename(root / "Nice#1"), [], "must not contain '#'"),
    "decibels": (None, ["--s1-unit", "db"], "leave out --s1-unit db"),
    "column": (None, ["--code-column", "code_2012"], "found: ua (Polygon: code_2018)"),
    "layer": (None, ["--layer", "UA"], "has no layer 'UA' with the column 'code_2018'"),
    "table": (None, ["--merge-table", "nowhere.csv"], "nowhere.csv"),
    "labeled": (None, ["--min-labeled", "1.5"], "expected 0 to 1"),
    "nothing left": (None, ["--min-labeled", "1"], "none of 10 tiles is left"),
    "resolution": (None, ["--resolution", "0"], "the resolution is 0.0 m"),
    "degenerate": (
        lambda root: spoil_s2(root, transform=rasterio.Affine(0, 0, CITY_LEFT, 0, 0, TOP)),
        [],
        "s2.tif has pixels without an area",
    ),
    "construction site": (
        lambda root: spoil_s2(root, crs='LOCAL_CS["site",UNIT["metre",1]]'),
        [],
        "s2.tif does not say where on Earth it lies",
    ),
    "city without tiles": (
        lambda root: relabel(root / "Nice", "92000"),
        ["--val-cities", "Nice"],
        "--val-cities names 'Nice', of which no tile is left",
    ),
    "inside": (None, ["--output", "{input}/out"], "lies in the input"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_end_with_one_line_and_exit_code_2(prepare, exports, capsys, mistake):
    spoil, arguments, message = MISTAKES[mistake]
    if spoil:
        spoil(exports)
    assert prepare(*(argument.format(input=exports) for argument in arguments)) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and message in errors[0]


@pytest.mark.parametrize("mistake", ["degenerate", "construction site", "column", "decibels"])
def test_what_can_be_known_is_said_before_the_output_is_claimed(prepare, exports, tmp_path, mistake):
    spoil, arguments, _ = MISTAKES[mistake]
    if spoil:
        spoil(exports)
    assert prepare(*arguments) == 2
    assert not (tmp_path / "out").exists()


def test_what_is_not_read_is_named_once_per_city(prepare, exports, tmp_path, capsys):
    assert prepare("--val-cities", "Nice") == 0
    assert warnings_of(capsys, tmp_path / "out") == []
    for name in ("s2.tif.d/x", "old/s2.tif", "dem/parts/a.tif", ".trash/x"):
        (exports / "Nice" / name).parent.mkdir()
        (exports / "Nice" / name).write_text("")
    for name in ("s2_b8.jp2", "s2.tif.aux.xml", "notes.txt", "dem/more.img"):
        (exports / "Nice" / name).write_text("")
    (exports / "Nice/s2.tif.d").rename(exports / "Nice/s2_more.tif")  # a folder that is called like a file
    assert prepare("--val-cities", "Nice") == 0
    (warning,) = warnings_of(capsys, tmp_path / "out")
    assert warning.startswith("Nice: not read: old/, s2_b8.jp2, s2_more.tif/, dem/more.img, dem/parts/;")


def test_a_city_whose_only_scenes_are_not_read_says_which(prepare, exports, capsys):
    (exports / "Oslo/Sentinel").mkdir(parents=True)
    assert prepare() == 2
    assert "Oslo holds no scenes except Sentinel/, which is not read" in capsys.readouterr().err


def test_a_sensor_that_came_to_nothing_is_named_with_the_likely_reason(prepare, exports, tmp_path, capsys):
    write_scene(exports / "Aix_en_Provence/s2.tif", np.full((4, 150, 150), 7, np.uint16), left=100_000.0)  # mistyped
    write_scene(exports / "Nice/s2.tif", np.zeros((4, 150, 150), np.uint16), left=340_000.0)  # nothing but no data
    assert prepare("--val-cities", "Nice") == 0
    aix, nice = warnings_of(capsys, tmp_path / "out")
    here, there = (from_utm(left, middle, 31) for left, middle in ((100_750, TOP - 750), (CITY_LEFT + 650, TOP - 650)))
    assert aix.startswith("Aix_en_Provence: no tile has data of s2, although there is s2.tif")
    assert f"longitude {here[0]:.4f}, latitude {here[1]:.4f}, the labels around {there[0]:.4f}, {there[1]:.4f}" in aix
    assert nice.startswith("Nice: no tile has data of s2, although there is s2.tif: none of its pixels is valid")


def test_if_nothing_is_left_the_likely_reason_is_said_too(prepare, exports, capsys):
    for city in exports.iterdir():
        for path in (*city.glob("s1*"), *city.glob("DNW*"), *city.glob("dem/*")):
            path.unlink()
        write_scene(city / "s2.tif", np.full((4, 150, 150), 7, np.uint16), left=900_000.0)
    assert prepare() == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "tiles is left" in error and "Nice: no tile has data of s2" in error and "the labels around" in error


def test_negative_power_far_from_the_samples_is_found_too(prepare, exports, capsys):
    path = exports / "Aix_en_Provence" / "s1_b.tif"
    with rasterio.open(path, "r+") as file:
        file.write(np.full((1, 1), -7, np.float32), 1, window=((59, 60), (50, 51)))
    assert prepare() == 2
    assert f"{path} holds -7, expected linear power" in capsys.readouterr().err
