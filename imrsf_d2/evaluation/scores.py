"""The scores of an evaluation: which one sums it up, what they mean, and those of single classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from imrsf_d2.utils.errors import InputError

__all__ = ["MEANINGS", "SHOWN", "class_scores", "main_score"]

#: For each task, the word that its table columns start with and the metrics shown, the one that sums it up first.
SHOWN = {
    "segm": ("mask", ("AP50", "AP")),
    "bbox": ("box", ("AP50", "AP")),
    "sem_seg": ("", ("mIoU", "mACC", "pACC")),
    "panoptic_seg": ("", ("PQ", "SQ", "RQ", "PQ_th", "PQ_st")),
}
#: What the columns mean, by the task that sums up an evaluation.
MEANINGS = {
    "segm": "Scores are COCO averages over the evaluated tiles, from 0 to 1: `AP50` at an IoU of 0.50, `AP` averaged over "
    "IoU thresholds from 0.50 to 0.95; `mask` for instance masks, `box` for their bounding boxes.",
    "sem_seg": "Scores range from 0 to 1 and are computed over the labeled pixels of all evaluated tiles: `mIoU` is the "
    "mean IoU and `mACC` the mean recall of the classes that occur, `pACC` the fraction of pixels classified correctly.",
    "panoptic_seg": "Scores range from 0 to 1: `PQ` is the panoptic quality, `SQ` the mean IoU of the segments that were found (IoU "
    "above 0.50), `RQ` the F1 score of finding them; means over the classes, of which `PQ_th` are things (objects) and `PQ_st` "
    "stuff. Unlabeled pixels do not count.",
}
#: The metric of single classes, by the same task.
OF_CLASSES = {"segm": "AP", "sem_seg": "IoU", "panoptic_seg": "PQ"}


def main_score(results: Mapping) -> tuple[str, str, float]:
    """The score that sums up an evaluation.

    Args:
        results: {task: {metric: value}}, as returned by an evaluator.

    Returns:
        (task, metric, value in percent).

    Raises:
        InputError: if there is none of the known tasks.
    """
    for task, (_, metrics) in SHOWN.items():
        if task in results:
            return task, metrics[0], results[task][metrics[0]]
    raise InputError(f"results have the tasks {list(results)}, expected one of {list(SHOWN)}.")


def class_scores(rows: Sequence[Mapping]) -> tuple[str, dict[str, list[float]]]:
    """The scores of each class with each subset, in percent.

    Args:
        rows: as returned by `sweep_subsets`.

    Returns:
        The metric, and class -> its value in each row; empty for instance segmentation with a single class.
    """
    task = main_score(rows[0]["results"])[0]
    metric = OF_CLASSES[task]
    keys = [key for key in rows[0]["results"][task] if key.startswith(f"{metric}-")]
    return metric, {key.removeprefix(f"{metric}-"): [row["results"][task][key] for row in rows] for key in keys}
