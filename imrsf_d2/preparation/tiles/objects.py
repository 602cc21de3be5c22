"""Polygons in a tile's pixels, as label maps and as objects of a COCO file."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely
from pycocotools import mask as coco_mask
from rasterio.features import rasterize

from imrsf_d2.data.geometry import Geometry
from imrsf_d2.data.masks import segmentation_to_rle
from imrsf_d2.data.outlines import outline_segmentation
from imrsf_d2.preparation.footprints import cut_footprint

__all__ = ["cut_object", "draw_shapes"]


def draw_shapes(shapes: Sequence[tuple[shapely.Geometry, int]], size: tuple[int, int], outside: int) -> np.ndarray:
    """The number of the shape around each pixel's center; where shapes overlap, that of the last one.

    Returns:
        [H, W] uint8, `outside` where there is none.
    """
    canvas = np.full(size, outside, dtype=np.uint8)
    drawn = [(shape, index) for shape, index in shapes if shape.area > 0]
    if drawn:
        rasterize(drawn, out=canvas)
    return canvas


def cut_object(shape: shapely.Geometry, valid: np.ndarray) -> tuple[dict, int] | None:
    """An object in a tile.

    Args:
        shape: a polygon or multi-polygon in the tile's pixels, which may reach beyond it.
        valid: [H, W] bool, where any sensor has data.

    Returns:
        `segmentation`, `bbox` and `area` as of `cut_footprint`, and on how many of its pixels there are data; None if it
        marks no pixel of the tile.
    """
    height, width = valid.shape
    segmentation = outline_segmentation(shape, height, width)
    found = cut_footprint(segmentation, height, width, [Geometry(0, 0, height, width)]).get(0)
    if found is None:
        return None
    seen = coco_mask.decode(segmentation_to_rle(found["segmentation"], height, width))
    return found, int(np.count_nonzero(seen[valid]))
