"""Panoptic labels: every pixel belongs to at most one segment, an object ("thing") or all the pixels of a class ("stuff").

As in COCO's format, the ids of the segments are the colors of a PNG: R + 256 G + 65536 B, 0 where nothing is labeled; the
`segments_info` of a dataset dict say what each id is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from imrsf_d2.data.label_codes import IGNORE_LABEL
from imrsf_d2.geo.gdal import opened
from imrsf_d2.geo.rasters import size_text
from imrsf_d2.utils.errors import InputError, some_of

__all__ = ["MAX_ID", "UNLABELED_ID", "classes_of_segments", "colors_of_ids", "ids_of_colors", "read_segments"]

#: Id of the pixels that are not labeled ("void").
UNLABELED_ID = 0
#: Three bytes hold no larger id.
MAX_ID = 2**24 - 1


def ids_of_colors(colors: np.ndarray) -> np.ndarray:
    """The ids of the segments from the colors of a PNG.

    Args:
        colors: [3, H, W] uint8: red, green, blue.

    Returns:
        [H, W] int32.
    """
    red, green, blue = colors.astype(np.int32)
    return red + 256 * green + 65536 * blue


def colors_of_ids(ids: np.ndarray) -> np.ndarray:
    """The colors of a PNG, [3, H, W] uint8, for ids [H, W] of segments from 0 to MAX_ID."""
    return np.stack([ids >> shift & 255 for shift in (0, 8, 16)]).astype(np.uint8)


def read_segments(sample: Mapping) -> tuple[np.ndarray, list[Mapping]]:
    """The segments of a dataset dict.

    Args:
        sample: with `pan_seg_file_name`, a PNG (or any raster of three bands of 8 bits), and `segments_info`, as of Detectron2's
            panoptic datasets: `id`, `category_id` (a class index), `isthing`, `iscrowd`.

    Returns:
        ids [H, W] int32, UNLABELED_ID where nothing is labeled, and what each is. The stuff of one class is one segment, even
        where it is several in the file, because several categories are one class.

    Raises:
        RasterError: if the file cannot be read.
        InputError: if it is no such raster or of another size than the sample, or its ids are not those of `segments_info`.
    """
    path = sample["pan_seg_file_name"]
    with opened(path, "the segments") as file:
        # A fourth band is an alpha band, by which image editors tell nothing here.
        if file.count not in (3, 4) or set(file.dtypes) != {"uint8"}:
            raise InputError(
                f"{path} has {file.count} bands of {', '.join(dict.fromkeys(file.dtypes))}, expected a panoptic PNG: three bands "
                "of uint8, whose colors are the ids of the segments (R + 256 G + 65536 B)."
            )
        ids = ids_of_colors(file.read([1, 2, 3]))
    expected = (sample.get("height", ids.shape[0]), sample.get("width", ids.shape[1]))  # which Detectron2's own dicts lack
    if ids.shape != expected:
        raise InputError(
            f"the segments {path} are {size_text(ids.shape)}, expected {size_text(expected)} like image {sample['image_id']!r}."
        )
    there, known = set(np.unique(ids).tolist()) - {UNLABELED_ID}, {segment["id"] for segment in sample["segments_info"]}
    if unknown := sorted(there - known):
        raise InputError(
            f"{path} has pixels with the ids {some_of(unknown, 3)}, which are no segments of image {sample['image_id']!r}, expected "
            f"ids of its segments_info, or {UNLABELED_ID} (black) where nothing is labeled."
        )
    if unmarked := sorted(known - there):
        raise InputError(
            f"image {sample['image_id']!r} has the segments {some_of(unmarked, 3)} without a pixel in {path}, expected ids in it: "
            "leave out segments that do not occur."
        )
    return _with_stuff_merged(ids, sample["segments_info"])


def _with_stuff_merged(ids: np.ndarray, segments: Iterable[Mapping]) -> tuple[np.ndarray, list[Mapping]]:
    first: dict[int, int] = {}
    kept = []
    for segment in segments:
        if segment["isthing"] or segment["category_id"] not in first:
            first.setdefault(segment["category_id"], segment["id"])
            kept.append(segment)
        else:
            ids = np.where(ids == segment["id"], np.int32(first[segment["category_id"]]), ids)
    return ids, kept


def classes_of_segments(ids: np.ndarray, segments: Iterable[Mapping]) -> np.ndarray:
    """The class of each pixel.

    Args:
        ids: [H, W] of `read_segments`.
        segments: those of the image, with `id` and `category_id`, a class index.

    Returns:
        [H, W] uint8 class indices, IGNORE_LABEL where nothing is labeled.
    """
    known = {segment["id"]: segment["category_id"] for segment in segments}
    found, where = np.unique(ids, return_inverse=True)
    table = np.array([known.get(number, IGNORE_LABEL) for number in found.tolist()], dtype=np.uint8)
    return table[where.reshape(ids.shape)]
