"""COCO AP of instance masks, and of boxes that are computed from the masks."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import logging
import os
from collections.abc import Sequence

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import DatasetEvaluator
from detectron2.structures import Instances
from detectron2.utils import comm
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from imrsf_d2.atomic import write_text
from imrsf_d2.errors import InputError
from imrsf_d2.evaluation.masks import annotation_to_rle, masks_to_rles, rle_to_area, rle_to_box
from imrsf_d2.evaluation.matching import match_instances
from imrsf_d2.evaluation.per_image import InstanceImages
from imrsf_d2.evaluation.report import markdown_table

__all__ = ["InstanceEvaluator", "coco_eval", "restrict_ground_truth"]

logger = logging.getLogger(__name__)

TASKS = ("bbox", "segm")
#: In the order of COCO's `stats`.
METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl")


def restrict_ground_truth(coco: COCO, image_ids: set) -> COCO:
    """The part of a COCO data set that belongs to some images, in one form throughout.

    Args:
        coco: its annotations may mix polygons with compressed and uncompressed run-length codes.
        image_ids: the images to keep; those without annotations stay in, where every detection is a false one.

    Returns:
        A new data set whose segmentations are run-length codes, and whose boxes and areas are those of the masks, as
        the predictions' are (a footprint's polygon can differ from its rasterised mask by a pixel).

    Raises:
        ValueError: if an image is not in `coco`, or a segmentation cannot be read.
    """
    unknown = sorted(image_ids - set(coco.imgs), key=str)
    if unknown:
        raise InputError(f"{len(unknown)} images of the split are not in the annotation file, e.g. id {unknown[0]!r}.")
    annotations = []
    for annotation in coco.dataset["annotations"]:
        if annotation["image_id"] not in image_ids:
            continue
        image = coco.imgs[annotation["image_id"]]
        rle = annotation_to_rle(annotation, image["height"], image["width"])
        # Numbered afresh: pycocotools takes a match with the annotation of id 0 for no match, whatever the file means.
        annotations.append({**annotation, "id": len(annotations) + 1, "iscrowd": annotation.get("iscrowd", 0),
                            "segmentation": rle, "bbox": rle_to_box(rle), "area": rle_to_area(rle)})
    restricted = COCO()
    restricted.dataset = {"info": coco.dataset.get("info", {}), "categories": coco.dataset["categories"],
                          "images": [image for image in coco.dataset["images"] if image["id"] in image_ids],
                          "annotations": annotations}
    with contextlib.redirect_stdout(io.StringIO()):  # "creating index..."
        restricted.createIndex()
    return restricted


def coco_eval(truth: COCO, found: COCO, task: str, max_detections: int = 100) -> COCOeval:
    """COCO's scores of predictions, by faster-coco-eval where it is installed: the same numbers, many times sooner.

    Args:
        truth, found: the annotations and the predictions; left with marks of the evaluation.
        task: "bbox" or "segm".
        max_detections: per image.

    Returns:
        A finished evaluation with `stats` and `eval`, as pycocotools' own.
    """
    try:
        from faster_coco_eval import COCOeval_faster

        evaluation = COCOeval_faster(truth, found, task, print_function=lambda *line: None, extra_calc=False)
    except ImportError:
        from detectron2.evaluation.coco_evaluation import COCOevalMaxDets

        evaluation = COCOevalMaxDets(truth, found, task)  # pycocotools' own summary knows no number but 100
    evaluation.params.maxDets = [1, 10, max_detections]
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints; the same numbers are logged
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


class InstanceEvaluator(DatasetEvaluator):
    """AP, AP50, AP75 and AP by size, in percent, for `segm` and `bbox`, over the images of one registered split.

    Differs from Detectron2's evaluator in four ways: predicted boxes come from the masks (MaskFormer's are all zero);
    only the split's images count, though its JSON may hold others; a prediction without a single pixel is not one; and
    a model that predicts nothing scores 0, not NaN.

    The labels are read once: an evaluator may be used again after `reset`.

    Args:
        dataset_name: a registered data set whose metadata has `json_file`.
        output_dir: where `coco_instances_results.json` goes; None writes nothing.
        max_detections: per image; COCO's 100 unless this is more.
        distributed: gather the predictions of all processes.

    Raises:
        ValueError: if an image of the split is not in the labels, or a segmentation of theirs cannot be read.
    """

    def __init__(self, dataset_name: str, *, output_dir: str | None = None, max_detections: int = 100,
                 distributed: bool = True):
        # First, because reading a data set may correct where its metadata says the labels are.
        image_ids = {sample["image_id"] for sample in DatasetCatalog.get(dataset_name)}
        metadata = MetadataCatalog.get(dataset_name)
        with contextlib.redirect_stdout(io.StringIO()):  # "loading annotations into memory..."
            self._truth = restrict_ground_truth(COCO(metadata.json_file), image_ids)
        self._classes = list(metadata.thing_classes)
        categories = metadata.get("thing_dataset_id_to_contiguous_id") or {i: i for i in range(len(self._classes))}
        self._categories = {index: category for category, index in categories.items()}
        self._dataset_name = dataset_name
        self._max_detections = max(100, max_detections)
        self._distributed = distributed
        self.output_dir = output_dir
        self.reset()

    def reset(self) -> None:
        """Forget everything taken in."""
        self._predictions: list[dict] = []
        self._gathered: list[dict] = []

    def process(self, inputs: list[dict], outputs: list[dict]) -> None:
        """Take in the predictions for some images.

        Args:
            inputs: mapped samples; only their `image_id` is looked at.
            outputs: {"instances": Instances with pred_masks [n, H, W], scores and pred_classes} each.

        Raises:
            ValueError: if the model gives no instances, or classes that the data set does not have.
        """
        for sample, output in zip(inputs, outputs, strict=True):
            if "instances" not in output:
                raise InputError(f"the model gives {sorted(output)}, no instances to score: set "
                                 "MODEL.MASK_FORMER.TEST.INSTANCE_ON True.")
            self._predictions += self._as_results(output["instances"], sample["image_id"])

    def _as_results(self, instances: Instances, image_id) -> list[dict]:
        """In COCO's form, of the instances that mark at least one pixel."""
        # Compared where they are: a quarter of the bytes leave the GPU.
        masks = (instances.pred_masks > 0.5).cpu().numpy()
        rles = masks_to_rles(masks)
        scores, classes = instances.scores.tolist(), instances.pred_classes.tolist()
        results = []
        for rle, score, index in zip(rles, scores, classes, strict=True):
            if index not in self._categories:
                raise InputError(f"the model predicts the class {index}, {self._dataset_name!r} has "
                                 f"{len(self._classes)} ({', '.join(self._classes)}): set "
                                 "MODEL.SEM_SEG_HEAD.NUM_CLASSES.")
            if rle_to_area(rle):
                results.append({"image_id": image_id, "category_id": self._categories[index], "bbox": rle_to_box(rle),
                                "score": score, "segmentation": {**rle, "counts": rle["counts"].decode()}})
        return results

    def evaluate(self) -> dict:
        """Score everything taken in.

        Returns:
            {"segm": {"AP": ..., "AP50": ..., ...}, "bbox": {...}}; empty on other processes than the first.
        """
        results = self._predictions
        if self._distributed:
            results = list(itertools.chain(*comm.gather(results)))  # of nothing on other processes
            if not comm.is_main_process():
                return {}
        self._gathered = results
        if not results:
            logger.warning("No instance was predicted in any image: AP is 0.")
        scores = {task: self._score(results, task) for task in TASKS}
        logger.info("%s, in percent:\n%s", self._dataset_name, markdown_table(
            ["", *METRICS], [[task, *(f"{row[metric]:.2f}" for metric in METRICS)] for task, row in scores.items()]))
        if self.output_dir:
            write_text(os.path.join(self.output_dir, "coco_instances_results.json"), json.dumps(results))
        return scores

    def per_image(self) -> InstanceImages:
        """What each image contributed to the AP50 of the masks; after `evaluate`, on the first process."""
        return match_instances(self._truth, self._found(self._gathered, "segm"), "segm", self._max_detections)

    def _found(self, results: Sequence[dict], task: str) -> COCO:
        """Predictions as a COCO data set."""
        # COCO writes into what it is given, and would take a box's area for that of the mask it stands beside.
        unused = "bbox" if task == "segm" else "segmentation"
        found = COCO()
        with contextlib.redirect_stdout(io.StringIO()):
            if results:
                found = self._truth.loadRes([{k: v for k, v in result.items() if k != unused} for result in results])
            else:  # which loadRes does not take
                found.dataset = {**self._truth.dataset, "annotations": []}
                found.createIndex()
        return found

    def _score(self, results: Sequence[dict], task: str) -> dict[str, float]:
        evaluation = coco_eval(self._truth, self._found(results, task), task, self._max_detections)
        scores = {metric: _percent(value) for metric, value in zip(METRICS, evaluation.stats)}
        if len(self._classes) > 1:
            precision = evaluation.eval["precision"][:, :, :, 0, -1]  # thresholds, recalls, classes; of all sizes
            for index, name in enumerate(self._classes):
                known = precision[:, :, index][precision[:, :, index] > -1]
                scores[f"AP-{name}"] = _percent(known.mean() if known.size else -1)
        return scores


def _percent(value: float) -> float:
    """COCO says -1 where there is nothing to find."""
    return 100.0 * float(value) if value >= 0 else float(np.nan)
