"""From exports of cities to tiles that training reads."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import rasterio
import shapely
from detectron2.data import DatasetCatalog, MetadataCatalog

from imrsf_d2.data.datasets.quadruplets import load_quadruplets, register_quadruplets
from imrsf_d2.data.quadruplet_layout import LABELS, NODATA, SENSORS
from imrsf_d2.geo.rasters import read_raster
from imrsf_d2.modalities import Modality
from imrsf_d2.preparation.quadruplets import sensors
from imrsf_d2.preparation.quadruplets import tiles as quadruplet_tiles
from imrsf_d2.preparation.quadruplets.prepare import prepare_quadruplets
from tests.folders import contents
from tests.preparation.quadruplets.scene_files import (
    CITY_LEFT,
    TOP,
    centers,
    cover,
    from_utm,
    relabel,
    warnings_of,
    write_layer,
    write_scene,
)
from tests.real_files import TERRAMESH, needs_terramesh


def read(folder, name, tile):
    with rasterio.open(folder / name / f"{tile}.tif") as file:
        return file.read(), file.profile


def test_the_layout_is_the_one_that_training_reads(prepare, exports, tmp_path, capsys):
    assert prepare("--val-cities", "Nice") == 0
    out = tmp_path / "out"
    train, val = load_quadruplets(out, "train"), load_quadruplets(out, "val")
    # 130 px of labels are 3 x 3 tiles of 64; the last row and column hold 2 px of them (3 %), the fourth block none.
    assert [sample["image_id"] for sample in train] == [
        "Aix_en_Provence_0000_0000",
        "Aix_en_Provence_0000_0001",
        "Aix_en_Provence_0001_0000",
    ]
    assert {sample["city"] for sample in val} == {"Nice"}
    assert all(sample["modalities"]["dnw"] is None and sample["modalities"]["s1"] for sample in val)
    with rasterio.open(exports / "Aix_en_Provence" / "s2.tif") as file:
        scene = file.read()
    tile, profile = read(out, "s2", train[1]["image_id"])
    np.testing.assert_array_equal(tile, scene[:, :64, 64:128])
    assert tuple(profile["transform"])[:6] == (10, 0, CITY_LEFT + 640, 0, -10, TOP) and profile["crs"].to_epsg() == 32631
    for folder, dtype, count in (
        ("s1", "float32", 2),
        ("s2", "uint16", 4),
        ("dem", "float32", 1),
        ("dnw", "uint8", 1),
        (LABELS, "uint8", 1),
    ):
        bands, profile = read(out, folder, train[0]["image_id"])
        assert (profile["dtype"], profile["count"]) == (dtype, count) and bands.shape[1:] == (64, 64)
        np.testing.assert_equal(profile["nodata"], NODATA[folder])
        assert profile["transform"] == read(out, LABELS, train[0]["image_id"])[1]["transform"]
    swath = np.add.outer(np.arange(64), np.arange(64)) < 80
    bands, _ = read(out, "s1", train[0]["image_id"])
    np.testing.assert_array_equal(np.isnan(bands), [swath, swath])
    labels, _ = read(out, LABELS, train[0]["image_id"])
    assert sorted(np.unique(labels)) == [0, 4, 6, 255]  # urban fabric, pastures, water, and the code of no data
    summary = capsys.readouterr().out
    assert summary == (out / "summary.md").read_text() + "\n"
    rows = [[cell.strip() for cell in line.split("|")[1:9]] for line in summary.splitlines() if "|" in line]
    assert rows[0] == ["city", "split", "tiles", "skipped", "s1", "s2", "dem", "dnw"]
    assert rows[2:] == [
        ["Aix_en_Provence", "train", "3", "6", "3", "3", "3", "3"],
        ["Nice", "val", "3", "6", "3", "3", "3", "0"],
    ]


def test_a_held_out_class_that_no_training_city_has_is_said(prepare, exports, tmp_path, capsys):
    relabel(exports / "Nice", "31000")
    assert prepare("--val-cities", "Nice") == 0
    # A square of 1000 m at 10 m, in four tiles.
    assert "- WARNING Nice: its class 'trees' (10000 px) occurs in no training city" in capsys.readouterr().out
    assert prepare("--val-cities", "Aix_en_Provence") == 0
    summary = capsys.readouterr().out
    assert "Nice: its class" not in summary and "WARNING Aix_en_Provence: its class 'pastures' (" in summary


def test_tiles_of_a_table_of_ones_own_are_registered_with_its_classes(prepare, tmp_path):
    (tmp_path / "table.csv").write_text("code,class\n50000,sea\n23000,grass\n11100,town\n92000,\n")
    assert prepare("--val-cities", "Nice", "--merge-table", str(tmp_path / "table.csv")) == 0
    register_quadruplets("prepared_test", tmp_path / "out", "train")
    try:
        assert MetadataCatalog.get("prepared_test").stuff_classes == ["sea", "grass", "town"]
        assert DatasetCatalog.get("prepared_test")
    finally:
        DatasetCatalog.remove("prepared_test")
        MetadataCatalog.remove("prepared_test")


def test_sentinel_2_keeps_its_pixels_wherever_its_grid_begins(prepare, exports, tmp_path, capsys):
    """Interpolated halfway, the values of this scene would keep half of their standard deviation."""
    folder = exports / "Aix_en_Provence"
    scene = np.random.default_rng(0).integers(1, 4000, (4, 150, 150), dtype=np.uint16)
    write_scene(folder / "s2.tif", scene, left=CITY_LEFT - 45, top=TOP + 75)
    assert prepare("--val-cities", "Nice") == 0
    for row, column in ((0, 0), (0, 1), (1, 0)):
        tile, profile = read(tmp_path / "out", "s2", f"Aix_en_Provence_{row:04d}_{column:04d}")
        # Labels begin at CITY_LEFT and TOP: the pixel that holds their corner is the fifth column, the eighth row.
        np.testing.assert_array_equal(tile, scene[:, 7 + 64 * row : 71 + 64 * row, 4 + 64 * column : 68 + 64 * column])
        assert (profile["transform"].c, profile["transform"].f) == (CITY_LEFT - 5 + 640 * column, TOP + 5 - 640 * row)
    summary = capsys.readouterr().out
    # In Nice Sentinel-1 and -2 share their grid; here Sentinel-1 lies between it, and the models in degrees everywhere.
    assert "WARNING" not in summary
    assert "; s2 copied from the scenes in 6 tiles, resampled in 0 (0 % of its pixels)" in summary
    assert "values: s1 copied from the scenes in 3 tiles, resampled in 3 (" in summary
    values = json.loads((tmp_path / "out/prepared.json").read_text())["values"]
    assert values["s2"] == {"copied": 6, "resampled": 0, "resampled %": 0.0}
    assert values["dem"] == {"copied": 0, "resampled": 6, "resampled %": 100.0}
    assert (values["s1"]["copied"], values["s1"]["resampled"]) == (3, 3) and 49 < values["s1"]["resampled %"] < 51


def test_where_sentinel_2_is_resampled_it_is_said_how_much_and_why(prepare, exports, tmp_path, capsys):
    write_scene(exports / "Nice" / "s2.tif", np.full((4, 80, 80), 7, np.uint16), left=340_000.0, top=TOP, pixel=20)
    folder = exports / "Aix_en_Provence"
    scene = np.random.default_rng(0).integers(1, 4000, (4, 150, 150), dtype=np.uint16)
    write_scene(folder / "s2.tif", scene[:, :, :80], left=CITY_LEFT + 3, top=TOP + 3)
    write_scene(folder / "s2_east.tif", scene[:, :, 80:], left=CITY_LEFT + 800, top=TOP)
    assert prepare("--val-cities", "Nice") == 0
    aix, nice = warnings_of(capsys, tmp_path / "out")
    # The tiles begin 7 m west of the labels, one pixel west of the first scene, which fills columns 1 to 80: 63 of the two
    # tiles on the left, 17 of the one on the right, whose other 47 are the second's. 47 of 63 + 63 + 64 are 24.7 %, and
    # 800 m of 1300 m 62 %.
    assert aix.startswith("Aix_en_Provence: Sentinel-2 is resampled in 1 of 3 tiles (24.7 % of its pixels)")
    assert "that of s2.tif, which shows 62 %" in aix and "s2_east.tif had to be resampled" in aix
    assert nice.startswith("Nice: Sentinel-2 is resampled in 3 of 3 tiles (100 % of its pixels)")
    assert "20 x 20 m in EPSG:32631, those of the tiles 10 x 10 m" in nice


@needs_terramesh
def test_every_value_of_real_tiles_survives(tmp_path):
    """Their origins are no multiples of 10 m."""
    sources = sorted((TERRAMESH / "S2L2A").glob("*.tif"))
    for path in sources:
        city = tmp_path / "in" / path.stem
        with rasterio.open(path) as file:
            bands, place, crs = file.read([2, 3, 4, 8]), file.transform, file.crs.to_string()
            write_scene(city / "s2.tif", bands, left=place.c, top=place.f, crs=crs)
            labels = shapely.box(place.c + 12, place.f - 2232, place.c + 2232, place.f - 12)  # all but a pixel around
        write_layer(city / "ua.gpkg", [labels], ["11100"], crs=crs)
    summary = prepare_quadruplets(tmp_path / "in", tmp_path / "out", tile_size=32, num_workers=1)
    compared = 0
    for path in sources:
        with rasterio.open(path) as file:
            bands, origin = file.read([2, 3, 4, 8]), file.transform
        for tile_path in sorted((tmp_path / "out/s2").glob(f"{path.stem}_*.tif")):
            with rasterio.open(tile_path) as file:
                tile = file.read()
                row, column = (origin.f - file.transform.f) / 10, (file.transform.c - origin.c) / 10
            assert abs(row - round(row)) < 1e-6 and abs(column - round(column)) < 1e-6
            row, column = round(row), round(column)
            source = bands[:, row : row + 32, column : column + 32]
            inside = tile[:, : source.shape[1], : source.shape[2]]
            np.testing.assert_array_equal(inside, np.maximum(source, 1))
            compared += inside.size
    assert compared == 3 * 4 * 223 * 223  # the last tiles reach to the scene's edge
    assert "s2 copied from the scenes in 147 tiles, resampled in 0 (0 % of its pixels)" in summary


@needs_terramesh
def test_a_real_land_cover_raster_becomes_labels(tmp_path):
    for path in sorted((TERRAMESH / "LULC").glob("*.tif")):
        city = tmp_path / "in" / path.stem
        city.mkdir(parents=True)
        shutil.copy(path, city / "labels.tif")
        with rasterio.open(TERRAMESH / "S2L2A" / path.name) as file:
            place = file.transform
            write_scene(city / "s2.tif", file.read([2, 3, 4, 8]), left=place.c, top=place.f, crs=file.crs.to_string())
    prepare_quadruplets(tmp_path / "in", tmp_path / "out", tile_size=112, merge_table="terramesh", num_workers=1)
    # Water, trees, flooded vegetation, crops, built area; bare ground and snow do not occur; rangeland
    meaning = {1: 0, 2: 1, 3: 2, 4: 3, 5: 4, 9: 7}
    for path in sorted((TERRAMESH / "LULC").glob("*.tif")):
        with rasterio.open(path) as file:
            codes = file.read(1)
        names = [f"{path.stem}_{row:04d}_{column:04d}" for row in range(2) for column in range(2)]
        upper_left, upper_right, lower_left, lower_right = (read(tmp_path / "out", LABELS, name)[0][0] for name in names)
        found = np.block([[upper_left, upper_right], [lower_left, lower_right]])
        np.testing.assert_array_equal(found, np.vectorize(meaning.get)(codes))


def test_land_cover_rasters_of_any_grid_become_labels(prepare, exports, tmp_path):
    """ESA WorldCover as it comes, in degrees and in tiles; another map in pixels of 100 m with codes below zero."""
    rng = np.random.default_rng(0)
    aix, nice = exports / "Aix_en_Provence", exports / "Nice"
    (aix / "ua.gpkg").unlink()
    # Pixels of about 11 x 16 m, from 600 m west of the scenes to beyond their east edge, cut in two files; 0 is no data.
    side, (west, north) = 1.5e-4, from_utm(CITY_LEFT - 600, TOP + 300, 31)
    codes = rng.choice([10, 20, 95, 100, 0], (130, 200)).astype(np.uint8)
    write_scene(aix / "labels_W.tif", codes[:, :90], left=west, top=north, pixel=side, crs="EPSG:4326")
    write_scene(aix / "LABELS_E.TIF", codes[:, 90:], left=west + 90 * side, top=north, pixel=side, crs="EPSG:4326", nodata=0)
    coarse = rng.choice([-7, 20, -1], (15, 15)).astype(np.int16)
    cover(nice, coarse, 340_000, nodata=-1)
    (tmp_path / "table.csv").write_text("code,class\n10,trees\n95,trees\n-7,moss\n20,shrubs\n100,moss\n0,\n")
    assert prepare("--val-cities", "Nice", "--merge-table", str(tmp_path / "table.csv"), "--min-labeled", "0") == 0
    table = {10: 0, 95: 0, -7: 1, 100: 1, 20: 2, 0: 255, -1: 255}
    compared = 0
    for sample in load_quadruplets(tmp_path / "out", "train") + load_quadruplets(tmp_path / "out", "val"):
        (labels,), profile = read(tmp_path / "out", LABELS, sample["image_id"])
        x, y = centers(profile["transform"].c, profile["transform"].f, 10, 64, 64)
        if sample["city"] == "Nice":
            source, column, row = coarse, (x - 340_000) / 100, (TOP - y) / 100
        else:
            longitude, latitude = from_utm(x, y, 31)  # by a formula, without GDAL
            source, column, row = codes, (longitude - west) / side, (north - latitude) / side
        # GDAL places pixels to an eighth of a source pixel.
        sure = np.minimum(abs(column - np.rint(column)), abs(row - np.rint(row))) > 0.13
        inside = (column >= 0) & (column < source.shape[1]) & (row >= 0) & (row < source.shape[0])
        expected = np.full(labels.shape, 255)
        expected[inside] = np.vectorize(table.get)(source[row[inside].astype(int), column[inside].astype(int)])
        np.testing.assert_array_equal(labels[sure], expected[sure])
        compared += np.count_nonzero(sure & (expected != 255))
    # 150 x 150 px of scenes each; 1/5 and 1/3 of the map's pixels are no data; 0.74 squared is sure
    assert compared > 0.4 * 2 * 150 * 150 * 0.7
    assert json.loads((tmp_path / "out/prepared.json").read_text())["parameters"]["classes"] == ["trees", "moss", "shrubs"]
    assert (
        prepare("--val-cities", "Nice", "--merge-table", str(tmp_path / "table.csv"), "--min-labeled", "0") == 0
    )  # resumed
    cover(nice, coarse + 1, 340_000)
    assert prepare("--val-cities", "Nice", "--merge-table", str(tmp_path / "table.csv"), "--min-labeled", "0") == 2


def test_what_was_valid_stays_valid_for_the_reader(prepare, tmp_path):
    assert prepare("--val-cities", "Nice") == 0
    sample = load_quadruplets(tmp_path / "out", "train")[0]
    power, valid = read_raster(sample["modalities"]["s1"], Modality("s1", 2, transform="db"))
    np.testing.assert_array_equal(valid, np.add.outer(np.arange(64), np.arange(64)) >= 80)
    assert power[:, valid].max() <= 0 and power[:, valid].min() >= -20.001
    assert read_raster(sample["modalities"]["s2"], Modality("s2", 4))[1].all()
    assert read_raster(sample["modalities"]["dnw"], Modality("dnw", classes=9))[1].all()


def test_the_layouts_own_constants_hold():
    assert tuple(sensors.SENSORS) == SENSORS
    assert quadruplet_tiles.LABELS == LABELS


def test_several_processes_give_the_same_bytes(prepare, tmp_path):
    assert prepare() == 0
    assert prepare("--num-workers", "2", output="parallel") == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "parallel")


def test_workers_import_no_deep_learning():
    """Each worker process would need seconds and hundreds of megabytes for it."""
    code = (
        "import sys, imrsf_d2.preparation.quadruplets.tiles, imrsf_d2.preparation.quadruplets.plan; "
        "sys.exit(bool({'torch', 'detectron2'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_sensors_without_data_in_a_tile_have_no_file(prepare, exports, tmp_path):
    folder = exports / "Aix_en_Provence"
    for name in ("s1_a.tif", "s1_b.tif", "s2.tif", "DNW.TIF"):
        (folder / name).unlink()
    shutil.rmtree(folder / "dem")
    write_scene(folder / "s2.tif", np.full((4, 64, 64), 7, np.uint16), left=CITY_LEFT, top=TOP)
    write_scene(folder / "dem.tif", np.full((64, 128), 7, np.float32), left=CITY_LEFT, top=TOP)
    assert prepare("--val-cities", "Nice") == 0
    found = {
        sample["image_id"][-9:]: sorted(name for name, path in sample["modalities"].items() if path)
        for sample in load_quadruplets(tmp_path / "out", "train")
    }
    assert found == {"0000_0000": ["dem", "s2"], "0000_0001": ["dem"]}
    record = json.loads((tmp_path / "out/.prepared/Aix_en_Provence_0001_0000.json").read_text())
    assert record["skipped"] == "no sensor has data"


@pytest.mark.parametrize("crs, expected", [("EPSG:4326", 32631), ("EPSG:3857", 32631), ("EPSG:2154", 2154)])
def test_tiles_are_in_meters(prepare, exports, tmp_path, crs, expected):
    """If Sentinel-2 is in degrees or in world Mercator, the tiles are in the UTM zone of the labels."""
    folder = exports / "Aix_en_Provence"
    place = rasterio.warp.transform_bounds("EPSG:32631", crs, CITY_LEFT - 200, TOP - 1700, CITY_LEFT + 1700, TOP + 200)
    write_scene(
        folder / "s2.tif",
        np.full((4, 200, 200), 7, np.uint16),
        left=place[0],
        top=place[3],
        pixel=(place[2] - place[0]) / 200,
        crs=crs,
    )
    assert prepare("--val-cities", "Nice") == 0
    sample = load_quadruplets(tmp_path / "out", "train")[0]
    with rasterio.open(sample["modalities"]["s2"]) as file:
        assert file.crs.to_epsg() == expected and file.res == (10, 10)
        assert file.transform.c % 10 == 0 and file.transform.f % 10 == 0


def test_folders_match_in_any_case(prepare, exports, tmp_path):
    assert prepare(output="plain") == 0
    for city in exports.iterdir():
        (city / "S1").mkdir()
        for path in sorted(city.glob("s1*.tif")):
            path.rename(city / "S1" / path.name)
        (city / "dem").rename(city / "Dem")
    assert prepare() == 0
    skip = ".prepared/cities.json"
    assert {name: content for name, content in contents(tmp_path / "out").items() if name != skip} == {
        name: content for name, content in contents(tmp_path / "plain").items() if name != skip
    }
