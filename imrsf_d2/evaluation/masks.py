"""COCO segmentations and masks as RLEs, and RLEs as boxes, areas and masks."""

from __future__ import annotations

import numpy as np
import pycocotools.mask as mask_util

from imrsf_d2.data.masks import segmentation_to_rle
from imrsf_d2.utils.errors import InputError

__all__ = ["annotation_to_rle", "masks_to_rles", "rle_to_area", "rle_to_box", "rle_to_mask"]


def annotation_to_rle(annotation: dict, height: int, width: int) -> dict:
    """The mask of an annotation as a compressed RLE.

    Args:
        annotation: its `segmentation` is a list of polygons or an RLE, compressed or not.
        height, width: of its image, in px.

    Raises:
        ValueError: if the segmentation is none of these, empty, or for another image size.
    """
    where = f"annotation {annotation.get('id', '?')} of image {annotation.get('image_id', '?')}"
    if not annotation.get("segmentation"):
        raise InputError(f"{where} has no segmentation, expected polygons or an RLE.")
    try:
        return segmentation_to_rle(annotation["segmentation"], height, width)
    except Exception as error:  # pycocotools raises errors of many types
        raise InputError(
            f"{where}: its segmentation {str(annotation['segmentation'])[:60]} cannot be read: {error}"
        ) from error


def masks_to_rles(masks: np.ndarray) -> list[dict]:
    """Masks as compressed RLEs, identical to those of pycocotools' `encode`.

    `encode` reads every pixel of every mask, column by column. An object covers few columns of a tile, and only those are
    read here.

    Args:
        masks: [n, H, W] bool.

    Returns:
        n RLEs {"size": [H, W], "counts": bytes}.
    """
    if not len(masks):
        return []
    height, width = masks.shape[1:]
    codes = []
    for mask, marked in zip(masks, np.asarray(masks.any(axis=1))):
        columns = np.flatnonzero(marked)
        first, last = (columns[0], columns[-1] + 1) if len(columns) else (0, 0)
        # Runs go down the columns; the pixels around the object's columns are one run each.
        pixels = np.concatenate([[False], mask[:, first:last].T.ravel(), [False]])
        edges = np.flatnonzero(pixels[1:] != pixels[:-1]) + first * height
        runs = np.diff(edges, prepend=0, append=height * width)
        codes.append({"size": [height, width], "counts": runs if runs[-1] else runs[:-1]})
    return mask_util.frPyObjects(codes, height, width)


def rle_to_box(rle: dict) -> list[float]:
    """The bounding box of an RLE as [x, y, width, height] in px; zeros for an empty mask."""
    return [float(value) for value in mask_util.toBbox(rle)]


def rle_to_area(rle: dict) -> float:
    """The number of pixels of an RLE."""
    return float(mask_util.area(rle))


def rle_to_mask(rle: dict) -> np.ndarray:
    """An RLE as a [H, W] bool array."""
    return mask_util.decode(rle).astype(bool)
