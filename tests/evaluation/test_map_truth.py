"""Polygons of a file on the pixels of a map."""

import numpy as np
import pyogrio.raw
import pytest
import shapely
from rasterio.crs import CRS

from imrsf_d2.evaluation.map_truth import read_buildings
from imrsf_d2.geo.grids import Grid

GRID = Grid.north_up(CRS.from_epsg(32633), 500_000, 5_800_000, 0.5, 40, 60)


def write(path, shapes, crs="EPSG:32633"):
    geometry = np.array(shapely.to_wkb([shapely.MultiPolygon([shape]) for shape in shapes]), dtype=object)
    number = np.arange(len(shapes))
    pyogrio.raw.write(
        path, geometry, [number], np.array(["id"], dtype=object), geometry_type="MultiPolygon", crs=crs, driver="GPKG"
    )
    return path


def box(left, top, right, bottom):
    """Columns and rows of GRID to map coordinates."""
    return shapely.box(500_000 + left / 2, 5_800_000 - bottom / 2, 500_000 + right / 2, 5_800_000 - top / 2)


def test_boxes_on_pixel_edges_are_those_pixels_and_courtyards_are_left_out(tmp_path):
    court = box(10, 5, 30, 25).difference(box(15, 10, 20, 18))
    beyond = box(50, 30, 90, 90)  # only its corner lies in the map
    far = box(100, 100, 110, 110)
    found = read_buildings(write(tmp_path / "b.gpkg", [court, beyond, far]), GRID)
    whole = [np.zeros(GRID.shape, bool) for _ in found]
    for image, one in zip(whole, found):
        image[one.top : one.top + one.mask.shape[0], one.left : one.left + one.mask.shape[1]] = one.mask
    expected = np.zeros(GRID.shape, bool)
    expected[5:25, 10:30] = True
    expected[10:18, 15:20] = False
    assert len(found) == 2
    np.testing.assert_array_equal(whole[0], expected)
    np.testing.assert_array_equal(np.argwhere(whole[1])[[0, -1]], [[30, 50], [39, 59]])
    assert whole[1].sum() == 100


def test_polygons_in_another_system_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"b.gpkg is in EPSG:32632, expected the system of the map"):
        read_buildings(write(tmp_path / "b.gpkg", [box(0, 0, 5, 5)], "EPSG:32632"), GRID)
