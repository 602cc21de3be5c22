"""Polygons and rasters of labels become label maps and objects of the tiles."""

import json

import numpy as np
import pytest
import rasterio
import shapely
from rasterio.features import rasterize
from rasterio.transform import from_origin
from rasterio.warp import transform_geom

from imrsf_d2.data.dataset_yaml import read_dataset_file
from imrsf_d2.preparation.tiles.labels import LabelOptions
from imrsf_d2.preparation.tiles.prepare import TileRequest, prepare_tiles
from imrsf_d2.preparation.tiles.scenes import GridOptions
from imrsf_d2.preparation.tiles.splits import SplitOptions
from tests.preparation.tiles.places import CRS, HEIGHT, LEFT, TOP, WIDTH, box, place, rgb, write_polygons
from tests.preparation.tiles.read_tiles import TILE, coco, offset, semantic
from tests.raster_files import write_raster_file

FIELDS = [box(0, 0, 60, 50), box(40, 20, 110, 90), box(50, 40, 55, 45)]


def test_polygons_become_label_maps_within_the_labeled_area(tmp_path):
    labels = write_polygons(tmp_path / "fields.gpkg", FIELDS, use=["crop", "forest", "crop"])
    area = write_polygons(tmp_path / "area.geojson", [box(10, 5, 90, 96)])
    found, names, _ = semantic(tmp_path, labels, column="USE", area=area)
    assert names == ("background", "crop", "forest")
    transform = from_origin(LEFT, TOP, 1, 1)
    expected = rasterize(zip(FIELDS, (1, 2, 1)), out_shape=(HEIGHT, WIDTH), transform=transform).astype(int)
    inside = rasterize([box(10, 5, 90, 96)], out_shape=(HEIGHT, WIDTH), transform=transform) > 0
    expected[~inside] = 255
    assert np.array_equal(found, expected)


def test_without_a_background_the_rest_is_not_labeled(tmp_path):
    labels = write_polygons(tmp_path / "fields.gpkg", FIELDS[:2], use=["crop", "forest"])
    found, names, _ = semantic(tmp_path, labels, column="use", background="none")
    assert names == ("crop", "forest")
    expected = rasterize(zip(FIELDS, (1, 2)), out_shape=found.shape, transform=from_origin(LEFT, TOP, 1, 1)) - 1
    assert np.array_equal(found, np.where(expected < 0, 255, expected))


def test_label_rasters_of_another_grid_are_looked_up_by_code(tmp_path):
    codes = np.array([10, 20, 30, 90], dtype=np.int16)[np.random.default_rng(4).integers(0, 4, (20, 40))]
    codes[:3] = -1
    write_raster_file(tmp_path / "cover/west.tif", codes[:, :16], nodata=-1, **place(pixel=4.0))
    write_raster_file(tmp_path / "cover/east.tif", codes[:, 16:], nodata=-1, **place(pixel=4.0, left=LEFT + 64))
    table = tmp_path / "classes.csv"
    table.write_text("code,class,color\n10,trees,#00ff00\n20,water,\n30,trees,#00ff00\n90,,\n")
    found, names, summary = semantic(tmp_path, str(tmp_path / "cover"), table=str(table))
    expected = np.full((HEIGHT, WIDTH), -1)
    expected[:80] = np.repeat(np.repeat(codes, 4, axis=0), 4, axis=1)[:, :WIDTH]
    expected = np.select([np.isin(expected, (10, 30)), expected == 20], [0, 1], 255)
    assert names == ("trees", "water") and np.array_equal(found, expected)
    assert json.loads((tmp_path / "out/prepared.json").read_text())["complete"]
    assert read_dataset_file(tmp_path / "out/dataset.yaml").classes[0].color == (0, 255, 0)


def test_long_codes_on_other_pixels_and_of_other_types_stay_apart(tmp_path):
    """Ten digits, as crops have: float32 rounds these to one number."""
    codes = 3301010100 + np.arange(3)[np.random.default_rng(4).integers(0, 3, (25, 32))]
    (tmp_path / "crops").mkdir()
    write_raster_file(tmp_path / "crops/west.tif", codes[:, :16].astype(np.uint32), **place(pixel=4.0))
    east = {"left": LEFT + 64, "pixel": 4.0}
    write_raster_file(tmp_path / "crops/east.tif", codes[:, 16:].astype(np.int64), nodata=-1, **place(**east))
    found, names, _ = semantic(tmp_path, str(tmp_path / "crops"))
    assert names == ("class 3301010100", "class 3301010101", "class 3301010102")
    assert np.array_equal(found, np.repeat(np.repeat(codes - 3301010100, 4, axis=0), 4, axis=1))


def test_a_class_that_no_tile_has_is_named(tmp_path):
    labels = write_polygons(tmp_path / "fields.gpkg", [box(0, 0, 60, 50)], use=["crop"])
    (tmp_path / "table.csv").write_text("code,class\ncrop,crop\nforest,forest\n")
    _, names, summary = semantic(tmp_path, labels, column="use", table=str(tmp_path / "table.csv"))
    assert names == ("background", "crop", "forest") and "no tile has the class 'forest'" in summary


@pytest.mark.parametrize("crs", (CRS, "EPSG:32632"))
def test_labels_reach_as_far_as_the_tiles(tmp_path, crs):
    """The last tiles reach beyond the reference, where another sensor has data."""
    rasters = {
        "rgb": str(write_raster_file(tmp_path / "rgb.tif", rgb(height=40, width=40), **place())),
        "dsm": str(write_raster_file(tmp_path / "dsm.tif", np.ones((70, 70), np.float32), **place())),
    }
    shapes = [box(10, 10, 15, 15), box(50, 50, 60, 60), box(30, 55, 38, 66)]
    labels = write_polygons(tmp_path / "buildings.gpkg", move(shapes, crs), crs)
    area = write_polygons(tmp_path / "area.gpkg", move([box(-50, -50, 200, 200)], crs), crs)
    for task in ("semantic", "instance"):
        request = TileRequest(
            rasters, LabelOptions(labels, task, area=area), GridOptions(TILE, reference="rgb"), split=SplitOptions(1)
        )
        prepare_tiles(request, tmp_path / task, num_workers=1)
    found = np.full((64, 64), 255, dtype=np.uint8)
    for path in (tmp_path / "semantic/labels").iterdir():
        column, row = offset(path)
        with rasterio.open(path) as file:
            found[row : row + TILE, column : column + TILE] = file.read(1)
    assert np.array_equal(found, rasterize(shapes, out_shape=(64, 64), transform=from_origin(LEFT, TOP, 1, 1)))
    # The last building lies in two tiles, and ends with them.
    assert sorted(a["area"] for a in coco(tmp_path / "instance", "train").anns.values()) == [18, 25, 54, 100]


def move(shapes, crs):
    return [shapely.geometry.shape(transform_geom(CRS, crs, shapely.geometry.mapping(shape))) for shape in shapes]


def test_spellings_of_a_class_are_one_and_are_named(tmp_path):
    uses = ["Crop", "Background", "crop", "crop"]
    shapes = [box(0, 0, 20, 20), box(30, 30, 40, 40), box(50, 50, 60, 60), box(70, 70, 80, 80)]
    found, names, summary = semantic(tmp_path, write_polygons(tmp_path / "fields.gpkg", shapes, use=uses), column="use")
    assert names == ("Background", "crop") and np.count_nonzero(found == 1) == 400 + 100 + 100
    assert "'Crop', 'crop'" in summary and "the class 'Background' of the polygons" in summary
