"""Windows, grids and intervals on a circle: what holds for all of them."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS

from imrsf_d2.geo.grids import Grid, cover
from imrsf_d2.geo.wrapping import meets, smallest_arc, turns
from imrsf_d2.preparation.dfc2023.crops import tile_windows
from imrsf_d2.preparation.quadruplets.mosaics import open_mosaics
from imrsf_d2.preparation.quadruplets.warping import fill_grid
from tests.preparation.quadruplets.scene_files import LEFT, TOP, write_scene

UTM = CRS.from_epsg(32631)
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


@given(st.integers(1, 40), st.integers(1, 12), st.integers(1, 12))
def test_crops_hold_each_pixel_once(size, rows, columns):
    image = np.arange(size * rows * size * columns).reshape(size * rows, size * columns)
    crops = [window.apply(image) for window in tile_windows(*image.shape, size)]
    assert {crop.shape for crop in crops} == {(size, size)}
    whole = np.block([[crops[row * columns + column] for column in range(columns)] for row in range(rows)])
    np.testing.assert_array_equal(whole, image)
    np.testing.assert_array_equal(tile_windows(*image.shape, None)[0].apply(image), image)


@given(st.integers(1, 200), st.integers(1, 200), st.integers(1, 64))
def test_crops_that_do_not_divide_an_image_are_refused(height, width, size):
    assume(height % size or width % size)
    with pytest.raises(ValueError, match="without a rest"):
        tile_windows(height, width, size)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """Random heights with holes, and the mosaic of their file."""
    rng = np.random.default_rng(0)
    values = rng.uniform(100, 200, (60, 60)).astype(np.float32)
    values[rng.random(values.shape) < 0.2] = np.nan
    values[20:30, 20:30] = np.nan
    return values, open_mosaics("dem", [str(write_scene(tmp_path_factory.mktemp("scene") / "dem.tif", values))])


@settings(max_examples=40)
@given(left=st.floats(-150, 650), top=st.floats(-150, 650), resolution=st.sampled_from([3.0, 10.0, 17.0]))
def test_a_pixel_has_data_where_the_nearest_has_and_its_value_lies_among_valid_ones(scene, left, top, resolution):
    values, mosaics = scene
    grid = Grid.north_up(UTM, LEFT + left, TOP - top, resolution, 16, 16)
    found, copied = fill_grid(mosaics, grid)
    rows = (top + resolution * (np.arange(16) + 0.5)) / 10
    columns = (left + resolution * (np.arange(16) + 0.5)) / 10
    nearest = np.full((16, 16), np.nan)
    inside = ((rows >= 0) & (rows < 60))[:, None] & ((columns >= 0) & (columns < 60))
    at = np.clip(np.floor(rows).astype(int), 0, 59)[:, None], np.clip(np.floor(columns).astype(int), 0, 59)
    nearest[inside] = values[at][inside]
    # Half a billionth of a pixel from an edge, either neighbor is the nearest.
    sure = (np.abs(rows - np.rint(rows)) > 1e-6)[:, None] & (np.abs(columns - np.rint(columns)) > 1e-6)
    np.testing.assert_array_equal(np.isnan(found[0])[sure], np.isnan(nearest)[sure])
    there = found[0][~np.isnan(found[0])]
    assert there.size == 0 or 100 <= there.min() and there.max() <= 200
    if copied.any():
        np.testing.assert_array_equal(found[0][sure], nearest[sure])


@given(left=st.integers(-40, 60), top=st.integers(-40, 60), height=st.integers(1, 30), width=st.integers(1, 30))
def test_on_the_pixels_of_the_scene_every_value_is_copied(scene, left, top, height, width):
    values, mosaics = scene
    found, copied = fill_grid(mosaics, Grid.north_up(UTM, LEFT + 10 * left, TOP - 10 * top, 10.0, height, width))
    around = np.pad(values, 100, constant_values=np.nan)[100 + top : 100 + top + height, 100 + left : 100 + left + width]
    np.testing.assert_array_equal(found[0], around)
    np.testing.assert_array_equal(copied, ~np.isnan(around))


arcs = st.lists(st.tuples(st.integers(-180, 360), st.integers(0, 200)), min_size=1, max_size=6)


@given(arcs)
def test_the_smallest_arc_holds_all_and_leaves_out_the_widest_gap(arcs):
    left = np.array([start for start, _ in arcs], dtype=float)
    right = left + [length for _, length in arcs]
    low, high = smallest_arc(left, right, 360.0)
    for start, end in zip(left, right):
        inside = [low <= start + 360 * k and end + 360 * k <= high for k in turns(start, end, low, high, 360.0)]
        assert high - low == 360 or any(inside)
    # Whole degrees and the stretches between them: what no interval touches, and the longest run of it.
    free = np.ones(720, dtype=bool)
    for start, end in zip(left.astype(int), right.astype(int)):
        free[np.arange(2 * start, 2 * end + 1) % 720] = False
    longest = max((len(run) for run in "".join("x" if f else " " for f in [*free, *free]).split()), default=-1)
    assert high - low == 360 - (longest + 1) // 2


@given(*[st.integers(-720, 720), st.integers(0, 359)] * 2)
def test_intervals_meet_if_they_do_in_some_number_of_turns(left, length, low, width):
    expected = any(left + 360 * k <= low + width and left + length + 360 * k >= low for k in range(-6, 7))
    found = meets(np.array([float(left)]), np.array([float(left + length)]), low, low + width, 360.0)
    assert found.tolist() == [expected]
    assert bool(turns(left, left + length, low, low + width, 360.0)) == expected
