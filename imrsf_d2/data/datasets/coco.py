"""A COCO instance file as dataset dicts, checked whole before training starts.

Unlike Detectron2's loader it names what is wrong instead of skipping it, and keeps every segmentation as it is.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Collection, Mapping
from pathlib import Path

from detectron2.structures import BoxMode

from imrsf_d2.data.masks import MIN_POLYGON_NUMBERS, run_lengths

__all__ = ["load_coco"]


def load_coco(path: str | os.PathLike, classes: Collection[int]) -> list[dict]:
    """Read a COCO instance file.

    Args:
        path: the JSON file.
        classes: its category ids in the order of the model's classes.

    Returns:
        For each image, in the order of the ids: file_name as written in the file, height, width, image_id and
        annotations, whose category_id is the position in `classes`. Images without annotations are included.

    Raises:
        ValueError: naming the file, what was found and what was expected.
    """
    data = _read_json(path)
    to_class = {category: i for i, category in enumerate(classes)}
    samples = {}
    for image in data["images"]:
        missing = [key for key in ("id", "file_name", "height", "width") if key not in image]
        if missing:
            raise ValueError(f"{path}: image {image.get('file_name', image)!r} has no {missing[0]!r}, expected id, "
                             "file_name, height and width.")
        if image["id"] in samples:
            raise ValueError(f"{path}: {samples[image['id']]['file_name']!r} and {image['file_name']!r} have the same "
                             f"image id {image['id']!r}; ids must differ.")
        # Whatever folder the file names, the rasters of all modalities go by the last part.
        samples[image["id"]] = {"file_name": Path(image["file_name"]).name, "image_id": image["id"],
                                "height": image["height"], "width": image["width"], "annotations": []}
    for annotation in data["annotations"]:
        where = f"{path}: annotation {annotation.get('id')!r}"
        if "id" not in annotation:
            raise ValueError(f"{path}: an annotation of image {annotation.get('image_id')!r} has no 'id', expected a number "
                             "of its own in each.")
        if annotation.get("image_id") not in samples:
            raise ValueError(f"{where} belongs to image {annotation.get('image_id')!r}, expected one of the ids of the "
                             f"file's {len(samples)} images.")
        sample = samples[annotation["image_id"]]
        if annotation.get("category_id") not in to_class:
            raise ValueError(f"{where} of {sample['file_name']!r} has category_id {annotation.get('category_id')!r}, "
                             f"expected one of {list(classes)}.")
        problem = _problem(annotation.get("segmentation"), sample["height"], sample["width"])
        if problem:
            raise ValueError(f"{where} of {sample['file_name']!r} has an unusable segmentation: {problem}.")
        sample["annotations"].append({
            "bbox": annotation.get("bbox", [0, 0, 0, 0]),
            "bbox_mode": BoxMode.XYWH_ABS,
            "category_id": to_class[annotation["category_id"]],
            "iscrowd": annotation.get("iscrowd", 0),
            "segmentation": annotation["segmentation"],
        })
    return [samples[image_id] for image_id in sorted(samples, key=lambda i: (str(type(i)), i))]


def _read_json(path: str | os.PathLike) -> dict:
    try:
        with open(path, encoding="utf-8") as file:
            data = json.load(file)
    except ValueError as error:  # JSONDecodeError, UnicodeDecodeError
        raise ValueError(f"{path} is not JSON ({error}), expected a COCO instance file; fetch it again.") from error
    for key in ("images", "annotations", "categories"):
        if not isinstance(data, Mapping) or not isinstance(data.get(key), list):
            raise ValueError(f"{path} has no list {key!r}, expected a COCO instance file with 'images', 'annotations' "
                             "and 'categories'.")
    if not data["images"]:
        raise ValueError(f"{path} has no images, expected at least one in 'images'.")
    return data


def _problem(segmentation: object, height: int, width: int) -> str | None:
    """What is wrong with a segmentation, or None."""
    if isinstance(segmentation, Mapping):
        size, counts = segmentation.get("size"), segmentation.get("counts")
        if size != [height, width]:
            return f"a run-length code of size {size}, expected [height, width] = {[height, width]}"
        # pycocotools fills what a short code leaves open with whatever stands in memory.
        try:
            found = f"add up to {sum(counts if isinstance(counts, list) else run_lengths(counts or '').tolist())}"
        except ValueError as error:
            found = f"cannot be read ({error})"
        if found != f"add up to {height * width}":
            return f"run lengths that {found}, expected height x width = {height * width}"
        return None
    if not isinstance(segmentation, list) or not segmentation:
        return f"{segmentation!r}, expected polygons [[x0, y0, x1, y1, ...], ...] or a run-length code"
    for polygon in segmentation:
        if not isinstance(polygon, list) or len(polygon) % 2:
            found = f"of {len(polygon)} numbers" if isinstance(polygon, list) else repr(polygon)
            return f"a polygon {found}, expected x, y of three or more points"
        if not all(isinstance(value, (int, float)) and math.isfinite(value) for value in polygon):
            return f"a polygon {polygon} with something else than finite numbers"
    # A part of a footprint that shrank to a line marks nothing; a footprint of such parts alone is a mistake.
    if all(len(polygon) < MIN_POLYGON_NUMBERS for polygon in segmentation):
        return f"polygons of {[len(p) for p in segmentation]} numbers, expected x, y of three or more points in one"
    return None
