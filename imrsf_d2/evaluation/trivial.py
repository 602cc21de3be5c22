"""What a predictor scores that looks at nothing: the zero of every table."""

from __future__ import annotations

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog

from imrsf_d2.data.labels import semantic_truth
from imrsf_d2.evaluation.confusion import semantic_scores

__all__ = ["trivial_results"]


def trivial_results(dataset_name: str) -> tuple[str, dict]:
    """The best that can be scored on a data set without looking at any sensor.

    Instances: nothing is predicted. Label maps: one class everywhere, the one that scores best on this very data set,
    which is more than a predictor could know.

    Args:
        dataset_name: a registered data set.

    Returns:
        What is predicted, in words; and results as of the data set's evaluator.

    Raises:
        ValueError: if not a single pixel is labelled.
    """
    metadata = MetadataCatalog.get(dataset_name)
    if metadata.evaluator_type == "imrsf_instance":
        nothing = {"AP": 0.0, "AP50": 0.0}
        return "nothing predicted", {"segm": nothing, "bbox": dict(nothing)}
    classes = list(metadata.stuff_classes)
    counts = np.zeros(256, dtype=np.int64)
    for sample in DatasetCatalog.get(dataset_name):
        counts += np.bincount(semantic_truth(sample, len(classes)).ravel(), minlength=256)
    counts = counts[:len(classes)]
    if not counts.sum():
        raise ValueError(f"no pixel of {dataset_name!r} is labelled: there is nothing to compare with.")
    by_class = {}
    for constant, name in enumerate(classes):
        confusion = np.zeros((len(classes), len(classes)), dtype=np.int64)
        confusion[:, constant] = counts
        by_class[name] = semantic_scores(confusion, classes)
    best = max(by_class, key=lambda name: by_class[name]["mIoU"])
    return f"{best!r} everywhere", {"sem_seg": by_class[best]}
