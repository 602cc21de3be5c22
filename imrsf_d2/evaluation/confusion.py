"""Scores of a label map from its confusion with the truth."""

from __future__ import annotations

import numpy as np

from imrsf_d2.utils.errors import InputError

__all__ = ["class_iou", "confusion_matrix", "semantic_scores"]


def confusion_matrix(truth: np.ndarray, prediction: np.ndarray, num_classes: int, ignore_label: int) -> np.ndarray:
    """Count pixels by true and predicted class.

    Args:
        truth: [...] class indices; `ignore_label` where nothing is known, which is left out.
        prediction: [...] class indices of the same shape.
        num_classes: K.

    Returns:
        [K, K] int64: row = true class, column = predicted class.

    Raises:
        ValueError: if the shapes differ, or a labeled pixel's true or predicted class is none of the K.
    """
    if truth.shape != prediction.shape:
        raise InputError(f"the truth is {truth.shape}, the prediction {prediction.shape}; expected one shape.")
    labeled = truth != ignore_label
    rows, columns = truth[labeled].astype(np.int64), prediction[labeled].astype(np.int64)
    for name, values in (("truth", rows), ("prediction", columns)):
        if values.size and not 0 <= values.min() <= values.max() < num_classes:
            raise InputError(
                f"the {name} holds classes from {values.min()} to {values.max()}, expected 0 to "
                f"{num_classes - 1}, or {ignore_label} in the truth where nothing is known."
            )
    return np.bincount(rows * num_classes + columns, minlength=num_classes**2).reshape(num_classes, num_classes)


def class_iou(confusion: np.ndarray) -> np.ndarray:
    """Intersection over union of each class, as fractions of 1.

    Args:
        confusion: [..., K, K] as from `confusion_matrix`.

    Returns:
        [..., K]; NaN for a class that does not occur in the truth.
    """
    right = np.diagonal(confusion, axis1=-2, axis2=-1).astype(float)
    true, predicted = confusion.sum(axis=-1).astype(float), confusion.sum(axis=-2)
    with np.errstate(invalid="ignore"):
        return np.where(true > 0, right / (true + predicted - right), np.nan)


def semantic_scores(confusion: np.ndarray, classes: list[str]) -> dict[str, float]:
    """Scores in percent, over the classes that occur in the truth.

    Args:
        confusion: [K, K] as from `confusion_matrix`; at least one pixel.
        classes: K names.

    Returns:
        mIoU (mean intersection over union), fwIoU (weighted by the classes' true areas), mACC (mean recall), pACC (share
        of right pixels), and IoU-<class> for each class, NaN for a class that does not occur.
    """
    right = np.diag(confusion).astype(float)
    true = confusion.sum(axis=1).astype(float)
    occurs = true > 0
    iou = class_iou(confusion)
    with np.errstate(invalid="ignore"):
        recall = np.where(occurs, right / true, np.nan)
    weights = true[occurs] / true.sum()
    scores = {
        "mIoU": np.nanmean(iou),
        "fwIoU": (weights * iou[occurs]).sum(),
        "mACC": np.nanmean(recall),
        "pACC": right.sum() / true.sum(),
    }
    scores |= {f"IoU-{name}": value for name, value in zip(classes, iou, strict=True)}
    return {name: 100.0 * float(value) for name, value in scores.items()}
