"""Sources whose longitudes are counted in another turn around the world than the target's."""

import numpy as np
import pytest
from rasterio.crs import CRS
from rasterio.warp import transform as transform_points

from imrsf_d2.geo.grids import Grid
from imrsf_d2.geo.warp import Warp, resample_each
from tests.geo.test_warp import centers, everywhere


def smooth(longitude, latitude):
    """A field that has one value at a place, whatever its longitude is counted from."""
    return (50 * np.cos(np.radians(longitude)) * np.cos(np.radians(latitude)) + latitude).astype(np.float32)


def degrees_of(grid):
    x, y = centers(grid)
    moved = transform_points(grid.crs, "EPSG:4326", x.ravel(), y.ravel())
    return tuple(np.reshape(values, grid.shape) for values in moved)


WGS84, MERCATOR = CRS.from_epsg(4326), CRS.from_epsg(3857)
TURN_M = 2 * np.pi * 6378137
#: name -> system of the map, its western edge and northern edge in degrees, the side of its pixels, and the source.
TURNED = {
    "beyond 180": (32760, 179.95, -17, 300, Grid.north_up(WGS84, 179.7, -16.5, 0.003, 334, 300)),
    "before -180": (32760, 179.95, -17, 300, Grid.north_up(WGS84, -180.3, -16.5, 0.003, 334, 300)),
    "0 to 360": (32719, -70, -20, 900, Grid.north_up(WGS84, 0, 60, 0.5, 240, 720)),
    "285 to 295": (32719, -70, -20, 900, Grid.north_up(WGS84, 285, -15, 0.01, 1000, 1000)),
    "Mercator beyond its edge": (
        32760,
        179.95,
        -17,
        300,
        Grid.north_up(MERCATOR, TURN_M / 2 - 40_000, -1.8e6, 300, 1200, 300),
    ),
    "onto degrees of another turn": (
        4326,
        179.95,
        -17,
        0.003,
        Grid.north_up(MERCATOR, -TURN_M / 2 - 40_000, -1.8e6, 300, 1200, 300),
    ),
}


@pytest.mark.parametrize("name", sorted(TURNED))
@pytest.mark.parametrize("columns", [(0, 96), (0, 8), (40, 48), (88, 96)], ids=["all", "west", "middle", "east"])
def test_a_place_is_found_in_whichever_turn_around_the_world_it_is_stored(name, columns):
    epsg, west, north, pixel, source = TURNED[name]
    crs = CRS.from_epsg(epsg)
    (left,), (top,) = transform_points("EPSG:4326", crs, [west], [north])
    target = Grid.north_up(crs, left, top, pixel, 32, 96)
    part = (slice(0, 32), slice(*columns))
    x, y = centers(source)
    if source.crs == MERCATOR:
        longitude = x / TURN_M * 360
        latitude = np.degrees(2 * np.arctan(np.exp(y / 6378137)) - np.pi / 2)
    else:
        longitude, latitude = x, y
    assert target.part(*part).meets(source)
    warps = Warp.each_between(source, target, part)
    assert all(warp.window[1].stop - warp.window[1].start < 200 for warp in warps)
    values = smooth(longitude, latitude)
    pieces = [(values[None][(slice(None), *warp.window)], everywhere(source)[warp.window]) for warp in warps]
    bands, valid = resample_each(warps, pieces, categorical=False)
    assert valid.all()
    np.testing.assert_allclose(bands[0], smooth(*degrees_of(target))[part], atol=0.02)
    # A pixel without data in the corner of the window, which the part hardly reaches, takes nothing else with it.
    for _, known in pieces:
        known[0, 0] = False
    _, valid = resample_each(warps, pieces, categorical=False)
    assert valid[16:, 8 if columns[1] == 96 else 4 :].all()


@pytest.mark.parametrize("shift", [0.0, -0.0125, 0.0125, 180.0])
def test_no_more_of_a_map_of_the_world_is_read_than_a_tile_needs(shift):
    world = Grid.north_up(WGS84, -180 + shift, 90, 0.025, 7200, 14400)
    target = Grid.north_up(WGS84, -180, 90, 0.05, 3600, 7200)
    for column in (0, 3500, 6784, 7000):  # the last one reaches beyond the target
        warps = Warp.each_between(world, target, (slice(512, 1024), slice(column, column + 512)), exact=True)
        pixels = sum(np.prod([side.stop - side.start for side in warp.window]) for warp in warps)
        assert pixels < 1.2 * 1024**2 and len(warps) == 1 + (shift == 180 and column == 3500)


def test_grids_on_opposite_sides_of_the_world_do_not_meet():
    assert not Grid.north_up(WGS84, -180, 10, 0.1, 100, 450).meets(Grid.north_up(WGS84, 10, 10, 0.1, 100, 200))
