"""COCO AP of instance masks, and of boxes computed from the masks."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import logging
import os
from collections.abc import Sequence

import numpy as np
from detectron2.evaluation import DatasetEvaluator
from detectron2.structures import Instances
from detectron2.utils import comm
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from imrsf_d2.evaluation.detection_scores import detection_scores
from imrsf_d2.evaluation.instance_truth import read_truth
from imrsf_d2.evaluation.masks import masks_to_rles, rle_to_area, rle_to_box
from imrsf_d2.evaluation.matching import match_instances
from imrsf_d2.evaluation.per_image import InstanceImages
from imrsf_d2.evaluation.tables import markdown_table
from imrsf_d2.utils.atomic import write_text
from imrsf_d2.utils.errors import InputError

__all__ = ["InstanceEvaluator", "coco_eval"]

logger = logging.getLogger(__name__)

TASKS = ("bbox", "segm")
#: In the order of COCO's `stats`.
METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl")


def coco_eval(truth: COCO, found: COCO, task: str, max_detections: int = 100) -> COCOeval:
    """Compute COCO's scores, with faster-coco-eval where it is installed: the same numbers in a fraction of the time.

    Args:
        truth, found: the ground truth and the predictions; the evaluation adds keys to both.
        task: "bbox" or "segm".
        max_detections: per image.

    Returns:
        A finished evaluation with `stats` and `eval`, as in pycocotools.
    """
    try:
        from faster_coco_eval import COCOeval_faster

        evaluation = COCOeval_faster(truth, found, task, print_function=lambda *line: None, extra_calc=False)
    except ImportError:
        from detectron2.evaluation.coco_evaluation import COCOevalMaxDets

        evaluation = COCOevalMaxDets(truth, found, task)  # the summary of pycocotools itself needs a limit of 100
    evaluation.params.maxDets = [1, 10, max_detections]
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints what is logged here
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


class InstanceEvaluator(DatasetEvaluator):
    """AP, AP50, AP75 and AP by size, in percent, for `segm` and `bbox`, over the images of one registered split; for `segm`
    also F1, precision and recall at an IoU of 0.5, see `detection_scores`.

    It differs from Detectron2's evaluator in four ways: predicted boxes are computed from the masks (MaskFormer's are all
    zero); only the images of the split count, although its JSON may have others; predictions without a pixel are left
    out; and a model without predictions scores 0, not NaN.

    The labels are read once: an evaluator can be used again after `reset`.

    Args:
        dataset_name: a registered dataset of instances, see `read_truth`.
        output_dir: folder for `coco_instances_results.json`; None writes nothing.
        max_detections: per image; COCO's 100 unless this is more.
        distributed: whether to gather the predictions of all processes.

    Raises:
        ValueError: see `read_truth`.
    """

    def __init__(
        self, dataset_name: str, *, output_dir: str | None = None, max_detections: int = 100, distributed: bool = True
    ):
        self._truth = read_truth(dataset_name)
        self._max_detections = max(100, max_detections)
        self._distributed = distributed
        self.output_dir = output_dir
        self.reset()

    def reset(self) -> None:
        """Discard all predictions."""
        self._predictions: list[dict] = []
        self._images: InstanceImages | None = None  # of the masks

    def process(self, inputs: list[dict], outputs: list[dict]) -> None:
        """Add the predictions for some images.

        Args:
            inputs: mapped samples; only their `image_id` is used.
            outputs: {"instances": Instances with pred_masks [n, H, W], scores and pred_classes} each.

        Raises:
            ValueError: if the model outputs no instances, or classes that the dataset does not have, or if an image is not
                part of the dataset or its size differs from that of the labels.
        """
        for sample, output in zip(inputs, outputs, strict=True):
            if "instances" not in output:
                raise InputError(
                    f"the model outputs {sorted(output)}, expected instances: set MODEL.MASK_FORMER.TEST.INSTANCE_ON True."
                )
            if sample["image_id"] not in self._truth.image_numbers:
                raise InputError(
                    f"there are predictions for the image {sample['image_id']!r}, expected one of the "
                    f"{len(self._truth.image_ids)} images of {self._truth.name!r}: evaluate on the loader of that dataset."
                )
            self._predictions += self._as_results(output["instances"], sample["image_id"])

    def _as_results(self, instances: Instances, image_id) -> list[dict]:
        """The instances with at least one pixel, as COCO results."""
        # Compared on the GPU, so that a quarter of the bytes is copied from it.
        masks = (instances.pred_masks > 0.5).cpu().numpy()
        rles = masks_to_rles(masks)
        labels = self._truth.coco.imgs[self._truth.image_numbers[image_id]]
        if len(masks) and masks.shape[1:] != (labels["height"], labels["width"]):
            raise InputError(
                f"the prediction for image {image_id!r} of {self._truth.name!r} is {masks.shape[1]} x {masks.shape[2]} px "
                f"(height x width), its labels are {labels['height']} x {labels['width']} px: `height` and `width` of its "
                "sample must be those of the labels."
            )
        scores, indices = instances.scores.tolist(), instances.pred_classes.tolist()
        classes, results = self._truth.classes, []
        for rle, score, index in zip(rles, scores, indices, strict=True):
            if not 0 <= index < len(classes):
                raise InputError(
                    f"the model predicts the class {index}, but {self._truth.name!r} has {len(classes)} "
                    f"({', '.join(classes)}): set MODEL.SEM_SEG_HEAD.NUM_CLASSES, or MODEL.ROI_HEADS.NUM_CLASSES of an R-CNN."
                )
            if rle_to_area(rle):
                results.append(
                    {
                        "image_id": image_id,
                        "category_id": self._truth.category_of_class[index],
                        "bbox": rle_to_box(rle),
                        "score": score,
                        "segmentation": {**rle, "counts": rle["counts"].decode()},
                    }
                )
        return results

    def evaluate(self) -> dict:
        """Score all predictions.

        Returns:
            {"segm": {"AP": ..., "AP50": ..., ...}, "bbox": {...}}; empty in other processes than the first.
        """
        results = self._predictions
        if self._distributed:
            results = list(itertools.chain(*comm.gather(results)))  # an empty list in other processes
            if not comm.is_main_process():
                return {}
        if not results:
            logger.warning("No instances were predicted in any image of %r: AP is 0.", self._truth.name)
        scores = {task: self._score(results, task) for task in TASKS}
        logger.debug(
            "%s, in percent:\n%s",
            self._truth.name,
            markdown_table(
                ["", *METRICS], [[task, *(f"{row[metric]:.2f}" for metric in METRICS)] for task, row in scores.items()]
            ),
        )
        if self.output_dir:
            write_text(os.path.join(self.output_dir, "coco_instances_results.json"), json.dumps(results))
        return scores

    def per_image(self) -> InstanceImages:
        """What each image contributes to the AP50 of the masks; to be called after `evaluate`, in the first process."""
        assert self._images is not None, "evaluate first"
        return self._images

    def _score(self, results: Sequence[dict], task: str) -> dict[str, float]:
        evaluation = coco_eval(self._truth.coco, self._truth.found(results, task), task, self._max_detections)
        scores = {metric: _percent(value) for metric, value in zip(METRICS, evaluation.stats)}
        if task == "segm":
            self._images = match_instances(evaluation, self._truth.image_ids)
            scores |= detection_scores(self._images)
        if len(self._truth.classes) > 1:
            precision = evaluation.eval["precision"][:, :, :, 0, -1]  # [IoU thresholds, recalls, categories] for all sizes
            for number, name in enumerate(self._truth.classes, start=1):
                own = precision[:, :, list(evaluation.params.catIds).index(number)]
                scores[f"AP-{name}"] = _percent(own[own > -1].mean() if (own > -1).any() else -1)
        return scores


def _percent(value: float) -> float:
    """COCO scores -1 where there is no ground truth."""
    return 100.0 * float(value) if value >= 0 else float(np.nan)
