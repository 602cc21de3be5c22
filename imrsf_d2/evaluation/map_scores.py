"""COCO scores of masks that are given by their place in an image of any size, such as the objects of a whole map."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pycocotools.mask as mask_util
from pycocotools.coco import COCO

from imrsf_d2.evaluation.instance_evaluator import METRICS, coco_eval
from imrsf_d2.evaluation.masks import rle_to_area, rle_to_box

__all__ = ["PlacedMask", "score_masks"]


@dataclass(frozen=True, eq=False)
class PlacedMask:
    """A mask and where it lies.

    Args:
        top, left: of the mask in its image.
        mask: [h, w] bool, wholly in the image.
        score: 0 to 1, of a prediction.
        ignored: of an object: predictions of it count neither as true nor as false positives.
    """

    top: int
    left: int
    mask: np.ndarray
    score: float = 1.0
    ignored: bool = False


def score_masks(images: Iterable[tuple[tuple[int, int], Sequence[PlacedMask], Sequence[PlacedMask]]]) -> dict[str, float]:
    """AP, AP50, AP75 and AP by size of masks of one class, in percent; all predictions count, however many there are.

    Args:
        images: (height, width), the objects, the predictions of each.

    Returns:
        NaN where there is no object of a size that counts, whatever is predicted; 0 where there are some and nothing is.
    """
    sizes: list[dict] = []
    truth: list[dict] = []
    found: list[dict] = []
    most = 1
    for number, ((height, width), objects, predictions) in enumerate(images, start=1):
        sizes.append({"id": number, "height": height, "width": width})
        truth += [
            {**_annotation(one, number, height, width), "id": len(truth) + i, "iscrowd": int(one.ignored)}
            for i, one in enumerate(objects, start=1)
        ]
        found += [
            {**_annotation(one, number, height, width), "id": len(found) + i, "iscrowd": 0, "score": one.score}
            for i, one in enumerate(predictions, start=1)
        ]
        most = max(most, len(predictions))
    evaluation = coco_eval(_dataset(sizes, truth), _dataset(sizes, found), "segm", most)
    return {metric: 100 * float(value) if value >= 0 else float("nan") for metric, value in zip(METRICS, evaluation.stats)}


def _dataset(images: list[dict], annotations: list[dict]) -> COCO:
    coco = COCO()
    coco.dataset = {"info": {}, "images": images, "categories": [{"id": 1, "name": "object"}], "annotations": annotations}
    with contextlib.redirect_stdout(io.StringIO()):  # "creating index..."
        coco.createIndex()
    return coco


def _annotation(one: PlacedMask, image: int, height: int, width: int) -> dict:
    rle = _encode(one, height, width)
    area = rle_to_area(rle)
    return {"image_id": image, "category_id": 1, "segmentation": rle, "area": area, "bbox": rle_to_box(rle)}


def _encode(one: PlacedMask, height: int, width: int) -> dict:
    """The RLE of a mask in its image. Only the mask's columns are looked at: pycocotools would read the whole image."""
    rows, columns = one.mask.shape
    strip = np.zeros((columns, height), dtype=bool)
    strip[:, one.top : one.top + rows] = one.mask.T
    edges = np.flatnonzero(np.diff(strip.ravel(), prepend=False, append=False)) + one.left * height
    ends = edges if len(edges) and edges[-1] == height * width else np.append(edges, height * width)
    counts = np.diff(ends, prepend=0)
    return mask_util.frPyObjects({"size": [height, width], "counts": counts.tolist()}, height, width)
