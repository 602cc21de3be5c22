"""One scene with buildings, and the tiles of it."""

import pytest

from imrsf_d2.preparation.tiles.labels import LabelOptions
from imrsf_d2.preparation.tiles.prepare import TileRequest, prepare_tiles
from imrsf_d2.preparation.tiles.scenes import GridOptions
from imrsf_d2.preparation.tiles.splits import SplitOptions
from tests.preparation.tiles.places import write_polygons, write_scene
from tests.preparation.tiles.read_tiles import SHAPES, TILE


@pytest.fixture(scope="module")
def instances(tmp_path_factory):
    folder = tmp_path_factory.mktemp("instances")
    sensors = write_scene(folder / "scene")
    labels = write_polygons(folder / "buildings.geojson", SHAPES)
    request = TileRequest(sensors, LabelOptions(labels, "instance"), GridOptions(TILE), split=SplitOptions(0.75, block=1))
    return folder / "out", request, prepare_tiles(request, folder / "out", num_workers=1)
