"""Transforms by hand: where pixels go, and what happens to validity and measurements when they are resized."""

import numpy as np

from imrsf_d2.data.geometry import Geometry, draw_geometry

RAMP = np.arange(16, dtype=np.float32).reshape(1, 4, 4)
ALL = np.ones((4, 4), dtype=bool)


def test_the_eight_symmetries_of_a_square_by_hand():
    square = np.array([[1, 2], [3, 4]])
    results = [
        Geometry(0, 0, 2, 2, turns, mirror).apply(square).ravel().tolist() for mirror in (False, True) for turns in range(4)
    ]
    assert results == [
        [1, 2, 3, 4],
        [2, 4, 1, 3],
        [4, 3, 2, 1],
        [3, 1, 4, 2],
        [2, 1, 4, 3],
        [4, 2, 3, 1],
        [3, 4, 1, 2],
        [1, 3, 2, 4],
    ]


def test_a_window_beyond_the_edge_is_filled():
    image = np.arange(8, dtype=np.float32).reshape(2, 2, 2)
    result = Geometry(1, 0, 2, 3).apply(image, fill=np.array([-1.0, -2.0])[:, None, None])
    assert result.tolist() == [[[2, 3, -1], [-1, -1, -1]], [[6, 7, -2], [-2, -2, -2]]]


def test_windows_lie_inside_and_reach_every_corner():
    drawn = [draw_geometry((10, 7), (8, 7), True, np.random.default_rng(i)) for i in range(400)]
    assert {(g.top, g.left) for g in drawn} == {(0, 0), (1, 0), (2, 0)}
    assert {(g.turns, g.mirror) for g in drawn} == {(t, m) for t in range(4) for m in (False, True)}


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


def test_beyond_the_edge_is_invalid_after_resizing_too():
    bands, valid = Geometry(0, 0, 8, 8, resized=(4, 4)).apply_measurements(RAMP, ALL, [-1.0])
    assert valid.tolist() == [[True, True, False, False]] * 2 + [[False] * 4] * 2
    np.testing.assert_allclose(bands[0, :2, :2], [[2.5, 4.5], [10.5, 12.5]])
    assert (bands[0][~valid] == -1).all()


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
