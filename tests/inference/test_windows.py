import numpy as np
import pytest

from imrsf_d2.inference.windows import WindowGrid


@pytest.mark.parametrize("height, width", [(1, 1), (64, 200), (65, 64), (300, 500), (64, 64)])
def test_windows_cover_every_pixel_and_lie_inside(height, width):
    windows = WindowGrid(height, width, 64, 16)
    cover = np.zeros((max(height, 64), max(width, 64)), dtype=int)
    for place, window in enumerate(windows):
        assert window.index == place and windows[place] == window
        cover[window.top : window.bottom, window.left : window.right] += 1
        assert window.bottom <= max(height, 64) and window.right <= max(width, 64)
    assert (cover > 0).all() and len(list(windows)) == len(windows)


def test_neighbors_overlap_as_asked():
    windows = WindowGrid(300, 500, 64, 16)
    assert np.diff(windows.tops).max() <= 48 and np.diff(windows.lefts).max() <= 48
    assert windows.tops[-1] == 300 - 64


def test_the_windows_that_touch_an_area_are_those_that_share_a_pixel_with_it():
    windows = WindowGrid(300, 500, 64, 16)
    area = (100, 200, 150, 203)
    expected = [w for w in windows if w.top < 150 and w.bottom > 100 and w.left < 203 and w.right > 200]
    assert windows.touching(*area) == expected


@pytest.mark.parametrize("height, width", [(300, 500), (65, 64), (64, 64), (40, 500), (1, 1)])
def test_the_windows_of_a_part_are_those_of_the_whole_that_touch_it(height, width):
    windows = WindowGrid(height, width, 64, 16)
    for top in {0, height // 2, height - 1}:
        for left in {0, width // 3, width - 1}:
            area = top, left, min(top + 37, height), min(left + 90, width)
            part = list(windows.part(*area))
            assert [(w.top, w.left) for w in part] == [(w.top, w.left) for w in windows.touching(*area)]
            assert [w.index for w in part] == list(range(len(part)))


@pytest.mark.parametrize("overlap", [15, 64, -1])
def test_an_overlap_that_is_no_overlap_is_refused(overlap):
    with pytest.raises(ValueError, match="the overlap is"):
        WindowGrid(300, 500, 64, overlap)
