"""COCO segmentations of any form to pixel masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from pycocotools import mask as coco_mask

from imrsf_d2.data.geometry import Geometry

__all__ = ["MIN_POLYGON_NUMBERS", "segmentation_to_rle", "instance_masks"]

#: x and y of three points: fewer enclose nothing.
MIN_POLYGON_NUMBERS = 6


def segmentation_to_rle(segmentation: Sequence | Mapping, height: int, width: int) -> dict:
    """Bring a segmentation into compressed run-length form.

    Args:
        segmentation: polygons [[x0, y0, x1, y1, ...], ...] in px, of which the union counts (COCO has no holes in
            polygons, and parts of fewer than three points mark nothing); or a run-length code
            {"size": [H, W], "counts": list, str or bytes}, where holes stay holes.
        height, width: of the image, px.

    Raises:
        ValueError: if a run-length code is for another size, or no polygon has three points.
    """
    if not isinstance(segmentation, Mapping):
        # pycocotools takes four numbers, the line that a vanished part often leaves, for a box.
        polygons = [polygon for polygon in segmentation if len(polygon) >= MIN_POLYGON_NUMBERS]
        if not polygons:
            raise ValueError("no polygon has three or more points")
        return coco_mask.merge(coco_mask.frPyObjects(polygons, height, width))
    if list(segmentation["size"]) != [height, width]:
        raise ValueError(f"a run-length code is for [height, width] {list(segmentation['size'])}, expected "
                         f"{[height, width]}")
    if isinstance(segmentation["counts"], (str, bytes)):
        return dict(segmentation)
    return coco_mask.frPyObjects(dict(segmentation), height, width)


def instance_masks(annotations: Sequence[Mapping], height: int, width: int, geometry: Geometry,
                   min_pixels: int = 1) -> tuple[np.ndarray, list[int]]:
    """Rasterise the instances of an image as a transform leaves them.

    Each shape is rasterised on the whole image's grid first and then cut, so that a mask never depends on the window.

    Args:
        annotations: with `segmentation`.
        height, width: of the whole image, px.
        geometry: the image's transform.
        min_pixels: instances with fewer pixels left are dropped.

    Returns:
        masks [n, h, w] bool, of the transform's output size; and for each the position of its annotation.
    """
    pieces, kept = [], []
    for position, annotation in enumerate(annotations):
        rle = segmentation_to_rle(annotation["segmentation"], height, width)
        x, y, w, h = (int(value) for value in coco_mask.toBbox(rle))
        rows = slice(max(y, geometry.top), min(y + h, geometry.top + geometry.height))
        columns = slice(max(x, geometry.left), min(x + w, geometry.left + geometry.width))
        if rows.start >= rows.stop or columns.start >= columns.stop:
            continue  # outside the window, as most of a tile is; decoding costs far more than looking at the box
        piece = coco_mask.decode(rle)[rows, columns] > 0
        if np.count_nonzero(piece) >= min_pixels:
            pieces.append((rows, columns, piece))
            kept.append(position)
    masks = np.zeros((len(pieces), *geometry.output_size), dtype=bool)
    # Buildings are small: writing each one's box into place moves a hundredth of the pixels of turning whole masks.
    windows = geometry.unturn(masks)
    for window, (rows, columns, piece) in zip(windows, pieces):
        window[rows.start - geometry.top:rows.stop - geometry.top,
               columns.start - geometry.left:columns.stop - geometry.left] = piece
    return masks, kept
