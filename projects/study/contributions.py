"""What each test image contributes to a run's scores, so that runs can be compared on the same resamples of the images."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from imrsf_d2.evaluation.instance_evaluator import coco_eval
from imrsf_d2.evaluation.instance_truth import read_truth
from imrsf_d2.evaluation.matching import match_instances
from imrsf_d2.evaluation.per_image import InstanceImages, PanopticImages, SemanticImages, load_images, save_images
from imrsf_d2.modalities import subset_label

__all__ = [
    "METRICS",
    "Calibration",
    "Contributions",
    "calibration",
    "match_at_all",
    "read_contributions",
    "read_results",
    "write_contributions",
]

#: IoU thresholds of COCO's AP.
THRESHOLDS = tuple(np.linspace(0.5, 0.95, 10).round(2).tolist())
#: kind of images -> its metrics, the first one first in every table.
METRICS = {"instance": ("AP", "AP50"), "semantic": ("mIoU",), "panoptic": ("PQ",)}
#: Equal bins of scores in `calibration`.
BINS = 10
#: Predictions with lower scores do not count in `calibration`: a model has as many predictions per image as queries, and the many
#: that it rules out itself would decide it. The default of Detectron2's SCORE_THRESH_TEST.
LEAST_SCORE = 0.05


@dataclass(frozen=True)
class Contributions:
    """Of the images of a test set to the scores of one run with one subset of the sensors.

    Args:
        images: matched instances at each of `THRESHOLDS`; or one set of label maps, or of matched segments.
    """

    images: tuple[InstanceImages | SemanticImages | PanopticImages, ...]

    @property
    def kind(self) -> str:
        """Of `METRICS`."""
        kinds = {InstanceImages: "instance", SemanticImages: "semantic", PanopticImages: "panoptic"}
        return kinds[type(self.images[0])]

    def scores(self, metric: str, counts: np.ndarray) -> np.ndarray:
        """The score, from 0 to 1, of collections of the images.

        Args:
            metric: of `METRICS`.
            counts: [R, I] how often each image is in each collection.

        Returns:
            [R].
        """
        images = self.images if metric == "AP" else self.images[:1]
        return np.mean([at_threshold.scores(counts) for at_threshold in images], axis=0) / 100


def match_at_all(dataset: str, results: Sequence[dict], max_detections: int = 100) -> Contributions:
    """Match predicted masks with the ground truth at every threshold.

    Args:
        dataset: a registered name.
        results: the predictions, as COCO results.
        max_detections: per image.
    """
    truth = read_truth(dataset)
    evaluation = coco_eval(truth.coco, truth.found(results, "segm"), "segm", max_detections)
    return Contributions(tuple(match_instances(evaluation, truth.image_ids, iou) for iou in THRESHOLDS))


def write_contributions(folder: Path, subset: Sequence[str], contributions: Contributions) -> None:
    """Write those of a subset below the folder of a run's test."""
    for number, images in enumerate(contributions.images):
        save_images(_file(folder, subset, number), images)


def read_contributions(folder: Path, subset: Sequence[str]) -> Contributions:
    """Those of a subset, below the folder of a run's test."""
    count = next(number for number in itertools.count() if not _file(folder, subset, number).is_file())
    return Contributions(tuple(load_images(_file(folder, subset, number)) for number in range(count)))


def _file(folder: Path, subset: Sequence[str], number: int) -> Path:
    return folder / subset_label(subset) / f"contributions{number}.npz"


@dataclass(frozen=True)
class Calibration:
    """How well the scores of instances say how many of them are right, for R collections of images.

    Args:
        error: [R] the expected calibration error: the difference between mean score and precision, averaged over equal bins of the
            score, each weighing as much as it has predictions.
        excess: [R] the mean score of all predictions minus their precision: above 0 if scores are too high.
    """

    error: np.ndarray
    excess: np.ndarray


def calibration(images: InstanceImages, counts: np.ndarray) -> Calibration:
    """Compare scores with the fraction of predictions that are right, among those with a score of at least `LEAST_SCORE`.

    Args:
        images: instances, matched with the ground truth.
        counts: [R, I] how often each image is in each collection.

    Returns:
        NaN for a collection without such predictions.
    """
    counted = images.confidence >= LEAST_SCORE
    confidence, right = images.confidence[counted], images.right[counted]
    cells = images.image[counted] * BINS + np.minimum((confidence * BINS).astype(int), BINS - 1)
    size = len(images.image_ids) * BINS
    # [I, BINS] of each image: how much its scores exceed its true positives, and how many predictions it has.
    excess, number = (np.bincount(cells, values, size).reshape(-1, BINS) for values in (confidence - right, None))
    sums, total = counts @ excess, (counts @ number).sum(axis=1)
    with np.errstate(invalid="ignore"):
        return Calibration(np.abs(sums).sum(axis=1) / total, sums.sum(axis=1) / total)


def read_results(folder: Path, subset: Sequence[str]) -> list[dict]:
    """The predicted instances that a sweep wrote for a subset."""
    return json.loads((folder / subset_label(subset) / "coco_instances_results.json").read_text())
