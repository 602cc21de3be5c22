"""Any two grids: parts and scaled copies lie where they should, and aligning shows no invalid pixel."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.transform import Affine, from_origin, xy

from imrsf_d2.geo.grids import Grid
from tests.geo.warping import resample
from tests.strategies import garbage_values, seeds

UTM = CRS.from_epsg(32631)
georeferences = st.builds(
    lambda left, top, pixel: from_origin(500_000 + left, 5_000_000 + top, pixel, pixel),
    st.floats(-100, 100),
    st.floats(-100, 100),
    st.sampled_from([4.0, 10.0, 23.0]),
)
placed = st.builds(Grid, st.integers(1, 20), st.integers(1, 20), st.just(UTM), georeferences)


@settings(max_examples=40)
@given(placed, placed, seeds, garbage_values, st.booleans())
def test_aligning_makes_valid_pixels_of_valid_ones_alone(source, target, seed, garbage, categorical):
    rng = np.random.default_rng(seed)
    valid = rng.random(source.shape) < rng.random()
    values = rng.integers(10, 20, (2, *source.shape)).astype(np.float32)
    bands, on_target = resample(np.where(valid, values, np.float32(garbage)), valid, source, target, categorical)
    rows, columns = np.indices(target.shape)
    x, y = (np.reshape(side, target.shape) for side in xy(target.transform, rows.ravel(), columns.ravel()))
    place = ~source.transform
    column, row = place.a * x + place.c, place.e * y + place.f
    inside = (row >= 0) & (row < source.height) & (column >= 0) & (column < source.width)
    nearest = (
        np.clip(np.floor(row).astype(int), 0, source.height - 1),
        np.clip(np.floor(column).astype(int), 0, source.width - 1),
    )
    # A millionth of a pixel from an edge, either neighbor is the nearest.
    sure = (np.abs(row - np.rint(row)) > 1e-6) & (np.abs(column - np.rint(column)) > 1e-6)
    np.testing.assert_array_equal(on_target[sure], (valid[nearest] & inside)[sure])
    there = bands[:, on_target]
    assert there.size == 0 or 9.999 < there.min() and there.max() < 20.001
    if categorical:
        here = on_target & sure
        np.testing.assert_array_equal(bands[:, here], values[(slice(None), *nearest)][:, here])


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
