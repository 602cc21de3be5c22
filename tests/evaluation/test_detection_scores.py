"""F1, precision and recall, against counting one prediction after the other as SpaceNet does, and by hand."""

import math

import numpy as np
import pytest

from imrsf_d2.evaluation.detection_scores import detection_scores
from imrsf_d2.evaluation.per_image import InstanceImages
from tests.evaluation.test_instance_evaluator import SPLIT, TRUTH, dataset, disc, evaluate, instances, perfect  # noqa: F401


def doubled_predictions(rng):
    """Of each object two that overlap it more or less, and others; scores are tenths, so that some are equal."""
    predictions = {}
    for image_id in SPLIT:
        masks = [np.roll(mask, rng.integers(-2, 3, size=2), axis=(0, 1)) for mask, _ in TRUTH[image_id] * 2]
        masks += [disc(*rng.integers(5, 40, 2), rng.integers(3, 9)) for _ in range(2)]
        predictions[image_id] = instances(masks, rng.integers(1, 10, len(masks)) / 10)
    return predictions


def counted(predictions, threshold):
    """F1, precision and recall in percent, with masks compared pixel by pixel."""
    right = wrong = missed = 0
    for image_id in SPLIT:
        left = [mask for mask, _ in TRUTH[image_id]]
        found = predictions[image_id]
        pairs = list(zip(found.scores.tolist(), found.pred_masks.numpy() > 0))
        for score, mask in sorted(pairs, key=lambda pair: -pair[0]):
            if score < threshold:
                continue
            ious = [(mask & true).sum() / (mask | true).sum() for true in left]
            if ious and max(ious) >= 0.5:
                left.pop(int(np.argmax(ious)))
                right += 1
            else:
                wrong += 1
        missed += len(left)
    precision, recall = right / max(1, right + wrong), right / (right + missed)
    return [100 * value for value in (2 * precision * recall / ((precision + recall) or 1), precision, recall)]


@pytest.mark.parametrize("seed", range(4))
def test_the_evaluator_counts_as_one_does_who_goes_through_the_predictions(dataset, seed):  # noqa: F811
    predictions = doubled_predictions(np.random.default_rng(seed))
    scores = evaluate(dataset, predictions)["segm"]
    assert [scores[key] for key in ("F1", "precision", "recall")] == pytest.approx(counted(predictions, 0.5))
    assert 0 < scores["F1"] < 100
    by_threshold = [counted(predictions, threshold) for threshold in np.arange(0.5, 10) / 10]
    assert scores["F1max"] == pytest.approx(max(f1 for f1, _, _ in by_threshold))
    at_best = [scores[key] for key in ("F1max", "F1max-precision", "F1max-recall")]
    assert at_best == pytest.approx(counted(predictions, scores["F1max-threshold"]))


def images(objects, confidence, right):
    zeros = np.zeros(len(confidence), int)
    return InstanceImages((1,), np.array([[objects]]), zeros, zeros, np.array(confidence, float), np.array(right, bool))


def test_by_hand():
    scores = detection_scores(images(4, [0.2, 0.9, 0.5, 0.3, 0.3], [False, True, False, True, True]))
    assert scores == pytest.approx(
        {
            "F1": 100 / 3,  # 1 found of 2 predicted and 4 there: 2 * 1 / (2 + 4)
            "precision": 50,
            "recall": 25,
            "F1max": 75,  # 3 found of 4 predicted and 4 there
            "F1max-precision": 75,
            "F1max-recall": 75,
            "F1max-threshold": 0.3,
        }
    )


def test_predictions_of_equal_scores_stand_or_fall_together():
    scores = detection_scores(images(1, [0.7, 0.7, 0.7], [True, False, False]))
    assert (scores["F1max"], scores["F1max-threshold"]) == pytest.approx((50, 0.7))


def test_nothing_predicted_scores_0_and_nothing_to_find_has_no_score():
    nothing = detection_scores(images(2, [], []))
    assert math.isnan(nothing.pop("F1max-threshold")) and set(nothing.values()) == {0}
    assert all(map(math.isnan, detection_scores(images(0, [0.9], [False])).values()))


def test_all_wrong_scores_0():
    scores = detection_scores(images(2, [0.9, 0.4], [False, False]))
    assert (scores["F1"], scores["precision"], scores["F1max"]) == (0, 0, 0) and math.isnan(scores["F1max-threshold"])


def test_perfect_predictions_score_100(dataset):  # noqa: F811
    scores = evaluate(dataset, perfect())["segm"]
    assert {scores[key] for key in ("F1", "precision", "recall", "F1max", "F1max-precision", "F1max-recall")} == {100}
    assert scores["F1max-threshold"] == pytest.approx(0.9)
