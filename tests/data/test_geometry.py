"""Large-scale jitter: where pixels land, and what becomes of validity and measurements when they are resized."""

import numpy as np
import pytest

from imrsf_d2.data.geometry import Geometry, draw_geometry
from imrsf_d2.data.masks import instance_masks
from tests.raster_files import run_lengths

RAMP = np.arange(16, dtype=np.float32).reshape(1, 4, 4)
ALL = np.ones((4, 4), dtype=bool)


def test_twice_as_large_by_hand():
    geometry = Geometry(1, 2, 2, 2, resized=(4, 4))
    assert geometry.rows.tolist() == [1, 1, 2, 2] and geometry.columns.tolist() == [2, 2, 3, 3]
    np.testing.assert_array_equal(geometry.apply(RAMP)[0], np.kron([[6, 7], [10, 11]], np.ones((2, 2))))
    bands, valid = geometry.apply_measurements(RAMP, ALL, [0.0])
    assert valid.all() and bands.shape == (1, 4, 4)
    # Between the centers of 6 and 7 the new pixels lie at a quarter and three quarters; at the edge the value holds.
    np.testing.assert_allclose(bands[0, 0], [6, 6.25, 6.75, 7])
    np.testing.assert_allclose(bands[0, :, 0], [6, 7, 9, 10])


def test_half_as_large_is_the_mean():
    bands, valid = Geometry(0, 0, 4, 4, resized=(2, 2)).apply_measurements(RAMP, ALL, [0.0])
    np.testing.assert_allclose(bands[0], [[2.5, 4.5], [10.5, 12.5]])
    assert valid.all()


def test_where_one_side_shrinks_and_the_other_grows_the_center_still_counts():
    """The middle of four rows lies between the second and the third: half of each, where both hold data."""
    column = np.array([[1.0], [2.0], [4.0], [8.0]], dtype=np.float32)[None]
    geometry = Geometry(0, 0, 4, 1, resized=(1, 2))
    assert geometry.apply_measurements(column, np.ones((4, 1), bool), [0.0])[0].tolist() == [[[3.0, 3.0]]]
    bands, valid = geometry.apply_measurements(column, np.array([[False], [False], [True], [True]]), [0.0])
    assert valid.all() and bands.tolist() == [[[4.0, 4.0]]]


@pytest.mark.parametrize("resized", [(2, 2), (3, 3), (6, 6), (9, 9)])
@pytest.mark.parametrize("turns, mirror", [(0, False), (3, True)])
def test_an_invalid_pixel_never_shows(resized, turns, mirror):
    valid = ALL.copy()
    valid[1, 2] = valid[3] = False
    bands = np.where(valid, np.float32(7), np.float32(1e6))[None]
    geometry = Geometry(0, 0, 4, 4, turns, mirror, resized)
    moved, moved_valid = geometry.apply_measurements(bands, valid, [5.0])
    np.testing.assert_array_equal(moved_valid, geometry.apply(valid))
    np.testing.assert_allclose(moved[0][moved_valid], 7.0, rtol=1e-6)
    assert (moved[0][~moved_valid] == 5.0).all() and (~moved_valid).any()


def test_beyond_the_edge_is_invalid_after_resizing_too():
    bands, valid = Geometry(0, 0, 8, 8, resized=(4, 4)).apply_measurements(RAMP, ALL, [-1.0])
    assert valid.tolist() == [[True, True, False, False]] * 2 + [[False] * 4] * 2
    np.testing.assert_allclose(bands[0, :2, :2], [[2.5, 4.5], [10.5, 12.5]])
    assert (bands[0][~valid] == -1).all()


@pytest.mark.parametrize(
    "geometry",
    [Geometry(1, 2, 5, 4, 1, False, (8, 8)), Geometry(0, 0, 12, 12, 2, True, (7, 5)), Geometry(3, 0, 3, 9, 3, True, (3, 9))],
    ids=["grown", "shrunk", "as it is"],
)
def test_masks_move_exactly_with_the_image(geometry):
    mask = (np.random.default_rng(1).random((9, 9)) < 0.5).astype(np.uint8)
    masks, kept = instance_masks([{"segmentation": {"size": [9, 9], "counts": run_lengths(mask)}}], 9, 9, geometry)
    assert kept == [0] and masks.shape[1:] == geometry.output_size
    np.testing.assert_array_equal(masks[0], geometry.apply(mask) > 0)


def test_scales_are_drawn_within_bounds_and_windows_inside():
    drawn = [draw_geometry((100, 80), (40, 40), True, np.random.default_rng(i), (0.5, 2.0)) for i in range(300)]
    sides = np.array([g.height for g in drawn])
    assert sides.min() == 20 and 78 <= sides.max() <= 80
    # Log-uniform: growing and shrinking are equally likely.
    assert 120 < (sides < 40).sum() < 180
    assert all(g.output_size == (40, 40) for g in drawn)
    assert all(0 <= g.top <= 100 - g.height and 0 <= g.left <= 80 - g.width for g in drawn)


def test_without_jitter_the_draws_are_those_of_the_plain_crop():
    plain, one = (draw_geometry((9, 9), (4, 4), True, np.random.default_rng(3), scale) for scale in [(1.0, 1.0), (1, 1)])
    assert plain == one and plain.resized is None
