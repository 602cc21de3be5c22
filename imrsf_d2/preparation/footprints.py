"""Footprints cut along with their tile, exact to the pixel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from pycocotools import mask as coco_mask

from imrsf_d2.data.geometry import Geometry
from imrsf_d2.data.masks import MIN_POLYGON_NUMBERS, segmentation_to_rle

__all__ = ["cut_footprint"]


def cut_footprint(segmentation: Sequence | Mapping, height: int, width: int, windows: Sequence[Geometry]) -> dict[int, dict]:
    """Cut one footprint into the parts that lie in each window.

    The footprint is rasterized on the whole image, and the mask is cut: the parts then add up to the mask, whatever the
    rule for pixels on an outline.

    Args:
        segmentation: see `segmentation_to_rle`.
        height, width: of the whole image, px.
        windows: parts of the image, not turned.

    Returns:
        Index of a window -> segmentation, bbox [x, y, w, h] and area (px) in that window, for each window that holds a
        pixel of the footprint. Polygons inside a window remain polygons, shifted, if they rasterize to exactly this mask
        there (parts of fewer than three points, which mark nothing, are left out); everything else becomes a compressed RLE.
    """
    whole = segmentation_to_rle(segmentation, height, width)
    x, y, w, h = (int(value) for value in coco_mask.toBbox(whole))
    mask = None
    parts = {}
    for position, window in enumerate(windows):
        if not (
            window.left < x + w and x < window.left + window.width and window.top < y + h and y < window.top + window.height
        ):
            continue
        mask = coco_mask.decode(whole) if mask is None else mask
        piece = window.apply(mask)
        if not piece.any():
            continue
        rle = coco_mask.encode(np.asfortranarray(piece))
        polygons = None if isinstance(segmentation, Mapping) else _shift(segmentation, window)
        if polygons and not np.array_equal(
            coco_mask.decode(segmentation_to_rle(polygons, window.height, window.width)), piece
        ):
            polygons = None
        counts = rle["counts"].decode("ascii")
        parts[position] = {
            "segmentation": polygons or {"size": [window.height, window.width], "counts": counts},
            "bbox": coco_mask.toBbox(rle).tolist(),
            "area": int(coco_mask.area(rle)),
        }
    return parts


def _shift(polygons: Sequence[Sequence[float]], window: Geometry) -> list[list[float]] | None:
    """The polygons in the window's coordinates, or None if a point lies outside it."""
    shifted = []
    for polygon in polygons:
        if len(polygon) < MIN_POLYGON_NUMBERS:
            continue
        xs, ys = polygon[0::2], polygon[1::2]
        if not (
            window.left <= min(xs)
            and max(xs) <= window.left + window.width
            and window.top <= min(ys)
            and max(ys) <= window.top + window.height
        ):
            return None
        # Rounded, because 300.3 - 256 is 44.30000000000001 in floating point.
        shifted.append(
            [round(value - offset, 6) for point in zip(xs, ys) for value, offset in zip(point, (window.left, window.top))]
        )
    return shifted
