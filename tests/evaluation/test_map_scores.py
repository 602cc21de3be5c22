"""Scores of masks by their place in an image of any size, against pycocotools on whole images."""

import math

import numpy as np
import pycocotools.mask as mask_util
import pytest

from imrsf_d2.evaluation.map_scores import PlacedMask, _encode, score_masks


def square(top, left, side=10, **more):
    return PlacedMask(top, left, np.ones((side, side), bool), **more)


def test_a_mask_is_encoded_as_pycocotools_encodes_the_whole_image():
    rng = np.random.default_rng(0)
    for _ in range(200):
        height, width = rng.integers(5, 40, 2)
        rows, columns = int(rng.integers(1, height + 1)), int(rng.integers(1, width + 1))
        top, left = int(rng.integers(0, height - rows + 1)), int(rng.integers(0, width - columns + 1))
        mask = rng.random((rows, columns)) < rng.random()
        whole = np.zeros((height, width), np.uint8, order="F")
        whole[top : top + rows, left : left + columns] = mask
        assert _encode(PlacedMask(top, left, mask), int(height), int(width)) == mask_util.encode(whole)


def test_worked_scores():
    objects = [square(0, 0), square(0, 50), square(50, 0), square(990, 990)]
    assert score_masks([((1000, 1000), objects, objects)])["AP"] == pytest.approx(100)
    # Moved by two pixels of ten: IoU 8 / 12, so right at 0.5, 0.55, 0.6 and 0.65 of the ten thresholds.
    moved = [square(one.top, one.left + 2 if one.left < 900 else one.left - 2) for one in objects]
    scores = score_masks([((1000, 1000), objects, moved)])
    assert (scores["AP50"], scores["AP75"], scores["AP"]) == pytest.approx((100, 0, 40))
    # Half of the objects found, by the better-scored of the predictions: 51 of COCO's 101 recalls have precision 1.
    found = [*(square(one.top, one.left, score=0.9) for one in objects[:2]), square(500, 500, score=0.1)]
    assert score_masks([((1000, 1000), objects, found)])["AP50"] == pytest.approx(100 * 51 / 101)
    assert score_masks([((1000, 1000), objects, [])])["AP50"] == 0


def test_what_is_ignored_is_neither_right_nor_wrong():
    ignored, counted = square(0, 0, ignored=True), square(50, 50)
    found = [square(0, 0, score=0.9), square(50, 50, score=0.8)]
    assert score_masks([((100, 100), [ignored, counted], found)])["AP50"] == pytest.approx(100)
    assert score_masks([((100, 100), [counted], found)])["AP50"] == pytest.approx(50)


def test_more_predictions_than_coco_looks_at_all_count():
    objects = [square(20 * row, 20 * column) for row in range(15) for column in range(15)]
    assert score_masks([((300, 300), objects, objects)])["AP50"] == pytest.approx(100)


def test_images_are_scored_together_and_matched_each_for_itself():
    objects = [square(0, 0)]
    assert score_masks([((30, 30), objects, []), ((40, 40), [], objects)])["AP50"] == 0
    assert score_masks([((30, 30), objects, objects), ((40, 40), objects, objects)])["AP50"] == pytest.approx(100)


@pytest.mark.parametrize("found", [[], [square(0, 0)]], ids=["nothing found", "something found"])
@pytest.mark.parametrize("objects", [[], [square(50, 50, ignored=True)]], ids=["no object", "ignored alone"])
def test_where_there_is_no_object_there_is_no_score(objects, found):
    assert all(math.isnan(score) for score in score_masks([((100, 100), objects, found)]).values())


@pytest.mark.parametrize("found", [[], [square(80, 80, side=5)]], ids=["nothing found", "another place"])
def test_objects_that_are_not_found_score_0_and_sizes_without_one_nothing(found):
    """COCO's small objects are those below 32 x 32 px."""
    scores = score_masks([((100, 100), [square(0, 0, side=31)], found)])
    assert {name: scores[name] for name in ("AP", "AP50", "AP75", "APs")} == dict.fromkeys(("AP", "AP50", "AP75", "APs"), 0)
    assert math.isnan(scores["APm"]) and math.isnan(scores["APl"])
