"""mIoU of label maps."""

from __future__ import annotations

import functools
import json
import logging
import os
from collections import Counter

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm

from imrsf_d2.data.label_checks import refuse_one_class
from imrsf_d2.data.labels import semantic_truth
from imrsf_d2.evaluation.confusion import confusion_matrix, semantic_scores
from imrsf_d2.evaluation.per_image import SemanticImages
from imrsf_d2.evaluation.report import markdown_table
from imrsf_d2.utils.atomic import write_text
from imrsf_d2.utils.errors import InputError

__all__ = ["SemanticEvaluator"]

logger = logging.getLogger(__name__)


class SemanticEvaluator(DatasetEvaluator):
    """IoU per class and their mean, in percent, over the labeled pixels of one registered split.

    The images' confusion matrices are summed, and the mean is over the classes that occur in the truth: a perfect
    prediction scores 100 whichever classes a split has.

    Args:
        dataset_name: a registered dataset whose metadata has `stuff_classes` and `ignore_label`.
        output_dir: where `confusion.json` goes; None writes nothing.
        allow_single_class: score where all labeled pixels are of one class of several (TEST.ALLOW_SINGLE_CLASS).

    Raises:
        InputError: if two samples have one image_id, or two classes one name.
    """

    def __init__(self, dataset_name: str, *, output_dir: str | None = None, allow_single_class: bool = False):
        self._dataset_name = dataset_name
        # First, as a dataset may know its classes only when it is loaded.
        samples = DatasetCatalog.get(dataset_name)
        self._samples = {sample["image_id"]: sample for sample in samples}
        metadata = MetadataCatalog.get(dataset_name)
        self._classes = list(metadata.stuff_classes)
        # Scores are kept by both: of two that are alike, one would take the other's place.
        for what, values in (("image_id", [sample["image_id"] for sample in samples]), ("class name", self._classes)):
            if repeated := [value for value, count in Counter(values).items() if count > 1]:
                raise InputError(f"{dataset_name!r} has the {what} {repeated[0]!r} more than once, expected each once.")
        self._ignore_label = metadata.ignore_label
        # The last one is kept: copies of an evaluator, which share this, compare several predictions with it.
        self._truth = functools.lru_cache(maxsize=1)(self._read_truth)
        self.output_dir = output_dir
        self._allow_single_class = allow_single_class
        self.reset()

    def reset(self) -> None:
        """Forget everything taken in."""
        self._confusions: dict[object, np.ndarray] = {}

    def process(self, inputs: list[dict], outputs: list[dict]) -> None:
        """Take in the predictions for some images.

        Args:
            inputs: mapped samples; only their `image_id` is looked at.
            outputs: {"sem_seg": [K, H, W] scores} each, of the size of the labels.

        Raises:
            ValueError: if there is no label map, its classes are not the dataset's, or the labels are unusable.
        """
        for sample, output in zip(inputs, outputs, strict=True):
            if "sem_seg" not in output:
                raise InputError(
                    f"the model gives {sorted(output)}, no label map to score on {self._dataset_name!r}: set "
                    "MODEL.MASK_FORMER.TEST.SEMANTIC_ON True."
                )
            scores = output["sem_seg"]
            if len(scores) != len(self._classes):
                raise InputError(
                    f"the model predicts {len(scores)} classes, {self._dataset_name!r} has "
                    f"{len(self._classes)} ({', '.join(self._classes)}): set MODEL.SEM_SEG_HEAD.NUM_CLASSES."
                )
            prediction = scores.argmax(dim=0).cpu().numpy()
            image_id = sample["image_id"]
            self._confusions[image_id] = confusion_matrix(
                self._truth(image_id), prediction, len(self._classes), self._ignore_label
            )

    def _read_truth(self, image_id) -> np.ndarray:
        return semantic_truth(self._samples[image_id], len(self._classes))

    def evaluate(self) -> dict:
        """Score everything taken in.

        Returns:
            {"sem_seg": scores} as from `semantic_scores`; empty on other processes than the first.

        Raises:
            InputError: if not a single pixel is labeled, or, unless that is allowed, all are of one class.
        """
        shares = comm.gather(self._confusions)  # an empty list on other processes
        if not comm.is_main_process():
            return {}
        self._confusions = {image_id: confusion for share in shares for image_id, confusion in share.items()}
        confusion = sum(self._confusions.values(), np.zeros(2 * (len(self._classes),), dtype=np.int64))
        pixels = sum(self._samples[image_id]["height"] * self._samples[image_id]["width"] for image_id in self._confusions)
        refuse_one_class(
            self._dataset_name, confusion.sum(axis=1), pixels > confusion.sum(), self._classes, self._allow_single_class
        )
        scores = semantic_scores(confusion, self._classes)
        rows = [
            [name, f"{scores[f'IoU-{name}']:.2f}", f"{count / confusion.sum():.2%}"]
            for name, count in zip(self._classes, confusion.sum(axis=1))
        ]
        logger.info(
            "%s: mIoU %.2f, IoU of each class in percent:\n%s",
            self._dataset_name,
            scores["mIoU"],
            markdown_table(["class", "IoU", "share of pixels"], rows, centerd=1),
        )
        if self.output_dir:
            write_text(
                os.path.join(self.output_dir, "confusion.json"),
                json.dumps({"classes": self._classes, "confusion": confusion.tolist()}),
            )
        return {"sem_seg": scores}

    def per_image(self) -> SemanticImages:
        """What each image contributed, in the order of the dataset; after `evaluate`, on the first process."""
        image_ids = tuple(image_id for image_id in self._samples if image_id in self._confusions)
        return SemanticImages(image_ids, np.stack([self._confusions[image_id] for image_id in image_ids]))
