"""The scores of a predictor that uses no sensor, to which all other scores are compared."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog

from imrsf_d2.data.label_checks import refuse_one_class
from imrsf_d2.data.labels import semantic_truth
from imrsf_d2.data.tasks import INSTANCE, PANOPTIC
from imrsf_d2.evaluation.confusion import semantic_scores
from imrsf_d2.evaluation.per_image import Images, InstanceImages, PanopticImages, SemanticImages
from imrsf_d2.evaluation.scores import SHOWN

__all__ = ["trivial_images", "trivial_results"]

NOTHING = "nothing predicted"


def trivial_results(dataset_name: str) -> tuple[str, dict]:
    """The scores that need no sensor on a dataset.

    Instances and panoptic segmentations: nothing is predicted. Label maps: the same class everywhere; the one with the best score on this dataset,
    which a real predictor could not know.

    Args:
        dataset_name: a registered dataset.

    Returns:
        What is predicted, in words; and results like those of the dataset's evaluator.

    Raises:
        ValueError: if no pixel is labeled.
    """
    metadata = MetadataCatalog.get(dataset_name)
    if metadata.evaluator_type == INSTANCE.kind:
        return NOTHING, _no_instances()
    if metadata.evaluator_type == PANOPTIC.kind:
        return NOTHING, _no_segments()
    samples = DatasetCatalog.get(dataset_name)  # first, as the classes of a dataset may be known only after loading it
    classes = list(metadata.stuff_classes)
    counts = np.zeros(256, dtype=np.int64)
    for sample in samples:
        counts += np.bincount(semantic_truth(sample, len(classes)).ravel(), minlength=256)
    counts = counts[: len(classes)]
    refuse_one_class(dataset_name, counts, True, classes, allow=True)
    _, words, results = _best_constant(counts, classes)
    return words, results


def trivial_images(images: Images, classes: Sequence[str]) -> tuple[str, dict, Images]:
    """The same for images that have been evaluated, without reading their ground truth again.

    Args:
        images: what each image contributes to any evaluation on the dataset.
        classes: names of the classes of label maps.

    Returns:
        What is predicted and its results, as returned by `trivial_results`; and what each image contributes to them.
    """
    if isinstance(images, InstanceImages):
        none = {
            "image": images.image[:0],
            "category": images.category[:0],
            "confidence": images.confidence[:0],
            "right": images.right[:0],
        }
        return NOTHING, _no_instances(), InstanceImages(images.image_ids, images.objects, **none)
    if isinstance(images, PanopticImages):
        nothing = np.zeros_like(images.right)
        missed = images.right + images.missed
        return NOTHING, _no_segments(), PanopticImages(images.image_ids, np.zeros_like(images.iou), nothing, nothing, missed)
    true = images.confusion.sum(axis=-1)
    constant, words, results = _best_constant(true.sum(axis=0), list(classes))
    confusion = np.zeros_like(images.confusion)
    confusion[:, :, constant] = true
    return words, results, SemanticImages(images.image_ids, confusion)


def _no_instances() -> dict:
    return {task: {"AP": 0.0, "AP50": 0.0} for task in ("segm", "bbox")}


def _no_segments() -> dict:
    return {PANOPTIC.output: dict.fromkeys(SHOWN[PANOPTIC.output][1], 0.0)}


def _best_constant(counts: np.ndarray, classes: list[str]) -> tuple[int, str, dict]:
    """The class that scores best if predicted everywhere, by the true pixels [K] of each: its index, words, results."""
    by_class = []
    for constant in range(len(classes)):
        confusion = np.zeros((len(classes), len(classes)), dtype=np.int64)
        confusion[:, constant] = counts
        by_class.append(semantic_scores(confusion, classes))
    best = max(range(len(classes)), key=lambda index: by_class[index]["mIoU"])
    return best, f"{classes[best]!r} everywhere", {"sem_seg": by_class[best]}
