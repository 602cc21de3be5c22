"""What may be wrong with the segmentation of an annotation."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence

from pycocotools import mask as coco_mask

from imrsf_d2.data.masks import MIN_POLYGON_NUMBERS, polygons_inside, run_lengths, segmentation_to_rle

__all__ = ["Parts", "mark_nothing", "parts_inside", "segmentation_extent", "segmentation_problem"]

NUMBERS = frozenset({int, float})
#: What has to be drawn of a segmentation to see what it marks: polygons, or one RLE.
Parts = list[Sequence[float]] | list[dict]


def segmentation_problem(segmentation: object, height: int, width: int) -> str | None:
    """What makes a segmentation unusable, or None.

    Args:
        segmentation: whatever a file has in its place.
        height, width: of its image, px.
    """
    if isinstance(segmentation, Mapping):
        size, counts = segmentation.get("size"), segmentation.get("counts")
        if size != [height, width]:
            return f"an RLE of size {size}, expected [height, width] = {[height, width]}"
        return _runs_problem(counts, height * width)
    if not isinstance(segmentation, list) or not segmentation:
        return f"{segmentation!r}, expected polygons [[x0, y0, x1, y1, ...], ...] or an RLE"
    for polygon in segmentation:
        if not isinstance(polygon, list) or len(polygon) % 2:
            found = f"of {len(polygon)} numbers" if isinstance(polygon, list) else repr(polygon)
            return f"a polygon {found}, expected x, y of three or more points"
        if not _are_finite(polygon):
            return f"a polygon {polygon}, expected finite numbers"
    # A part of a footprint that shrank to a line marks nothing; a footprint that consists of such parts is a mistake.
    if all(len(polygon) < MIN_POLYGON_NUMBERS for polygon in segmentation):
        return f"polygons of {[len(p) for p in segmentation]} numbers, expected x, y of three or more points in one"
    return None


def parts_inside(segmentation: Sequence | Mapping, height: int, width: int) -> Parts:
    """What of a usable segmentation may mark a pixel of its image.

    Raises:
        ValueError: as `segmentation_to_rle`.
    """
    if isinstance(segmentation, Mapping):
        return [segmentation_to_rle(segmentation, height, width)]
    return polygons_inside(segmentation, height, width)


def mark_nothing(segmentations: Sequence[Parts], height: int, width: int) -> list[bool]:
    """For each segmentation of an image, whether not a single pixel lies in it.

    Args:
        segmentations: `parts_inside` of each. All at once, because calls of pycocotools cost as much as what they do.
        height, width: of the image, px.
    """
    marked = [False] * len(segmentations)
    polygons = [(n, part) for n, parts in enumerate(segmentations) for part in parts if not isinstance(part, Mapping)]
    codes = [(n, part) for n, parts in enumerate(segmentations) for part in parts if isinstance(part, Mapping)]
    if polygons:
        numbers, outlines = zip(*polygons)
        codes += zip(numbers, coco_mask.frPyObjects(list(outlines), height, width))
    for (n, _), area in zip(codes, coco_mask.area([code for _, code in codes])):
        marked[n] |= bool(area)
    return [not any_pixel for any_pixel in marked]


def segmentation_extent(segmentation: Sequence | Mapping) -> str:
    """Where a segmentation lies, in words."""
    if isinstance(segmentation, Mapping):
        return "an RLE without a set pixel"
    x, y = ([value for polygon in segmentation for value in polygon[start::2]] for start in (0, 1))
    return f"x from {min(x):.7g} to {max(x):.7g}, y from {min(y):.7g} to {max(y):.7g}"


def _are_finite(values: list) -> bool:
    """True if all are finite numbers."""
    try:  # most are, and their sum shows it many times faster
        if NUMBERS.issuperset(map(type, values)) and math.isfinite(sum(values)):
            return True
    except OverflowError:  # whole numbers that no float can hold
        pass
    return all(isinstance(value, (int, float)) and abs(value) <= sys.float_info.max for value in values)


def _runs_problem(counts: Sequence[int] | str | None, pixels: int) -> str | None:
    """What is wrong with the run lengths of a code for this many pixels, or None."""
    if not isinstance(counts, (list, str, type(None))):
        return f"run lengths {counts!r}, expected a list of numbers or a compressed code"
    try:
        runs = counts if isinstance(counts, list) else run_lengths(counts or "").tolist()
    except ValueError as error:
        return f"run lengths that cannot be read ({error}), expected height x width = {pixels}"
    if wrong := [run for run in runs if type(run) is not int or run < 0]:
        return f"run lengths with {wrong[0]!r}, expected whole numbers of 0 or more"
    # pycocotools leaves the rest of a short code uninitialized.
    if sum(runs) != pixels:
        return f"run lengths that add up to {sum(runs)}, expected height x width = {pixels}"
    return None
