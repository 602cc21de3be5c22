"""mIoU of label maps."""

from __future__ import annotations

import functools
import json
import logging
import os

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm

from imrsf_d2.data.label_checks import refuse_one_class
from imrsf_d2.data.labels import semantic_truth
from imrsf_d2.evaluation.confusion import confusion_matrix, semantic_scores
from imrsf_d2.evaluation.per_image import SemanticImages
from imrsf_d2.evaluation.score_keys import check_score_keys
from imrsf_d2.evaluation.tables import markdown_table
from imrsf_d2.utils.atomic import write_text
from imrsf_d2.utils.errors import InputError

__all__ = ["SemanticEvaluator"]

logger = logging.getLogger(__name__)


class SemanticEvaluator(DatasetEvaluator):
    """IoU per class and their mean, in percent, over the labeled pixels of one registered split.

    The confusion matrices of the images are summed. The mean is over the classes that occur in the ground truth, so a
    perfect prediction scores 100 whichever classes a split has.

    Args:
        dataset_name: a registered dataset whose metadata has `stuff_classes` and `ignore_label`.
        output_dir: folder for `confusion.json`; None writes nothing.
        allow_single_class: accept labels of a single class of several (TEST.ALLOW_SINGLE_CLASS).

    Raises:
        InputError: if two samples have the same image_id, or two classes the same name.
    """

    def __init__(self, dataset_name: str, *, output_dir: str | None = None, allow_single_class: bool = False):
        self._dataset_name = dataset_name
        # First, as the classes of a dataset may be known only after loading it.
        samples = DatasetCatalog.get(dataset_name)
        self._samples = {sample["image_id"]: sample for sample in samples}
        metadata = MetadataCatalog.get(dataset_name)
        self._classes = list(metadata.stuff_classes)
        check_score_keys(dataset_name, samples, self._classes)
        self._ignore_label = metadata.ignore_label
        # The last one is cached: copies of an evaluator, which share the cache, compare several predictions with it.
        self._truth = functools.lru_cache(maxsize=1)(self._read_truth)
        self.output_dir = output_dir
        self._allow_single_class = allow_single_class
        self.reset()

    def reset(self) -> None:
        """Discard all predictions."""
        self._confusions: dict[object, np.ndarray] = {}

    def process(self, inputs: list[dict], outputs: list[dict]) -> None:
        """Add the predictions for some images.

        Args:
            inputs: mapped samples; only their `image_id` is used.
            outputs: {"sem_seg": [K, H, W] scores} each, of the size of the labels.

        Raises:
            ValueError: if the model outputs no label map or not the dataset's number of classes, or the labels are not
                valid.
        """
        for sample, output in zip(inputs, outputs, strict=True):
            if "sem_seg" not in output:
                raise InputError(
                    f"the model outputs {sorted(output)}, expected a label map to score on {self._dataset_name!r}: set "
                    "MODEL.MASK_FORMER.TEST.SEMANTIC_ON True."
                )
            scores = output["sem_seg"]
            if len(scores) != len(self._classes):
                raise InputError(
                    f"the model predicts {len(scores)} classes, but {self._dataset_name!r} has "
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
        """Score all predictions.

        Returns:
            {"sem_seg": scores} as returned by `semantic_scores`; empty in other processes than the first.

        Raises:
            InputError: if no pixel is labeled, or all labeled pixels are of one class and that is not allowed.
        """
        shares = comm.gather(self._confusions)  # an empty list in other processes
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
        logger.debug(
            "%s: mIoU %.2f, IoU of each class in percent:\n%s",
            self._dataset_name,
            scores["mIoU"],
            markdown_table(["class", "IoU", "frequency"], rows, centered=1),
        )
        if self.output_dir:
            write_text(
                os.path.join(self.output_dir, "confusion.json"),
                json.dumps({"classes": self._classes, "confusion": confusion.tolist()}),
            )
        return {"sem_seg": scores}

    def per_image(self) -> SemanticImages:
        """What each image contributes, in the order of the dataset; to be called after `evaluate`, in the first process."""
        image_ids = tuple(image_id for image_id in self._samples if image_id in self._confusions)
        return SemanticImages(image_ids, np.stack([self._confusions[image_id] for image_id in image_ids]))
