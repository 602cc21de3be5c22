"""Any grid: its parts, tiles and scaled copies lie where they should, and grids are compared by where they lie."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.transform import Affine, from_origin, xy

from imrsf_d2.geo.grids import Grid, cover

UTM = CRS.from_epsg(32631)
FINE = Grid(8, 12, UTM, from_origin(500_000, 5_000_000, 10, 10))
COARSE = Grid(4, 6, UTM, from_origin(500_000, 5_000_000, 20, 20))
places = st.floats(-1e6, 1e6)
lengths = st.floats(0.5, 5e4)
resolutions = st.sampled_from([0.5, 2.5, 10.0, 20.0, 0.3])
grids = st.builds(
    Grid.north_up,
    st.just(UTM),
    st.integers(-(10**6), 10**6),
    st.integers(-(10**6), 10**6),
    resolutions,
    st.integers(1, 300),
    st.integers(1, 300),
)


@given(places, places, lengths, lengths, resolutions, st.tuples(places, places))
def test_a_cover_holds_its_bounds_on_whole_pixels_and_is_the_smallest(left, bottom, width, height, resolution, origin):
    grid = cover((left, bottom, left + width, bottom + height), UTM, resolution, origin)
    found = np.array(grid.bounds) / resolution
    wanted = np.array([left, bottom, left + width, bottom + height]) / resolution
    over = np.array([wanted[0] - found[0], wanted[1] - found[1], found[2] - wanted[2], found[3] - wanted[3]])
    # An edge that is a multiple but for a millionth of a pixel costs no row of pixels.
    assert (over > -2e-6).all() and (over < 1 + 2e-6).all()
    phase = (found - np.array(2 * origin) / resolution) % 1
    assert np.minimum(phase, 1 - phase).max() < 1e-5


@given(grids, st.integers(1, 128))
def test_the_tiles_of_a_grid_hold_each_of_its_pixels_once(grid, size):
    seen = np.zeros((math.ceil(grid.height / size) * size, math.ceil(grid.width / size) * size), dtype=int)
    for row, column, tile in grid.tiles(size):
        assert tile.shape == (size, size) and grid.offset_of(tile, 1e-4) == (row * size, column * size)
        seen[row * size : (row + 1) * size, column * size : (column + 1) * size] += 1
    assert (seen == 1).all()


def window(grid, row, column, height, width):
    return grid.part(slice(row, row + height), slice(column, column + width))


@given(grids, *[st.integers(-200, 200)] * 4, st.integers(1, 50), st.integers(1, 50))
def test_a_part_of_a_part_is_a_part(grid, row, column, further, aside, height, width):
    once = window(grid, row + further, column + aside, height, width)
    twice = window(window(grid, row, column, 500, 500), further, aside, height, width)
    np.testing.assert_allclose(twice.bounds, once.bounds, rtol=0, atol=1e-6)
    assert twice.shape == (height, width)


affines = st.builds(
    lambda left, top, angle, width, height: (
        Affine.translation(left, top) * Affine.rotation(angle) * Affine.scale(width, -height)
    ),
    st.floats(-1e6, 1e6),
    st.floats(-1e6, 1e6),
    st.floats(-180, 180),
    st.floats(0.1, 100),
    st.floats(0.1, 100),
)
turned = st.builds(Grid, st.integers(1, 500), st.integers(1, 500), st.just(UTM), affines)


def corners(grid):
    rows, columns = (0, 0, grid.height, grid.height), (0, grid.width, 0, grid.width)
    return np.array(xy(grid.transform, rows, columns, offset="ul"))


@given(turned, st.integers(0, 300), st.integers(0, 300), st.integers(1, 100), st.integers(1, 100))
def test_the_pixels_of_a_part_lie_where_they_lie_in_the_whole(grid, row, column, height, width):
    part = grid.part(slice(row, row + height), slice(column, column + width))
    assert part.shape == (height, width)
    np.testing.assert_allclose(
        xy(part.transform, [0, height - 1], [0, width - 1]),
        xy(grid.transform, [row, row + height - 1], [column, column + width - 1]),
        atol=1e-5,
    )


@given(turned, st.integers(1, 500), st.integers(1, 500))
def test_a_scaled_grid_shows_the_same_ground_and_can_be_scaled_back(grid, height, width):
    scaled = grid.scaled_to(height, width)
    assert scaled.shape == (height, width)
    np.testing.assert_allclose(corners(scaled), corners(grid), atol=1e-5)
    assert scaled.scaled_to(*grid.shape).equals(grid) and grid.equals(grid)
    assert scaled.equals(grid) == (scaled.shape == grid.shape)


@given(turned, st.floats(0.2, 50), st.floats(-180, 180))
def test_a_grid_that_lies_elsewhere_is_another(grid, pixels, angle):
    side = np.sqrt(abs(grid.transform.determinant))
    x, y = pixels * side * np.cos(np.radians(angle)), pixels * side * np.sin(np.radians(angle))
    assert not Grid(*grid.shape, UTM, Affine.translation(x, y) * grid.transform).equals(grid)
    assert Grid(*grid.shape, UTM, Affine.translation(x * 0.09 / pixels, y * 0.09 / pixels) * grid.transform).equals(grid)


@pytest.mark.parametrize(
    "other, same",
    [
        (Grid(8, 12, UTM, from_origin(500_000.9, 5_000_000, 10, 10)), True),
        (Grid(8, 12, UTM, from_origin(500_001.1, 5_000_000, 10, 10)), False),
        (Grid(8, 12, UTM, from_origin(500_000, 5_000_000, 10.2, 10)), False),  # 2.4 m off at the right edge
        (Grid(8, 12, CRS.from_epsg(32632), FINE.transform), False),
        (Grid(8, 12, None, Affine.identity()), True),  # does not say
        (COARSE, False),
    ],
)
def test_which_grids_are_one(other, same):
    assert FINE.equals(other) is same and other.equals(FINE) is same


def test_the_same_ground_in_other_pixels():
    assert COARSE.scaled_to(8, 12).equals(FINE) and FINE.scaled_to(4, 6).equals(COARSE)
