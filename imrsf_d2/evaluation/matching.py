"""Which predictions are true positives, by COCO's rules."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from imrsf_d2.evaluation.per_image import InstanceImages

__all__ = ["match_by_iou", "match_instances"]


def match_instances(evaluation: COCOeval, image_ids: tuple, min_iou: float = 0.5) -> InstanceImages:
    """Match the predictions of every image with its ground truth, by the IoUs that an evaluation has computed.

    Args:
        evaluation: a finished one of pycocotools or faster-coco-eval, with images numbered 1 to I and categories
            numbered 1 to K.
        image_ids: the I ids of the images in the result.
        min_iou: IoU that a match needs; 0.5 for AP50.
    """
    truth, found = (_by_cell(coco) for coco in (evaluation.cocoGt, evaluation.cocoDt))
    objects = np.zeros((len(image_ids), len(evaluation.cocoGt.cats)), dtype=np.int64)
    detections = [np.zeros((4, 0))]
    for image, category in np.ndindex(objects.shape):
        cell = image + 1, category + 1
        crowd = np.array([bool(annotation["iscrowd"]) for annotation in truth[cell]], dtype=bool)
        objects[image, category] = np.count_nonzero(~crowd)
        confidence = np.array([annotation["score"] for annotation in found[cell]], dtype=float)
        if not len(confidence):
            continue
        order = np.argsort(-confidence, kind="stable")[: evaluation.params.maxDets[-1]]  # that of the rows of `ious`
        confidence = confidence[order]
        match = np.full(len(confidence), -1)
        if len(crowd):
            match = match_by_iou(np.asarray(evaluation.ious[cell]), crowd, min_iou)
        counted = (match < 0) | ~np.append(crowd, False)[match]
        detections.append(
            np.stack([np.full(len(match), image), np.full(len(match), category), confidence, match >= 0])[:, counted]
        )
    image, category, confidence, right = np.concatenate(detections, axis=1)
    return InstanceImages(
        tuple(image_ids), objects, image.astype(np.int64), category.astype(np.int64), confidence, right.astype(bool)
    )


def _by_cell(coco: COCO) -> dict[tuple[int, int], list[dict]]:
    """The annotations of each image number and category number, in the order of the dataset."""
    cells = defaultdict(list)
    for annotation in coco.dataset["annotations"]:
        cells[annotation["image_id"], annotation["category_id"]].append(annotation)
    return cells


def match_by_iou(ious: np.ndarray, crowd: np.ndarray, min_iou: float) -> np.ndarray:
    """Match each prediction with the ground truth that it overlaps most.

    Args:
        ious: [D, G] of D predictions in descending order of confidence and G ground-truth objects.
        crowd: [G] bool, True = a crowd, which any number of predictions may match if they match nothing else.
        min_iou: IoU that a match needs.

    Returns:
        [D] index of the matched object, -1 for none.
    """
    match, taken = np.full(len(ious), -1), np.zeros(len(crowd), dtype=bool)
    least = min(min_iou, 1 - 1e-10)
    close = ious >= least
    for detection in np.flatnonzero(close.any(axis=1)):
        # Of equal IoUs, COCO takes the last.
        for group in (close[detection] & ~crowd & ~taken, close[detection] & crowd):
            candidates = np.flatnonzero(group)[::-1]
            if len(candidates):
                match[detection] = candidates[np.argmax(ious[detection, candidates])]
                taken[match[detection]] = True
                break
    return match
