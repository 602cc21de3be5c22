import numpy as np
import pytest

from imrsf_d2.inference.blending import blend
from imrsf_d2.inference.windows import WindowGrid

SIZE = 64


@pytest.mark.parametrize("height, width", [(1, 1), (1, 300), (64, 64), (65, 130), (200, 464)])
def test_an_identity_model_returns_its_input(rng, height, width):
    truth = rng.random((3, max(height, SIZE), max(width, SIZE)), dtype=np.float32)
    windows = WindowGrid(height, width, SIZE, 16)
    found = ((w, truth[:, w.top : w.bottom, w.left : w.right]) for w in windows)
    result = blend((0, 0, height, width), found, 3)
    assert np.abs(result - truth[:, :height, :width]).max() <= 1e-6


def test_a_constant_model_shows_no_seam():
    windows = WindowGrid(200, 300, SIZE, 16)
    found = ((w, np.full((2, SIZE, SIZE), [[[0.3]], [[0.7]]], dtype=np.float32)) for w in windows)
    result = blend((0, 0, 200, 300), found, 2)
    assert np.ptp(result, axis=(1, 2)).max() <= 1e-6


def test_windows_count_by_their_distance_from_the_middle():
    """Of two windows, one of zeros and one of ones, where both lie: sin^2 of the second one over the sum of both."""
    windows = WindowGrid(64, 112, SIZE, 16)
    found = [(window, np.full((1, SIZE, SIZE), value, dtype=np.float32)) for window, value in zip(windows, (0, 1))]
    left, right = (window.left for window, _ in found)
    result = blend((0, 0, 64, 112), found, 1)[0]
    for column in range(right, left + SIZE):
        of_left, of_right = (np.sin(np.pi * (column - start + 0.5) / SIZE) ** 2 for start in (left, right))
        assert result[:, column] == pytest.approx(of_right / (of_left + of_right), abs=1e-5)
    assert (result[:, :right] == 0).all() and (result[:, left + SIZE :] == 1).all()


def test_areas_side_by_side_equal_the_whole_to_the_bit(rng):
    windows = WindowGrid(200, 300, SIZE, 24)
    found = {w: rng.random((2, SIZE, SIZE), dtype=np.float32) for w in windows}
    whole = blend((0, 0, 200, 300), found.items(), 2)
    parts = np.empty_like(whole)
    for top in range(0, 200, 70):
        for left in range(0, 300, 110):
            area = top, left, min(top + 70, 200), min(left + 110, 300)
            parts[:, area[0] : area[2], area[1] : area[3]] = blend(area, ((w, found[w]) for w in windows.touching(*area)), 2)
    np.testing.assert_array_equal(parts, whole)


def test_where_no_window_lies_nothing_is_known():
    windows = WindowGrid(64, 112, SIZE, 16)
    result = blend((0, 0, 64, 112), [(windows[0], np.ones((1, SIZE, SIZE), dtype=np.float32))], 1)
    assert (result[..., :64] == 1).all() and np.isnan(result[..., 64:]).all()
