"""F1, precision and recall of predicted instances, as SpaceNet's challenges score buildings."""

from __future__ import annotations

import math

import numpy as np

from imrsf_d2.evaluation.per_image import InstanceImages

__all__ = ["MIN_SCORE", "detection_scores"]

#: Predictions of this score and higher count where no threshold is chosen.
MIN_SCORE = 0.5


def detection_scores(images: InstanceImages) -> dict[str, float]:
    """Count what was found, what was found in vain and what was missed, in all images and categories together.

    SpaceNet goes through the predictions by descending score as COCO does, so that those of a higher score have the same
    matches whatever comes after them: one matching serves all thresholds.

    Args:
        images: predictions matched with the ground truth at one IoU threshold.

    Returns:
        In percent, `F1`, `precision` and `recall` of the predictions with a score of at least `MIN_SCORE`; `F1max`, the
        highest F1 of any score threshold, with `F1max-precision` and `F1max-recall` at that threshold, which is
        `F1max-threshold`, from 0 to 1. Where no prediction is right, scores are 0 and there is no such threshold (NaN).
        Without objects, all are NaN, as for COCO.
    """
    order = np.argsort(-images.confidence, kind="stable")
    confidence, found = images.confidence[order], np.append(0, np.cumsum(images.right[order]))
    total = int(images.objects.sum())
    # Of equal scores, a threshold keeps all or none.
    ends = np.append(0, np.flatnonzero(np.diff(confidence, append=-np.inf)) + 1)
    best = ends[np.argmax(found[ends] / np.maximum(ends + total, 1))] if total else 0
    fixed = np.count_nonzero(confidence >= MIN_SCORE)
    at_fixed, at_best = (_rates(int(found[kept]), int(kept), total) for kept in (fixed, best))
    return {
        **dict(zip(("F1", "precision", "recall"), at_fixed)),
        **dict(zip(("F1max", "F1max-precision", "F1max-recall"), at_best)),
        "F1max-threshold": float(confidence[best - 1]) if best else math.nan,
    }


def _rates(found: int, predicted: int, total: int) -> tuple[float, float, float]:
    """F1, precision and recall in percent, of counts of true positives, predictions and objects."""
    if not total:
        return math.nan, math.nan, math.nan
    return 200 * found / (predicted + total), 100 * found / max(predicted, 1), 100 * found / total
