import numpy as np
import pytest
import shapely
from rasterio.crs import CRS
from rasterio.features import rasterize
from rasterio.transform import Affine, from_origin
from rasterio.warp import transform
from scipy import ndimage

from imrsf_d2.inference.outlines import area_m2, outline

UTM = CRS.from_epsg(32633)
TURNED = Affine.translation(500_000, 5_800_000) * Affine.rotation(30) * Affine.scale(0.5, -0.5)


@pytest.mark.parametrize("transform", [from_origin(500_000, 5_800_000, 0.5, 0.5), TURNED], ids=["north up", "turned"])
def test_outlines_rasterize_back_to_the_mask_holes_and_corners_included(rng, transform):
    for _ in range(20):
        mask = ndimage.binary_opening(rng.random((40, 50)) < 0.7) | (rng.random((40, 50)) < 0.05)
        geometry = outline(mask, transform)
        assert geometry.is_valid
        np.testing.assert_array_equal(rasterize([geometry], mask.shape, transform=transform), mask)
        assert geometry.area == pytest.approx(0.25 * mask.sum(), rel=1e-6)


def test_a_hole_is_a_hole():
    mask = np.ones((5, 5), dtype=bool)
    mask[2, 2] = False
    assert len(outline(mask, Affine.identity()).interiors) == 1


def test_simplification_stays_within_its_tolerance_and_valid():
    rows, columns = np.indices((60, 60))
    mask = (rows - 30) ** 2 + (columns - 30) ** 2 < 25**2
    exact, simple = outline(mask, Affine.identity()), outline(mask, Affine.identity(), simplify=1.0)
    assert simple.is_valid and exact.hausdorff_distance(simple) <= 1.0 + 1e-9
    assert len(simple.exterior.coords) < len(exact.exterior.coords) / 3


def holes(geometry):
    return sum(len(part.interiors) for part in shapely.get_parts(geometry))


@pytest.mark.parametrize("tolerance", [0.6, 1.0, 2.5])
def test_any_simplified_outline_is_valid_and_within_the_tolerance(rng, tolerance):
    for _ in range(20):
        mask = ndimage.gaussian_filter(rng.random((50, 50)), 2.5) > 0.5
        exact, simple = outline(mask, Affine.identity()), outline(mask, Affine.identity(), tolerance)
        assert simple.is_valid and simple.geom_type in ("Polygon", "MultiPolygon")
        assert len(shapely.get_parts(simple)) == len(shapely.get_parts(exact)) and holes(simple) == holes(exact)
        corners = shapely.points(shapely.get_coordinates(exact))
        assert shapely.distance(corners, simple.boundary).max() <= tolerance + 1e-9
        assert {*map(tuple, shapely.get_coordinates(simple))} <= {*map(tuple, shapely.get_coordinates(exact))}


def test_what_simplification_would_erase_is_kept():
    assert outline(np.ones((1, 1), dtype=bool), Affine.identity(), simplify=10.0).area > 0


def test_areas_are_of_the_map_in_meters_feet_and_on_the_ellipsoid():
    mask = np.ones((100, 100), dtype=bool)
    assert area_m2(outline(mask, from_origin(500_000, 5_800_000, 0.5, 0.5)), UTM) == 2500
    feet = CRS.from_epsg(2263)
    assert area_m2(outline(mask, from_origin(1e6, 2e5, 1.0, 1.0)), feet) == pytest.approx(10_000 * 0.3048006096**2, rel=1e-6)
    cell = outline(np.ones((1, 1), dtype=bool), from_origin(12.0, 51.0, 1.0, 1.0))
    assert area_m2(cell, CRS.from_epsg(4326)) == pytest.approx(cell_area(50, 51, 1), rel=1e-6)


A, F = 6378137.0, 1 / 298.257223563
E2 = F * (2 - F)


def web_mercator_y(latitude):
    return A * np.arcsinh(np.tan(np.radians(latitude)))


def world_mercator_y(latitude):
    """On the ellipsoid (Snyder 1987, eq. 7-7)."""
    sine, e = np.sin(np.radians(latitude)), np.sqrt(E2)
    return A * (np.arctanh(sine) - e * np.arctanh(e * sine))


@pytest.mark.parametrize("south", [-1, 50, 69])
@pytest.mark.parametrize("turns", [0, 1])
@pytest.mark.parametrize("code, y", [(3857, web_mercator_y), (3395, world_mercator_y)], ids=["web", "ellipsoidal"])
def test_areas_on_mercator_maps_of_the_world_are_those_on_the_ellipsoid(code, y, turns, south):
    west = np.radians(12.0) + 2 * np.pi * turns
    cell = shapely.box(A * west, y(south), A * (west + np.radians(1)), y(south + 1))
    assert area_m2(cell, CRS.from_epsg(code)) == pytest.approx(cell_area(south, south + 1, 1), rel=1e-6)
    building = shapely.box(A * west, y(south), A * west + 30, y(south) + 20)
    share = (np.degrees(30 / A), (y(south + 0.001) - y(south)) / 20)  # of a strip whose area is known
    assert area_m2(building, CRS.from_epsg(code)) == pytest.approx(
        cell_area(south, south + 0.001, share[0]) / share[1], rel=1e-4
    )


@pytest.mark.parametrize("code", [3832, 3994], ids=["from the equator", "from 41 degrees south"])
def test_areas_on_a_mercator_map_of_a_region_are_those_on_the_ellipsoid(code):
    crs = CRS.from_epsg(code)
    (west, east), (low, high) = transform(CRS.from_epsg(4326), crs, [150.0, 151.0], [-50.0, -49.0])
    assert area_m2(shapely.box(west, low, east, high), crs) == pytest.approx(cell_area(-50, -49, 1), rel=1e-6)


def cell_area(south, north, width):
    """Square meters of a cell of WGS 84, by adding up thin strips."""
    edges = np.radians(np.linspace(south, north, 20_001))
    latitude = (edges[1:] + edges[:-1]) / 2
    w = 1 - E2 * np.sin(latitude) ** 2
    strips = A * np.cos(latitude) / np.sqrt(w) * np.radians(width) * A * (1 - E2) / w**1.5 * np.diff(edges)
    return strips.sum()
