"""COCO AP of instance masks, and of boxes that are computed from the masks."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os

from detectron2.data import DatasetCatalog
from detectron2.evaluation import COCOEvaluator
from detectron2.structures import BitMasks, Instances
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from imrsf_d2.atomic import write_text
from imrsf_d2.evaluation.masks import annotation_to_rle, rle_to_area, rle_to_box

__all__ = ["InstanceEvaluator", "restrict_ground_truth"]

logger = logging.getLogger(__name__)


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
        raise ValueError(f"{len(unknown)} images of the split are not in the annotation file, e.g. id {unknown[0]!r}.")
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


class InstanceEvaluator(COCOEvaluator):
    """AP, AP50, AP75 and AP by size, in percent, for `segm` and `bbox`, over the images of one registered split.

    Uses the official pycocotools. Differs from Detectron2's evaluator in four ways: predicted boxes come from the masks
    (MaskFormer's are all zero); only the split's images count, though its JSON may hold others; a prediction without a
    single pixel is not one; and a model that predicts nothing scores 0, not NaN.

    Args:
        dataset_name: a registered data set whose metadata has `json_file`.
        output_dir: where `coco_instances_results.json` goes; None writes nothing.
        max_detections: per image; COCO's 100 unless this is more.
        distributed: gather the predictions of all processes.
    """

    def __init__(self, dataset_name: str, *, output_dir: str | None = None, max_detections: int = 100,
                 distributed: bool = True):
        # First, because reading a data set may correct where its metadata says the labels are.
        image_ids = {sample["image_id"] for sample in DatasetCatalog.get(dataset_name)}
        # The parent would write its files in place, and the masks twice: we write them ourselves.
        super().__init__(dataset_name, tasks=("bbox", "segm"), distributed=distributed, output_dir=None,
                         use_fast_impl=False, max_dets_per_image=max(100, max_detections))
        self._coco_api = restrict_ground_truth(self._coco_api, image_ids)
        self._folder = output_dir

    def process(self, inputs: list[dict], outputs: list[dict]) -> None:
        """Take in the predictions for some images (see Detectron2).

        Raises:
            ValueError: if the model gives no instances.
        """
        if any("instances" not in output for output in outputs):
            raise ValueError(f"the model gives {sorted(outputs[0])}, no instances to score: set "
                             "MODEL.MASK_FORMER.TEST.INSTANCE_ON True.")
        super().process(inputs, [{"instances": _with_boxes(output["instances"])} for output in outputs])

    def evaluate(self, img_ids=None) -> dict:
        """Score everything taken in.

        Returns:
            {"segm": {"AP": ..., "AP50": ..., ...}, "bbox": {...}}; empty on other processes than the first.
        """
        with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints; the same numbers are logged
            return super().evaluate(img_ids)

    def _eval_predictions(self, predictions: list[dict], img_ids=None) -> None:
        super()._eval_predictions(predictions, img_ids)
        if self._folder:
            results = [result for prediction in predictions for result in prediction["instances"]]
            write_text(os.path.join(self._folder, "coco_instances_results.json"), json.dumps(results))

    def _derive_coco_results(self, coco_eval: COCOeval | None, iou_type: str, class_names=None) -> dict:
        if coco_eval is None:
            logger.warning("No instance was predicted in any image: AP is 0.")
            coco_eval = _score_nothing(self._coco_api, iou_type)
        return super()._derive_coco_results(coco_eval, iou_type, class_names)


def _with_boxes(instances: Instances) -> Instances:
    """The instances that mark at least one pixel, with the boxes of their masks."""
    # MaskFormer's boxes are on the CPU wherever its masks are, and scoring happens on the CPU anyway.
    instances = instances.to("cpu")
    masks = instances.pred_masks > 0.5
    marked = masks.flatten(1).any(dim=1)
    instances = instances[marked]
    instances.pred_masks = masks[marked]
    instances.pred_boxes = BitMasks(instances.pred_masks).get_bounding_boxes()
    return instances


def _score_nothing(ground_truth: COCO, iou_type: str) -> COCOeval:
    """COCO's scores of an empty set of predictions: 0 wherever there is something to find."""
    nothing = COCO()
    nothing.dataset = {**ground_truth.dataset, "annotations": []}
    nothing.createIndex()
    coco_eval = COCOeval(ground_truth, nothing, iou_type)
    coco_eval.evaluate()
    coco_eval.accumulate()
    coco_eval.summarize()
    return coco_eval
