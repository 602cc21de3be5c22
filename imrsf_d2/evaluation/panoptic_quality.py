"""Panoptic quality: predicted segments matched with those of the ground truth, image by image, and scores of the matches.

Kirillov et al., "Panoptic Segmentation", CVPR 2019. A predicted segment is right if it has the class of a true one and an IoU
above 0.5 with it, of which there is at most one. For each class, over all images,

    PQ = sum of the IoU of the matches / (TP + FP / 2 + FN / 2) = SQ x RQ,

SQ (segmentation quality) is the mean IoU of the matches, and RQ (recognition quality) the F1 score of the segments.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from imrsf_d2.data.panoptic import UNLABELED_ID

__all__ = ["Matches", "Pairs", "match_segments", "pair_segments", "panoptic_scores", "quality"]

#: A pair with a larger IoU is a match.
MIN_IOU = 0.5
#: A predicted segment of which more lies on unlabeled pixels and crowds is no error.
MAX_UNLABELED = 0.5


@dataclass(frozen=True)
class Matches:
    """What is right and wrong in one image, or in each of several.

    Args:
        iou: [..., K] sum of the IoU of the matches of each class.
        right, spurious, missed: [..., K] int64 true positives, false positives, false negatives of each class.
    """

    iou: np.ndarray
    right: np.ndarray
    spurious: np.ndarray
    missed: np.ndarray


@dataclass(frozen=True)
class Pairs:
    """Which segments of one image are right and which are not, by their ids.

    Args:
        right: id of each predicted segment that is right -> (id of the true one, IoU).
        spurious: of the predicted segments that are wrong.
        missed: of the true segments that were not found.
    """

    right: Mapping[int, tuple[int, float]]
    spurious: Sequence[int]
    missed: Sequence[int]


def pair_segments(truth: tuple[np.ndarray, Sequence[Mapping]], prediction: tuple[np.ndarray, Sequence[Mapping]]) -> Pairs:
    """Pair the predicted segments of one image with the true ones.

    Unlabeled pixels of the ground truth belong to no union. A predicted segment without a match is left out if most of it lies on
    unlabeled pixels or on crowds of its class; a crowd is never matched or missed.

    Args:
        truth, prediction: ids [H, W], UNLABELED_ID for none, and the segments: `id` and `category_id` (a class index), of the
            ground truth also `iscrowd`. Segments without a pixel do not count.
    """
    true_segments, found_segments = ({one["id"]: one for one in segments} for _, segments in (truth, prediction))
    pairs, counts = np.unique(np.stack([truth[0].ravel(), prediction[0].ravel()]), axis=1, return_counts=True)
    common = {(true, found): count for true, found, count in zip(*pairs.tolist(), counts.tolist())}
    true_areas, found_areas = _areas(common, 0), _areas(common, 1)
    right: dict[int, tuple[int, float]] = {}
    for (true, found), overlap in common.items():
        if true not in true_segments or found not in found_segments or true_segments[true].get("iscrowd", 0):
            continue
        if found_segments[found]["category_id"] != true_segments[true]["category_id"]:
            continue
        union = true_areas[true] + found_areas[found] - overlap - common.get((UNLABELED_ID, found), 0)
        if overlap / union > MIN_IOU:
            right[found] = true, overlap / union
    matched = {true for true, _ in right.values()}
    missed, spurious = [], []
    crowds: dict[int, list[int]] = {}
    for number, segment in true_segments.items():
        if segment.get("iscrowd", 0):
            crowds.setdefault(segment["category_id"], []).append(number)
        elif number in true_areas and number not in matched:
            missed.append(number)
    for number, segment in found_segments.items():
        if number not in found_areas or number in right:
            continue
        excused = [UNLABELED_ID, *crowds.get(segment["category_id"], ())]
        if sum(common.get((true, number), 0) for true in excused) / found_areas[number] <= MAX_UNLABELED:
            spurious.append(number)
    return Pairs(right, spurious, missed)


def match_segments(
    truth: tuple[np.ndarray, Sequence[Mapping]], prediction: tuple[np.ndarray, Sequence[Mapping]], num_classes: int
) -> Matches:
    """Match the segments of one image, by class.

    Args:
        truth, prediction: as for `pair_segments`.
        num_classes: K.
    """
    true_classes, found_classes = (
        {one["id"]: one["category_id"] for one in segments} for _, segments in (truth, prediction)
    )
    pairs = pair_segments(truth, prediction)
    iou = np.zeros(num_classes)
    right, spurious, missed = np.zeros((3, num_classes), dtype=np.int64)
    for found, (_, overlap) in pairs.right.items():
        iou[found_classes[found]] += overlap
        right[found_classes[found]] += 1
    for number in pairs.spurious:
        spurious[found_classes[number]] += 1
    for number in pairs.missed:
        missed[true_classes[number]] += 1
    return Matches(iou, right, spurious, missed)


def quality(matches: Matches) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """PQ, SQ and RQ of each class, as fractions of 1: [..., K] each, NaN for a class that neither occurs nor is predicted."""
    with np.errstate(invalid="ignore", divide="ignore"):
        total = matches.right + (matches.spurious + matches.missed) / 2
        pq, rq = (np.where(total > 0, part / total, np.nan) for part in (matches.iou, matches.right))
        sq = np.where(matches.right > 0, matches.iou / matches.right, np.where(total > 0, 0.0, np.nan))
    return pq, sq, rq


def panoptic_scores(matches: Matches, classes: Sequence[str], things: Collection[int]) -> dict[str, float]:
    """Scores in percent, means over the classes that occur or are predicted.

    Args:
        matches: [K] of all images together.
        classes: K names.
        things: the indices of those of objects.

    Returns:
        PQ, SQ and RQ of all classes, of things (`PQ_th`) and of stuff (`PQ_st`), and of each class (`PQ-<class>`); NaN where there
        is nothing to average.
    """
    values = dict(zip(("PQ", "SQ", "RQ"), quality(matches)))
    groups = {"": range(len(classes)), "_th": sorted(things), "_st": sorted(set(range(len(classes))) - set(things))}
    scores = {
        f"{metric}{suffix}": _mean(own[[*chosen]]) for suffix, chosen in groups.items() for metric, own in values.items()
    }
    scores |= {f"{metric}-{name}": value for metric, own in values.items() for name, value in zip(classes, own)}
    return {name: 100.0 * float(value) for name, value in scores.items()}


def _areas(common: Mapping[tuple[int, int], int], side: int) -> dict[int, int]:
    areas: dict[int, int] = {}
    for pair, count in common.items():
        areas[pair[side]] = areas.get(pair[side], 0) + count
    return areas


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return known.mean() if len(known) else float("nan")
