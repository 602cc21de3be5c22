"""Which detections of an image are right, as COCO decides it."""

from __future__ import annotations

import contextlib
import io

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from imrsf_d2.evaluation.per_image import InstanceImages

__all__ = ["match_instances"]


def match_instances(truth: COCO, found: COCO, task: str, max_detections: int, min_iou: float = 0.5) -> InstanceImages:
    """Match the detections of every image with its objects.

    Args:
        truth, found: the annotations and the predictions; left with marks of the evaluation.
        task: "bbox" or "segm".
        max_detections: per image and category.
        min_iou: of a match; 0.5 gives the AP50.
    """
    evaluation = COCOeval(truth, found, task)
    parameters = evaluation.params
    parameters.iouThrs, parameters.maxDets = np.array([min_iou]), [max_detections]
    parameters.areaRng, parameters.areaRngLbl = [[0, 1e10]], ["all"]
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints
        evaluation.evaluate()
    ids, categories = list(parameters.imgIds), list(parameters.catIds)
    objects = np.zeros((len(ids), len(categories)), dtype=np.int64)
    detections = [np.zeros((4, 0))]
    for number, match in enumerate(evaluation.evalImgs):
        if match is None:  # neither an object nor a detection
            continue
        category, image = divmod(number, len(ids))
        objects[image, category] = np.count_nonzero(match["gtIgnore"] == 0)
        counted = ~match["dtIgnore"][0].astype(bool)
        confidence = np.asarray(match["dtScores"], dtype=float)[counted]
        detections.append(np.stack([np.full(len(confidence), image), np.full(len(confidence), category), confidence,
                                    match["dtMatches"][0][counted] > 0]))
    image, category, confidence, right = np.concatenate(detections, axis=1)
    return InstanceImages(tuple(id_.item() if isinstance(id_, np.generic) else id_ for id_ in ids), objects,
                          image.astype(np.int64), category.astype(np.int64), confidence, right.astype(bool))
