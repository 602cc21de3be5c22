"""Bootstrap, and what is derived from the scores of subsets."""

import math

import numpy as np
import pytest

from imrsf_d2.evaluation.bootstrap import interval, resample_counts
from imrsf_d2.evaluation.confusion import semantic_scores
from imrsf_d2.evaluation.per_image import SemanticImages
from imrsf_d2.evaluation.shapley import shapley_values
from imrsf_d2.evaluation.summary import summarize

CLASSES = ["field", "road"]
NAMES = ("a", "b")
SUBSETS = [("a", "b"), ("a",), ("b",)]
NUM_IMAGES = 20


def confusions(share, seed=0):
    """Two classes on images of 100 px each, with this share of right pixels."""
    rng = np.random.default_rng(seed)
    field = rng.integers(20, 90, NUM_IMAGES)
    right = np.stack([rng.binomial(field, share), rng.binomial(100 - field, share)], axis=1)
    true = np.stack([field, 100 - field], axis=1)
    wrong = true - right
    rows = [[right[:, 0], wrong[:, 0]], [wrong[:, 1], right[:, 1]]]
    return np.moveaxis(np.array(rows), -1, 0)


def sweep(shares, subsets=SUBSETS):
    ids = tuple(range(NUM_IMAGES))
    images = {subset: SemanticImages(ids, confusions(share)) for subset, share in zip(subsets, shares)}
    rows = [
        {
            "modalities": list(subset),
            "images": NUM_IMAGES,
            "seconds": 1.0,
            "results": {"sem_seg": semantic_scores(own.confusion.sum(axis=0), CLASSES)},
        }
        for subset, own in images.items()
    ]
    return rows, images


def test_resamples_have_as_many_images_and_repeat_with_the_seed():
    counts = resample_counts(7, 300, seed=1)
    assert counts.shape == (300, 7) and (counts.sum(axis=1) == 7).all() and counts.min() == 0
    assert np.array_equal(counts, resample_counts(7, 300, seed=1))
    assert not np.array_equal(counts, resample_counts(7, 300, seed=2))
    # Drawn with replacement, an image is there on average once, with the variance of a binomial.
    assert counts.mean() == 1 and counts.var() == pytest.approx(1 - 1 / 7, abs=0.1)
    assert resample_counts(7, 0, seed=0).shape == (0, 7)


def test_an_interval_leaves_out_what_has_no_score():
    assert interval(np.array([*np.arange(101.0), np.nan]), level=0.9) == pytest.approx((5, 95))
    assert all(math.isnan(end) for end in interval(np.array([np.nan])))


def test_everything_is_derived_from_the_scores():
    rows, images = sweep([0.9, 0.8, 0.6])
    summary = summarize(NAMES, rows, images, CLASSES, resamples=50)
    score = {tuple(row["modalities"]): row["results"]["sem_seg"]["mIoU"] for row in rows}
    assert {subset: estimate.value for subset, estimate in summary.scores.items()} == score
    assert summary.retention[("b",)].value == pytest.approx(score[("b",)] / score[("a", "b")])
    assert summary.losses["a"].value == pytest.approx(score[("a", "b")] - score[("b",)])
    assert summary.mean_incomplete.value == pytest.approx((score[("a",)] + score[("b",)]) / 2)
    assert summary.worst == ("b",) and summary.metric == "mIoU" and summary.num_images == NUM_IMAGES
    true = images[("a",)].confusion.sum(axis=(0, 2))
    blind = max(semantic_scores(np.outer(true, onehot).astype(int), CLASSES)["mIoU"] for onehot in np.eye(2))
    assert summary.blind_results["sem_seg"]["mIoU"] == pytest.approx(blind) and "everywhere" in summary.blind
    assert {name: estimate.value for name, estimate in summary.shapley.items()} == pytest.approx(
        shapley_values(NAMES, {**score, (): blind})
    )
    for estimate in [*summary.scores.values(), *summary.shapley.values(), *summary.losses.values()]:
        assert estimate.low < estimate.value < estimate.high


def test_intervals_are_those_of_a_bootstrap_spelled_out():
    rows, images = sweep([0.9, 0.8, 0.6])
    summary = summarize(NAMES, rows, images, CLASSES, resamples=40, seed=3)
    gains = []
    for counts in resample_counts(NUM_IMAGES, 40, seed=3):
        drawn = np.repeat(np.arange(NUM_IMAGES), counts)
        score = {s: semantic_scores(own.confusion[drawn].sum(axis=0), CLASSES)["mIoU"] for s, own in images.items()}
        constant = np.zeros((2, 2), int)
        constant[:, int(summary.blind.startswith("'road'"))] = images[("a",)].confusion[drawn].sum(axis=(0, 2))
        gains.append(shapley_values(NAMES, {**score, (): semantic_scores(constant, CLASSES)["mIoU"]})["a"])
    low, high = np.quantile(gains, [0.025, 0.975])
    assert (summary.shapley["a"].low, summary.shapley["a"].high) == pytest.approx((low, high))


def test_subsets_share_their_resamples():
    """Equal predictions lose exactly nothing in every resample, whatever the spread of their scores."""
    summary = summarize(NAMES, *sweep([0.7, 0.7, 0.7]), CLASSES, resamples=30)
    assert (summary.losses["a"].low, summary.losses["a"].value, summary.losses["a"].high) == (0, 0, 0)
    assert (summary.retention[("b",)].low, summary.retention[("b",)].high) == (1, 1)
    assert summary.scores[("a",)].high - summary.scores[("a",)].low > 0.5


def test_a_choice_of_subsets_leaves_out_what_needs_the_others():
    summary = summarize(NAMES, *sweep([0.9], [("a",)]), CLASSES, resamples=0)
    assert summary.shapley == {} and summary.losses == {} and summary.retention == {}
    assert summary.worst == ("a",) and math.isnan(summary.scores[("a",)].low)
    complete = summarize(NAMES, *sweep([0.9], [("a", "b")]), CLASSES, resamples=0)
    assert complete.mean_incomplete is None and complete.worst is None and complete.retention[("a", "b")].value == 1


def test_one_modality_is_worth_all_there_is():
    summary = summarize(("a",), *sweep([0.9], [("a",)]), CLASSES, resamples=0)
    gain = summary.scores[("a",)].value - summary.blind_results["sem_seg"]["mIoU"]
    assert summary.shapley["a"].value == pytest.approx(gain) and summary.losses == {}


def test_other_images_are_refused():
    rows, images = sweep([0.9, 0.8], SUBSETS[:2])
    images[("a",)] = SemanticImages(tuple(range(1, NUM_IMAGES + 1)), images[("a",)].confusion)
    with pytest.raises(ValueError, match="a was evaluated on 20 images, which are not the 20 images of a.b"):
        summarize(NAMES, rows, images, CLASSES, resamples=0)
