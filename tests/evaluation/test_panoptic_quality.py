"""Panoptic quality against hand-worked numbers and a naive reading of its definition, pixel by pixel."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from imrsf_d2.data.tasks import PANOPTIC
from imrsf_d2.evaluation.panoptic_quality import Matches, match_segments, panoptic_scores
from imrsf_d2.evaluation.per_image import PanopticImages, load_images, save_images
from imrsf_d2.evaluation.scores import SHOWN
from imrsf_d2.evaluation.trivial import trivial_images

CLASSES, THINGS = ("land", "water", "house", "ship", "absent"), {2, 3, 4}
K = len(CLASSES)


def segment(number, category, **more):
    return {"id": number, "category_id": category, **more}


def naive(truths, predictions):
    """Scores of images as the paper defines them, from sets of pixels, in exact fractions."""
    iou, tp, fp, fn = ([Fraction(0)] * K for _ in range(4))
    for (true_ids, true_segments), (found_ids, found_segments) in zip(truths, predictions):
        pixels = list(product(*map(range, true_ids.shape)))
        void = {at for at in pixels if true_ids[at] == 0}
        truth = [(s, {at for at in pixels if true_ids[at] == s["id"]}) for s in true_segments]
        found = [(s, {at for at in pixels if found_ids[at] == s["id"]}) for s in found_segments]
        truth, found = ([(s, where) for s, where in side if where] for side in (truth, found))
        crowds = [(s, where) for s, where in truth if s["iscrowd"]]
        truth = [(s, where) for s, where in truth if not s["iscrowd"]]
        hit = []
        for (i, (one, a)), (j, (other, b)) in product(enumerate(truth), enumerate(found)):
            overlap = Fraction(len(a & b), len(a | (b - void)))
            if one["category_id"] == other["category_id"] and overlap > Fraction(1, 2):
                iou[one["category_id"]] += overlap
                tp[one["category_id"]] += 1
                hit.append((i, j))
        for i, (one, _) in enumerate(truth):
            fn[one["category_id"]] += i not in {i for i, _ in hit}
        for j, (one, b) in enumerate(found):
            excused = void.union(*(a for crowd, a in crowds if crowd["category_id"] == one["category_id"]))
            if j not in {j for _, j in hit} and Fraction(len(b & excused), len(b)) <= Fraction(1, 2):
                fp[one["category_id"]] += 1
    scores = {}
    for suffix, chosen in (("", range(K)), ("_th", THINGS), ("_st", set(range(K)) - THINGS)):
        known = [k for k in chosen if tp[k] + fp[k] + fn[k]]
        for metric, of in (
            ("PQ", lambda k: iou[k] / (tp[k] + (fp[k] + fn[k]) / 2)),
            ("SQ", lambda k: iou[k] / tp[k] if tp[k] else 0),
            ("RQ", lambda k: tp[k] / (tp[k] + (fp[k] + fn[k]) / 2)),
        ):
            scores[metric + suffix] = 100 * float(sum(map(of, known)) / len(known)) if known else np.nan
    return scores


def draw_truth(rng):
    ids = rng.integers(0, 7, (4, 4)).repeat(5, 0).repeat(5, 1)
    return ids, [
        segment(i, int(rng.integers(K - 1)), iscrowd=int(rng.random() < 0.2)) for i in range(1, 7) if (ids == i).any()
    ]


def disturb(rng, truth):
    """A prediction: the segments of the truth shifted and renumbered, with holes; some of another class, some left out."""
    ids, segments = truth
    found = np.roll(ids, rng.integers(2), rng.integers(2)) * 1000
    found = np.where(rng.random(ids.shape) < 0.1, 0, found)
    kept = [segment(s["id"] * 1000, s["category_id"]) for s in segments if rng.random() < 0.9]
    for one in kept:
        if rng.random() < 0.2:
            one["category_id"] = int(rng.integers(K - 1))
    return np.where(np.isin(found, [s["id"] for s in kept]), found, 0), kept


def total(truths, predictions):
    return PanopticImages.of({i: match_segments(*pair, K) for i, pair in enumerate(zip(truths, predictions))})


@pytest.mark.parametrize("seed", range(8))
def test_it_is_the_definition(seed):
    rng = np.random.default_rng(seed)
    truths = [draw_truth(rng) for _ in range(6)]
    predictions = [disturb(rng, truth) for truth in truths]
    images = total(truths, predictions)
    scores, wanted = panoptic_scores(images.total(), CLASSES, THINGS), naive(truths, predictions)
    assert {key: scores[key] for key in wanted} == pytest.approx(wanted, rel=1e-12, nan_ok=True)
    assert 0 < wanted["PQ"] < 100
    # Of a bootstrap resample, too: the first image twice, the last two not at all.
    order = [0, 0, 1, 2, 3]
    resampled = naive([truths[i] for i in order], [predictions[i] for i in order])["PQ"]
    assert images.scores(np.array([[1] * 6, [2, 1, 1, 1, 0, 0]])) == pytest.approx([wanted["PQ"], resampled], rel=1e-12)


def test_hand_worked_numbers():
    truth = np.zeros((4, 10), dtype=np.int32)
    truth[:, :4], truth[:, 4:8] = 1, 2  # 16 px of house, 16 of land, 8 unlabeled
    found = np.zeros_like(truth)
    found[:, 1:4], found[:, 4:7], found[:2, 8:] = 9, 8, 7  # 12 of 16 of each; and 4 px on unlabeled ones
    matches = match_segments(
        (truth, [segment(1, 2, iscrowd=0), segment(2, 0, iscrowd=0)]),
        (found, [segment(9, 2), segment(8, 1), segment(7, 3)]),
        K,
    )
    assert matches.iou.tolist() == [0, 0, 0.75, 0, 0] and matches.right.tolist() == [0, 0, 1, 0, 0]
    assert matches.missed.tolist() == [1, 0, 0, 0, 0] and matches.spurious.tolist() == [0, 1, 0, 0, 0]
    scores = panoptic_scores(matches, CLASSES, THINGS)
    assert (scores["PQ"], scores["PQ_th"], scores["PQ_st"]) == (25, 75, 0)  # ship and absent are no classes to average
    assert scores["PQ-house"] == 75 and scores["PQ-land"] == 0 and np.isnan(scores["PQ-ship"])


@pytest.mark.parametrize(("columns", "right"), [(5, 0), (6, 1)])
def test_exactly_half_is_no_match(columns, right):
    truth, found = np.ones((3, 10), dtype=np.int32), np.zeros((3, 10), dtype=np.int32)
    found[:, :columns] = 1
    matches = match_segments((truth, [segment(1, 0, iscrowd=0)]), (found, [segment(1, 0)]), K)
    assert (matches.right[0], matches.spurious[0], matches.missed[0]) == (right, 1 - right, 1 - right)


def test_nothing_predicted_scores_0_and_files_keep_everything(tmp_path):
    rng = np.random.default_rng(1)
    truths = [draw_truth(rng) for _ in range(3)]
    images = total(truths, [disturb(rng, truth) for truth in truths])
    save_images(tmp_path / "images.npz", images)
    loaded = load_images(tmp_path / "images.npz")
    assert loaded.image_ids == images.image_ids
    np.testing.assert_equal(vars(loaded.total()), vars(images.total()))
    words, results, nothing = trivial_images(images, CLASSES)
    empty = total(truths, [(np.zeros_like(ids), []) for ids, _ in truths])
    np.testing.assert_equal(vars(nothing.total()), vars(empty.total()))
    assert words == "nothing predicted" and results[PANOPTIC.output] == dict.fromkeys(SHOWN[PANOPTIC.output][1], 0)
    assert panoptic_scores(empty.total(), CLASSES, THINGS)["PQ"] == 0


def test_a_perfect_prediction_scores_100_and_no_class_that_is_absent_counts():
    rng = np.random.default_rng(2)
    truths = [draw_truth(rng) for _ in range(4)]
    scores = panoptic_scores(total(truths, truths).total(), CLASSES, THINGS)
    assert all(score == 100 or (np.isnan(score) and name.endswith("-absent")) for name, score in scores.items())
    assert isinstance(total(truths, truths).total(), Matches)
