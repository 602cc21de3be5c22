"""What each image contributes to a score, from which the score of any collection of the images follows quickly.

R collections of I images are given by how often each image is in them: `counts` [R, I]. A row of ones is the dataset
itself; the rows of `bootstrap.resample_counts` are its bootstrap resamples.
"""

from __future__ import annotations

import json
import os
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, fields

import numpy as np

from imrsf_d2.evaluation.confusion import class_iou
from imrsf_d2.evaluation.panoptic_quality import Matches, quality
from imrsf_d2.utils.atomic import write_atomically

__all__ = ["Images", "InstanceImages", "PanopticImages", "SemanticImages", "load_images", "save_images"]

#: COCO averages precision over these recalls.
RECALLS = np.linspace(0.0, 1.0, 101)
#: Array elements in memory at once; collections are scored in chunks of this size.
MAX_NUMBERS = 4_000_000


@dataclass(frozen=True)
class SemanticImages:
    """Label maps of I images.

    Args:
        image_ids: I ids.
        confusion: [I, K, K] counts of pixels: row = true class, column = predicted class.
    """

    image_ids: tuple
    confusion: np.ndarray

    def scores(self, counts: np.ndarray) -> np.ndarray:
        """mIoU of collections in percent, from their summed confusion.

        Args:
            counts: [R, I] how often each image is in each collection.

        Returns:
            [R]; NaN where no pixel of a collection is labeled.
        """
        num_classes = self.confusion.shape[-1]
        summed = counts @ self.confusion.reshape(len(self.confusion), -1).astype(np.int64)
        return 100.0 * _mean_of_known(class_iou(summed.reshape(-1, num_classes, num_classes)))


@dataclass(frozen=True)
class InstanceImages:
    """Predicted instances of I images and C categories, matched with the ground truth at one IoU threshold.

    Predictions that match a crowd are left out: COCO counts them neither as true nor as false positives.

    Args:
        image_ids: I ids.
        objects: [I, C] number of ground-truth objects without crowds.
        image: [n] index of each prediction's image.
        category: [n] index of its category.
        confidence: [n] its score.
        right: [n] bool, True = true positive.
    """

    image_ids: tuple
    objects: np.ndarray
    image: np.ndarray
    category: np.ndarray
    confidence: np.ndarray
    right: np.ndarray

    def scores(self, counts: np.ndarray) -> np.ndarray:
        """AP of collections in percent, as COCO computes it for a dataset with each image as often as in `counts`.

        Args:
            counts: [R, I] how often each image is in each collection.

        Returns:
            [R], the mean over the categories that occur; NaN for a collection without ground-truth objects.
        """
        by_category = [self._average_precision(counts, category) for category in range(self.objects.shape[1])]
        return 100.0 * _mean_of_known(np.stack(by_category, axis=-1))

    def _average_precision(self, counts: np.ndarray, category: int) -> np.ndarray:
        """AP of one category: [R]."""
        chosen = np.flatnonzero(self.category == category)
        chosen = chosen[np.argsort(-self.confidence[chosen], kind="stable")]
        step = max(1, MAX_NUMBERS // max(1, len(chosen)))
        return np.concatenate(
            [
                self._precision_at_recalls(part, chosen, part @ self.objects[:, category])
                for part in np.split(counts, range(step, len(counts), step))
            ]
        )

    def _precision_at_recalls(self, counts: np.ndarray, chosen: np.ndarray, total: np.ndarray) -> np.ndarray:
        """Mean over RECALLS of the best precision at that recall or a higher one: [R]."""
        # COCO would list the predictions of a repeated image one by one; here they are added at once. The scores agree, as
        # the precision in between is never the best at that recall or a higher one.
        times = counts[:, self.image[chosen]]
        correct = np.cumsum(times * self.right[chosen], axis=1)
        listed = np.cumsum(times, axis=1)
        best = np.maximum.accumulate((correct / (listed + np.spacing(1)))[:, ::-1], axis=1)[:, ::-1]
        best = np.pad(best, ((0, 0), (0, 1)))  # precision is 0 beyond the highest recall
        scores = np.full(len(counts), np.nan)
        for row in np.flatnonzero(total):
            places = np.searchsorted(correct[row] / total[row], RECALLS, side="left")
            scores[row] = best[row, places].mean()
        return scores


@dataclass(frozen=True)
class PanopticImages:
    """Predicted segments of I images and K classes, matched with the ground truth.

    Args:
        image_ids: I ids.
        iou, right, spurious, missed: [I, K] as of `Matches`.
    """

    image_ids: tuple
    iou: np.ndarray
    right: np.ndarray
    spurious: np.ndarray
    missed: np.ndarray

    @classmethod
    def of(cls, matches: Mapping[Hashable, Matches]) -> PanopticImages:
        """From the matches [K] of each image."""
        arrays = {field.name: np.stack([getattr(own, field.name) for own in matches.values()]) for field in fields(Matches)}
        return cls(tuple(matches), **arrays)

    def total(self, counts: np.ndarray | None = None) -> Matches:
        """The matches [R, K] of collections `counts` [R, I]; without them, [K] of all images."""
        weights = np.ones(len(self.image_ids), dtype=np.int64) if counts is None else counts
        return Matches(**{field.name: weights @ getattr(self, field.name) for field in fields(Matches)})

    def scores(self, counts: np.ndarray) -> np.ndarray:
        """PQ of collections in percent, from their summed matches.

        Args:
            counts: [R, I] how often each image is in each collection.

        Returns:
            [R]; NaN for a collection without a true or predicted segment.
        """
        return 100.0 * _mean_of_known(quality(self.total(counts))[0])


#: What is known of the images of an evaluation, by its task.
Images = SemanticImages | InstanceImages | PanopticImages


def save_images(path: str | os.PathLike, images: Images) -> None:
    """Write the contributions of images to a compressed .npz file, atomically."""
    arrays = {field.name: getattr(images, field.name) for field in fields(images)}
    # Ids are numbers or strings; JSON keeps their types without pickling.
    arrays |= {"kind": type(images).__name__, "image_ids": json.dumps(list(images.image_ids))}
    write_atomically(path, lambda file: np.savez_compressed(file, **arrays))


def load_images(path: str | os.PathLike) -> Images:
    """Read a file written by `save_images`."""
    kinds = {kind.__name__: kind for kind in (SemanticImages, InstanceImages, PanopticImages)}
    with np.load(path) as file:
        arrays = dict(file)
    kind, image_ids = kinds[str(arrays.pop("kind"))], tuple(json.loads(str(arrays.pop("image_ids"))))
    return kind(image_ids=image_ids, **arrays)


def _mean_of_known(values: np.ndarray) -> np.ndarray:
    """Mean along the last axis over all but NaN; NaN if all are."""
    known = ~np.isnan(values)
    number = known.sum(axis=-1)
    return np.where(number > 0, np.where(known, values, 0.0).sum(axis=-1) / np.maximum(number, 1), np.nan)
