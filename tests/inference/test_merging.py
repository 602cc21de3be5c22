"""Each object once, whatever the windows make of it: an oracle's masks, clipped and jittered, against the truth."""

import numpy as np
import pytest

from imrsf_d2.inference.detections import Detection, drop_doubles, overlap_iou
from imrsf_d2.inference.merging import merge as merge_in_steps
from imrsf_d2.inference.windows import WindowGrid
from tests.inference.oracle_scene import ceiling, compare, draw_scene, look, look_everywhere

SIZE = 512


def merge(windows, found):
    return (one for some in merge_in_steps(windows, found) for one in some)


@pytest.fixture(scope="module")
def scene():
    return draw_scene(seed=0, height=2000, width=2300, halls=4, tries=2000)


@pytest.mark.parametrize("overlap", [128, 256])
@pytest.mark.parametrize("jitter", [0, 1])
def test_every_building_comes_out_once_and_in_one_piece(scene, overlap, jitter):
    windows = WindowGrid(*scene.shape, SIZE, overlap)
    buildings, once, twice, pieces = compare(scene, merge(windows, look_everywhere(scene, windows, jitter)))
    assert buildings > 1000
    assert (once, twice, pieces) == (buildings, 0, 0)


def test_at_two_pixels_of_jitter_nothing_is_lost_beyond_what_the_masks_themselves_lose():
    scene = draw_scene(seed=1, height=2000, width=2300, halls=4, tries=2000, least=10)
    windows = WindowGrid(*scene.shape, SIZE, 128)
    buildings, once, _, pieces = compare(scene, merge(windows, look_everywhere(scene, windows, 2)))
    assert once / buildings >= ceiling(scene, windows, 2) - 0.002
    assert pieces / buildings <= 0.005


def test_a_building_larger_than_a_window_is_one_object():
    scene = np.zeros((900, 1400), dtype=np.int32)
    scene[90:810, 100:1290] = 1
    scene[300:400, 600:700] = 0  # a courtyard
    windows = WindowGrid(*scene.shape, 256, 64)
    (found,) = merge(windows, look_everywhere(scene, windows))
    assert (found.top, found.left, found.cut) == (90, 100, False)
    np.testing.assert_array_equal(found.mask, scene[90:810, 100:1290] == 1)


def test_row_houses_that_share_walls_are_not_fused():
    scene = np.zeros((200, 1000), dtype=np.int32)
    scene[80:110] = (np.arange(1000) // 13 + 1)[None]
    windows = WindowGrid(*scene.shape, 256, 64)
    objects = list(merge(windows, look_everywhere(scene, windows, jitter=1)))
    assert compare(scene, objects) == (77, 77, 0, 0)


def test_a_score_is_the_mean_over_the_windows_that_saw_the_object():
    windows = WindowGrid(256, 448, 256, 64)  # two, which share columns 192 to 256
    mask = np.ones((20, 20), dtype=bool)

    def objects(left, *scores):
        found = (
            (i, [] if score is None else [Detection(i, 0, 0, score, 100, left, mask)]) for i, score in enumerate(scores)
        )
        return [(one.left, one.score) for one in merge(windows, found)]

    assert objects(210, 0.75, 0.25) == [(210, 0.5)]
    assert objects(210, 0.75, None) == [(210, 0.375)]  # the second saw it and did not find it
    assert objects(180, 0.75, None) == [(180, 0.75)]  # ... saw less than nine tenths of it
    assert objects(190, 0.75, None) == [(190, 0.375)]  # ... saw just these
    assert objects(20, 0.75, None) == [(20, 0.75)]
    (only,) = merge(windows, [(0, [Detection(0, 0, 0, 0.75, 100, 210, mask)])])
    assert only.score == 0.75  # nothing was looked for in the second


def test_the_score_of_what_no_window_sees_is_that_of_its_best_piece():
    windows = WindowGrid(256, 448, 256, 64)
    pieces = [
        (0, [Detection(0, 0, 0, 0.5, 100, 20, np.ones((20, 236), dtype=bool))]),
        (1, [Detection(1, 0, 0, 0.75, 100, 192, np.ones((20, 200), dtype=bool))]),
    ]
    (one,) = merge(windows, pieces)
    assert (one.left, one.mask.shape, one.score) == (20, (20, 372), 0.75)


def test_objects_come_out_as_soon_as_no_window_can_change_them(scene):
    windows = WindowGrid(*scene.shape, SIZE, 128)
    seen = []

    def found():
        for window in windows:
            seen.append(window.top)
            yield window.index, look(scene, window)

    reach = [(seen[-1], found.top + found.mask.shape[0]) for found in merge(windows, found())]
    assert reach[0][0] <= 2 * (SIZE - 128)  # with the first row of windows that begins below the first ones
    last = windows.tops[-1]
    early = sum(at < last for at, _ in reach)
    assert early > len(reach) / 3


def test_windows_left_out_are_windows_without_anything(scene):
    windows = WindowGrid(*scene.shape, SIZE, 128)
    everything = list(look_everywhere(scene, windows))
    some = [(index, found) for index, found in everything if found]
    assert summary(merge(windows, everything)) == summary(merge(windows, some))


def summary(objects):
    return [(o.top, o.left, o.mask.shape, int(o.mask.sum()), o.score) for o in objects]


def test_a_piece_that_another_window_saw_whole_is_a_ghost():
    windows = WindowGrid(200, 300, 128, 64)
    piece = Detection(0, 0, 0, 0.9, 50, 120, np.ones((8, 8), dtype=bool))  # at the right border of window 0
    assert list(merge(windows, [(0, [piece]), (1, [])])) == []
    # Window 1 was not looked at, as it holds no data: nobody saw more of it.
    (alone,) = merge(windows, [(0, [piece])])
    assert (alone.top, alone.left) == (50, 120)


def test_objects_of_different_classes_are_never_linked():
    windows = WindowGrid(128, 192, 128, 64)
    one, other = (Detection(window, 0, window, 0.9, 50, 80, np.ones((8, 8), dtype=bool)) for window in (0, 1))
    assert sorted(found.label for found in merge(windows, [(0, [one]), (1, [other])])) == [0, 1]


def test_whether_an_object_touches_the_border_of_the_scene_is_said():
    scene = np.zeros((128, 192), dtype=np.int32)
    scene[0:8, 4:12], scene[20:28, 4:12], scene[20:28, 184:192] = 1, 2, 3
    scene[60:68, 0:8], scene[120:128, 60:68] = 4, 5
    windows = WindowGrid(*scene.shape, 128, 64)
    found = {(o.top, o.left): o.cut for o in merge(windows, look_everywhere(scene, windows))}
    assert found == {(0, 4): True, (20, 4): False, (20, 184): True, (60, 0): True, (120, 60): True}


def test_two_queries_on_one_building_are_one_detection():
    mask = np.ones((10, 10), dtype=bool)
    best, double = Detection(0, 0, 0, 0.9, 5, 5, mask), Detection(0, 1, 0, 0.8, 5, 6, mask)
    other_class, far = Detection(0, 2, 1, 0.7, 5, 5, mask), Detection(0, 3, 0, 0.6, 5, 12, mask)
    assert overlap_iou(best, double) == 90 / 110 and overlap_iou(best, far) == 30 / 170
    assert drop_doubles([best, double, other_class, far]) == [best, other_class, far]


def test_iou_within_an_area_counts_what_lies_in_it_alone():
    one = Detection(0, 0, 0, 0.9, 0, 0, np.ones((4, 10), dtype=bool))
    other = Detection(1, 0, 0, 0.9, 0, 6, np.ones((4, 10), dtype=bool))
    assert overlap_iou(one, other) == 16 / 64
    assert overlap_iou(one, other, (0, 6, 4, 10)) == 1.0
    assert overlap_iou(one, other, (0, 20, 4, 30)) == 0.0


def test_what_is_final_comes_at_once_and_in_the_same_order_whatever_is_left_out():
    scene = draw_scene(2, 700, 400, halls=0, tries=200)
    windows = WindowGrid(700, 400, 128, 32)
    rows = len(windows.lefts)
    looked = [found for found in look_everywhere(scene, windows, 1) if found[0] // rows not in (2, 3)]

    def told(every_row):
        for index in range(len(windows)):
            if index % rows == 0 and every_row:
                yield index, None
            yield from (found for found in looked if found[0] == index)

    def summary(objects):
        return [(found.top, found.left, found.score, found.mask.tobytes()) for found in objects]

    expected = summary(merge(windows, iter(looked)))
    assert len(expected) > 50 and summary(merge(windows, told(every_row=True))) == expected
    asked = []
    for found in merge(windows, (asked.append(index) or (index, detections) for index, detections in told(every_row=True))):
        bottom = found.top + found.mask.shape[0]
        assert asked[-1] == len(windows) - 1 or (asked[-1] % rows == 0 and bottom <= windows[asked[-1]].top)


def block(window, number, top, bottom, left, right, score=0.9):
    """A detection of some rows and columns of a scene."""
    return Detection(window, number, 0, score, top, left, np.ones((bottom - top, right - left), dtype=bool))


def test_two_buildings_that_one_window_takes_for_one_stay_two():
    windows = WindowGrid(128, 320, 128, 32)  # from columns 0, 96 and 192
    # Window 0 sees both houses, cut by its border; window 1 takes them for one.
    houses = [block(0, 0, 20, 50, 90, 128), block(0, 1, 52, 70, 90, 128)]
    fused = [block(1, 0, 20, 70, 96, 135)]
    found = sorted((o.top, o.top + o.mask.shape[0]) for o in merge(windows, [(0, houses), (1, fused)]))
    assert found == [(20, 70), (52, 70)]  # what agrees most is one; the other house is not lost


def test_a_pixel_of_a_cut_building_is_as_the_window_says_that_sees_most_around_it():
    windows = WindowGrid(128, 224, 128, 32)  # from columns 0 and 96
    truth = np.s_[40:60, 60:160]
    # Each window is right but near its border, where it adds rows.
    left, right = np.zeros((128, 224), dtype=bool), np.zeros((128, 224), dtype=bool)
    left[40:60, 60:128] = left[38:62, 118:128] = True
    right[40:60, 96:160] = right[36:64, 96:104] = True
    one = Detection(0, 0, 0, 0.9, 38, 60, left[38:62, 60:128])
    other = Detection(1, 0, 0, 0.8, 36, 96, right[36:64, 96:160])
    (found,) = merge(windows, [(0, [one]), (1, [other])])
    expected = np.zeros((128, 224), dtype=bool)
    expected[truth] = True
    assert (found.top, found.left) == (40, 60) and found.score == 0.9
    np.testing.assert_array_equal(found.mask, expected[truth])
