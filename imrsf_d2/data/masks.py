"""Pixel masks from COCO segmentations of any form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from pycocotools import mask as coco_mask

from imrsf_d2.data.geometry import Geometry
from imrsf_d2.utils.errors import InputError

__all__ = [
    "MAX_COORDINATE_PX",
    "MIN_INSTANCE_PIXELS",
    "MIN_POLYGON_NUMBERS",
    "decode_box",
    "instance_masks",
    "polygons_inside",
    "run_lengths",
    "segmentation_to_rle",
]

#: x and y of three points: fewer enclose no area.
MIN_POLYGON_NUMBERS = 6
#: How far a polygon may extend beyond an image. pycocotools traces every outline pixel by pixel, in 32-bit numbers.
MAX_COORDINATE_PX = 1_000_000
#: Instances of which a crop leaves fewer pixels are dropped: such slivers cannot be recognized. Those that are no larger stay.
MIN_INSTANCE_PIXELS = 4


def segmentation_to_rle(segmentation: Sequence | Mapping, height: int, width: int) -> dict:
    """Convert a segmentation to a compressed RLE (run-length encoding).

    Args:
        segmentation: polygons [[x0, y0, x1, y1, ...], ...] in px, which stand for their union (COCO polygons have no
            holes; parts of fewer than three points or outside the image mark nothing); or an RLE
            {"size": [H, W], "counts": list, str or bytes}, where holes stay holes.
        height, width: of the image, px.

    Raises:
        ValueError: if an RLE is for another size, no polygon has three points, or one extends from the image
            to beyond MAX_COORDINATE_PX.
    """
    if not isinstance(segmentation, Mapping):
        polygons = polygons_inside(segmentation, height, width)
        if not polygons:
            return coco_mask.frPyObjects({"size": [height, width], "counts": [height * width]}, height, width)
        codes = coco_mask.frPyObjects(polygons, height, width)
        return codes[0] if len(codes) == 1 else coco_mask.merge(codes)
    if list(segmentation["size"]) != [height, width]:
        raise InputError(f"an RLE is for [height, width] {list(segmentation['size'])}, expected {[height, width]}")
    if isinstance(segmentation["counts"], (str, bytes)):
        return dict(segmentation)
    return coco_mask.frPyObjects(dict(segmentation), height, width)


def polygons_inside(polygons: Sequence[Sequence[float]], height: int, width: int) -> list[Sequence[float]]:
    """Those of the polygons of a segmentation that may mark a pixel of an image: pycocotools has to draw no others.

    Args:
        polygons: as of `segmentation_to_rle`.
        height, width: of the image, px.

    Raises:
        ValueError: as `segmentation_to_rle`.
    """
    inside, enough = [], False
    for polygon in polygons:
        # pycocotools takes four numbers, which often remain of a part that shrank to a line, for a box.
        if len(polygon) < MIN_POLYGON_NUMBERS:
            continue
        enough = True
        left, top, right, bottom = extent = _extent(polygon)
        if _apart(extent, (0, 0, width, height)):
            continue
        if min(left, top) < -MAX_COORDINATE_PX or max(right, bottom) > MAX_COORDINATE_PX:
            raise InputError(
                f"a polygon extends from the image of {width} x {height} px to {max(extent, key=abs):.7g}, expected at "
                f"most {MAX_COORDINATE_PX} px"
            )
        inside.append(polygon)
    if not enough:
        raise InputError("no polygon has three or more points")
    return inside


def run_lengths(counts: str | bytes) -> np.ndarray:
    """The run lengths of a compressed code, zeros first.

    In COCO's code each number is written in base 32, least significant digit first, one character ('0' + digit) per
    digit. Bit 5 of a character says that another one follows; bit 4 of the last one is the sign. From the fourth run on,
    the number is the difference from the run two before.

    Args:
        counts: the code.

    Returns:
        [R] int64.

    Raises:
        ValueError: if it ends within a number.
    """
    counts = counts.encode("ascii") if isinstance(counts, str) else counts
    digits = np.frombuffer(counts, dtype=np.uint8).astype(np.int64) - 48
    if not len(digits):
        return digits
    last = digits & 0x20 == 0
    if not last[-1]:
        raise InputError("the code ends within a number")
    ends = np.flatnonzero(last)
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    shifts = 5 * (np.arange(len(digits)) - np.repeat(starts, lengths))
    values = np.add.reduceat((digits & 0x1F) << shifts, starts)
    values -= np.where(digits[ends] & 0x10, 1 << 5 * lengths, 0)
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values


def decode_box(rle: Mapping, x: int, y: int, width: int, height: int) -> np.ndarray:
    """The part of a mask inside a box, without decoding the rest: buildings are small, tiles are large.

    Args:
        rle: a compressed RLE.
        x, y, width, height: the box, px, inside the image.

    Returns:
        [height, width] bool.
    """
    image_height = rle["size"][0]
    # Runs go down the columns, so the columns of the box are one contiguous part of them.
    edges = np.clip(np.cumsum(run_lengths(rle["counts"])), x * image_height, (x + width) * image_height)
    lengths = np.diff(edges, prepend=x * image_height)
    set_pixels = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    return set_pixels.reshape(width, image_height)[:, y : y + height].T


def instance_masks(
    annotations: Sequence[Mapping], height: int, width: int, geometry: Geometry, min_pixels: int = 1
) -> tuple[np.ndarray, list[int]]:
    """Rasterize the instances of an image after a transform.

    Each shape is rasterized on the grid of the whole image first and then cut, so that a mask never depends on the window.

    Args:
        annotations: with `segmentation`.
        height, width: of the whole image, px.
        geometry: the image's transform.
        min_pixels: instances with fewer pixels left are dropped, unless they have no more in the image.

    Returns:
        masks [n, h, w] bool, of the transform's output size; and the position of each one's annotation.
    """
    all_rows, all_columns = geometry.rows, geometry.columns
    pieces, kept = [], []
    for position, annotation in enumerate(annotations):
        if _lies_outside(annotation["segmentation"], geometry):
            continue  # as most of a tile's instances do
        rle = segmentation_to_rle(annotation["segmentation"], height, width)
        x, y, w, h = (int(value) for value in coco_mask.toBbox(rle))
        # The part of the window that the instance's box covers.
        rows, columns = slice(*np.searchsorted(all_rows, (y, y + h))), slice(*np.searchsorted(all_columns, (x, x + w)))
        if rows.start >= rows.stop or columns.start >= columns.stop:
            continue
        piece = decode_box(rle, x, y, w, h)[all_rows[rows][:, None] - y, all_columns[columns] - x]
        left = np.count_nonzero(piece)
        if left >= min_pixels or left >= max(1, int(coco_mask.area(rle))):
            pieces.append((rows, columns, piece))
            kept.append(position)
    masks = np.zeros((len(pieces), *geometry.output_size), dtype=bool)
    # Buildings are small: writing only their boxes moves a hundredth of the pixels of turning whole masks.
    windows = geometry.unturn(masks)
    for window, (rows, columns, piece) in zip(windows, pieces):
        window[rows, columns] = piece
    return masks, kept


def _lies_outside(segmentation: Sequence | Mapping, geometry: Geometry) -> bool:
    """True if polygons certainly lie outside the window; to rasterize them costs far more than to look at their extent."""
    if isinstance(segmentation, Mapping):
        return False
    polygons = [polygon for polygon in segmentation if len(polygon) >= MIN_POLYGON_NUMBERS]
    window = geometry.left, geometry.top, geometry.left + geometry.width, geometry.top + geometry.height
    return bool(polygons) and all(_apart(_extent(polygon), window) for polygon in polygons)


def _extent(polygon: Sequence[float]) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of a polygon."""
    x, y = polygon[0::2], polygon[1::2]
    return min(x), min(y), max(x), max(y)


def _apart(extent: tuple[float, float, float, float], window: tuple[int, int, int, int]) -> bool:
    """True if a polygon with this extent certainly marks no pixel of a window, both as left, top, right and bottom."""
    left, top, right, bottom = extent
    # A margin of one pixel on each side, as rasterizing rounds.
    return right < window[0] - 1 or left > window[2] + 1 or bottom < window[1] - 1 or top > window[3] + 1
