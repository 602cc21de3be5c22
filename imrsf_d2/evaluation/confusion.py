"""Scores of label maps from their confusion matrix with the ground truth."""

from __future__ import annotations

import numpy as np

from imrsf_d2.utils.errors import InputError

__all__ = ["class_iou", "confusion_matrix", "semantic_scores"]


def confusion_matrix(truth: np.ndarray, prediction: np.ndarray, num_classes: int, ignore_label: int) -> np.ndarray:
    """Count pixels by true and predicted class.

    Args:
        truth: [...] class indices of the ground truth; pixels with `ignore_label` are left out.
        prediction: [...] class indices of the same shape.
        num_classes: K.
        ignore_label: of pixels that are not labeled.

    Returns:
        [K, K] int64: row = true class, column = predicted class.

    Raises:
        ValueError: if the shapes differ, or the true or predicted class of a labeled pixel is not one of the K.
    """
    if truth.shape != prediction.shape:
        raise InputError(
            f"the ground truth has the shape {truth.shape}, the prediction {prediction.shape}; expected the same shape."
        )
    labeled = truth != ignore_label
    rows, columns = truth[labeled].astype(np.int64), prediction[labeled].astype(np.int64)
    for name, values in (("ground truth", rows), ("prediction", columns)):
        if values.size and not 0 <= values.min() <= values.max() < num_classes:
            raise InputError(
                f"the {name} has classes from {values.min()} to {values.max()}, expected 0 to "
                f"{num_classes - 1}, or {ignore_label} for pixels of the ground truth that are not labeled."
            )
    return np.bincount(rows * num_classes + columns, minlength=num_classes**2).reshape(num_classes, num_classes)


def class_iou(confusion: np.ndarray) -> np.ndarray:
    """Intersection over union (IoU) of each class, as a fraction of 1.

    Args:
        confusion: [..., K, K] as from `confusion_matrix`.

    Returns:
        [..., K]; NaN for a class that does not occur in the ground truth.
    """
    correct = np.diagonal(confusion, axis1=-2, axis2=-1).astype(float)
    true, predicted = confusion.sum(axis=-1).astype(float), confusion.sum(axis=-2)
    with np.errstate(invalid="ignore"):
        return np.where(true > 0, correct / (true + predicted - correct), np.nan)


def semantic_scores(confusion: np.ndarray, classes: list[str]) -> dict[str, float]:
    """Scores in percent, over the classes that occur in the ground truth.

    Args:
        confusion: [K, K] as from `confusion_matrix`; at least one pixel.
        classes: K names.

    Returns:
        mIoU (mean IoU), fwIoU (IoU weighted by the frequency of the classes), mACC (mean recall), pACC (fraction of
        pixels classified correctly), and IoU-<class> for each class, NaN for a class that does not occur.
    """
    correct = np.diag(confusion).astype(float)
    true = confusion.sum(axis=1).astype(float)
    occurs = true > 0
    iou = class_iou(confusion)
    with np.errstate(invalid="ignore"):
        recall = np.where(occurs, correct / true, np.nan)
    weights = true[occurs] / true.sum()
    scores = {
        "mIoU": np.nanmean(iou),
        "fwIoU": (weights * iou[occurs]).sum(),
        "mACC": np.nanmean(recall),
        "pACC": correct.sum() / true.sum(),
    }
    scores |= {f"IoU-{name}": value for name, value in zip(classes, iou, strict=True)}
    return {name: 100.0 * float(value) for name, value in scores.items()}
