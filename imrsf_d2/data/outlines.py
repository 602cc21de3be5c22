"""Polygons in an image's pixels as segmentations of annotations."""

from __future__ import annotations

import numpy as np
import shapely
from pycocotools import mask as coco_mask

from imrsf_d2.data.masks import segmentation_to_rle

__all__ = ["outline_segmentation"]

#: Decimals of an outline's coordinates, px.
DECIMALS = 3


def outline_segmentation(shape: shapely.Geometry, height: int, width: int) -> list | dict:
    """The segmentation of a polygon or multi-polygon.

    Args:
        shape: in columns and rows from the upper left corner of the image, which it may reach beyond.
        height, width: of the image, px.

    Returns:
        The outlines [[x0, y0, x1, y1, ...], ...] of its parts; a compressed RLE if one has holes, which COCO's polygons
        cannot have.
    """
    parts = shapely.get_parts(shape)
    outlines = [_numbers(part.exterior) for part in parts]
    if not any(len(part.interiors) for part in parts):
        return outlines
    mask = np.zeros((height, width), dtype=np.uint8)
    for part, outline in zip(parts, outlines, strict=True):
        inside = coco_mask.decode(segmentation_to_rle([outline], height, width))
        if len(part.interiors):
            holes = [_numbers(ring) for ring in part.interiors]
            inside &= 1 - coco_mask.decode(segmentation_to_rle(holes, height, width))
        mask |= inside
    counts = coco_mask.encode(np.asfortranarray(mask))["counts"].decode("ascii")
    return {"size": [height, width], "counts": counts}


def _numbers(ring: shapely.LinearRing) -> list[float]:
    """x, y of each corner, the first not again at the end."""
    return np.round(shapely.get_coordinates(ring)[:-1], DECIMALS).ravel().tolist()
