"""Which part of a scene is opened, by bounds and areas."""

import json

import numpy as np
import pytest
import shapely
import shapely.geometry
from rasterio.transform import from_origin

from imrsf_d2.inference.opening import open_sensors
from imrsf_d2.inference.sensors import NamedRasters
from imrsf_d2.modalities import Modality, ModalitySet
from tests.inference.scene_files import LEFT, TOP, UTM

MODALITIES = ModalitySet([Modality("dsm", 1)])
PART = shapely.box(LEFT + 10, TOP - 40, LEFT + 30, TOP - 20)


@pytest.fixture
def rasters():
    return NamedRasters(MODALITIES, {"dsm": (np.ones((100, 200), np.float32), from_origin(LEFT, TOP, 1, 1), UTM)})


def test_an_area_is_the_part_of_the_map_around_it(rasters):
    scene = open_sensors(MODALITIES, rasters, area=PART)
    assert scene.grid.bounds == PART.bounds and scene.area.equals(PART)
    assert open_sensors(MODALITIES, rasters, bounds=PART.bounds).grid == scene.grid


def test_a_file_of_polygons_is_an_area_in_its_own_system(rasters, tmp_path):
    feature = {"type": "Feature", "properties": {}, "geometry": shapely.geometry.mapping(PART)}
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32633"}}
    path = tmp_path / "area.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": [feature]}))
    for area in (path, str(path)):
        assert open_sensors(MODALITIES, rasters, area=area).grid.bounds == pytest.approx(PART.bounds)


def test_a_polygon_that_crosses_itself_is_taken_for_what_it_covers(rasters):
    crossed = shapely.Polygon([(LEFT, TOP), (LEFT + 20, TOP - 20), (LEFT + 20, TOP), (LEFT, TOP - 20)])
    halves = [[(0, 0), (10, 10), (0, 20)], [(20, 0), (10, 10), (20, 20)]]
    halves = [shapely.Polygon([(LEFT + x, TOP - y) for x, y in corners]) for corners in halves]
    assert not crossed.is_valid
    assert open_sensors(MODALITIES, rasters, area=crossed).area.equals(shapely.union_all(halves))


def test_points_and_lines_beside_polygons_are_no_area(rasters):
    line = shapely.LineString([(LEFT, TOP), (LEFT + 200, TOP)])
    mixed = shapely.GeometryCollection([line, shapely.MultiPolygon([PART]), shapely.Point(LEFT, TOP)])
    assert open_sensors(MODALITIES, rasters, area=mixed).area.equals(PART)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"area": PART, "bounds": PART.bounds}, "pass one of them"),
        ({"area": shapely.Point(LEFT, TOP)}, "the area holds no polygon"),
        ({"area": shapely.Polygon()}, "holds no polygon"),
        ({"area": "nowhere.gpkg"}, "no file 'nowhere.gpkg'"),
        ({"area": shapely.box(0, 0, 1, 1)}, "holds no pixel of the map"),
    ],
)
def test_an_area_that_is_none_is_refused(rasters, options, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        open_sensors(MODALITIES, rasters, **options)
