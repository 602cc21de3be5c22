"""A COCO instance file as dataset dicts, checked whole before training starts.

Unlike Detectron2's loader it names what is wrong instead of skipping it, and keeps every segmentation as it is.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from detectron2.structures import BoxMode

from imrsf_d2.data.masks import MIN_POLYGON_NUMBERS, run_lengths
from imrsf_d2.errors import InputError

__all__ = ["load_coco", "read_images"]


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
    samples = {image["image_id"]: {**image, "annotations": []} for image in _images(data, path)}
    classes = list(classes)
    for annotation in data["annotations"]:
        _expect(isinstance(annotation, Mapping), f"{path}: the file", "the annotation", annotation, "an object")
        if "id" not in annotation:
            raise InputError(f"{path}: an annotation of image {annotation.get('image_id')!r} has no 'id', expected a number "
                             "of its own in each.")
        where, image_id = f"{path}: annotation {annotation['id']!r}", annotation.get("image_id")
        _expect(_is_id(annotation["id"]), where, "id", annotation["id"], "a number")
        if not _is_id(image_id) or image_id not in samples:
            raise InputError(f"{where} belongs to image {image_id!r}, expected one of the ids of the file's "
                             f"{len(samples)} images.")
        sample = samples[image_id]
        where += f" of {sample['file_name']!r}"
        _expect(annotation.get("category_id") in classes, where, "category_id", annotation.get("category_id"),
                f"one of {classes}")
        _expect(annotation.get("iscrowd", 0) in (0, 1), where, "iscrowd", annotation.get("iscrowd"), "0 or 1")
        problem = _problem(annotation.get("segmentation"), sample["height"], sample["width"])
        if problem:
            raise InputError(f"{where} has an unusable segmentation: {problem}.")
        sample["annotations"].append({
            "bbox": annotation.get("bbox", [0, 0, 0, 0]),
            "bbox_mode": BoxMode.XYWH_ABS,
            "category_id": classes.index(annotation["category_id"]),
            "iscrowd": annotation.get("iscrowd", 0),
            "segmentation": annotation["segmentation"],
        })
    return [samples[image_id] for image_id in sorted(samples, key=lambda i: (str(type(i)), i))]


def read_images(path: str | os.PathLike) -> list[dict]:
    """Read the images of a COCO file, whatever its annotations are like.

    Args:
        path: the JSON file.

    Returns:
        For each image, in the order of the file: file_name without folders, height, width and image_id.

    Raises:
        ValueError: as `load_coco`.
    """
    return _images(_read_json(path), path)


def _images(data: Mapping, path: str | os.PathLike) -> list[dict]:
    images = {}
    for image in data["images"]:
        _expect(isinstance(image, Mapping), f"{path}: the file", "the image", image, "an object")
        missing = [key for key in ("id", "file_name", "height", "width") if key not in image]
        if missing:
            raise InputError(f"{path}: image {image.get('file_name', image)!r} has no {missing[0]!r}, expected id, "
                             "file_name, height and width.")
        image_id, name, where = image["id"], image["file_name"], f"{path}: image {image['id']!r}"
        _expect(isinstance(name, str) and Path(name).name != "", where, "file_name", name, "the name of a raster")
        _expect(_is_id(image_id), f"{path}: image {name!r}", "id", image_id, "a number")
        for key in ("height", "width"):
            _expect(type(image[key]) is int and image[key] > 0, f"{path}: image {name!r}", key, image[key],
                    "a whole number above 0")
        if image_id in images:
            raise InputError(f"{path}: {images[image_id]['file_name']!r} and {name!r} have the same image id "
                             f"{image_id!r}; ids must differ.")
        # Whatever folder the file names, the rasters of all modalities go by the last part.
        images[image_id] = {"file_name": Path(name).name, "image_id": image_id, "height": image["height"],
                            "width": image["width"]}
    return list(images.values())


def _expect(met: bool, where: str, key: str, found: object, expected: str) -> None:
    if not met:
        raise InputError(f"{where} has {key} {found!r}, expected {expected}.")


def _is_id(value: object) -> bool:
    return isinstance(value, (int, float, str))  # others have no order, or are no keys of a dict


def _read_json(path: str | os.PathLike) -> dict:
    try:
        with open(path, encoding="utf-8") as file:
            data = json.load(file)
    except ValueError as error:  # JSONDecodeError, UnicodeDecodeError
        raise InputError(f"{path} is not JSON ({error}), expected a COCO instance file; fetch it again.") from error
    for key in ("images", "annotations", "categories"):
        if not isinstance(data, Mapping) or not isinstance(data.get(key), list):
            raise InputError(f"{path} has no list {key!r}, expected a COCO instance file with 'images', 'annotations' "
                             "and 'categories'.")
    if not data["images"]:
        raise InputError(f"{path} has no images, expected at least one in 'images'.")
    return data


def _problem(segmentation: object, height: int, width: int) -> str | None:
    """What is wrong with a segmentation, or None."""
    if isinstance(segmentation, Mapping):
        size, counts = segmentation.get("size"), segmentation.get("counts")
        if size != [height, width]:
            return f"a run-length code of size {size}, expected [height, width] = {[height, width]}"
        return _runs_problem(counts, height * width)
    if not isinstance(segmentation, list) or not segmentation:
        return f"{segmentation!r}, expected polygons [[x0, y0, x1, y1, ...], ...] or a run-length code"
    for polygon in segmentation:
        if not isinstance(polygon, list) or len(polygon) % 2:
            found = f"of {len(polygon)} numbers" if isinstance(polygon, list) else repr(polygon)
            return f"a polygon {found}, expected x, y of three or more points"
        # `math.isfinite` fails on whole numbers that no float can hold.
        if not all(isinstance(value, (int, float)) and abs(value) <= sys.float_info.max for value in polygon):
            return f"a polygon {polygon} with something else than finite numbers"
    # A part of a footprint that shrank to a line marks nothing; a footprint of such parts alone is a mistake.
    if all(len(polygon) < MIN_POLYGON_NUMBERS for polygon in segmentation):
        return f"polygons of {[len(p) for p in segmentation]} numbers, expected x, y of three or more points in one"
    return None


def _runs_problem(counts: Sequence[int] | str | None, pixels: int) -> str | None:
    """What is wrong with the lengths of a run-length code for so many pixels, or None."""
    if not isinstance(counts, (list, str, type(None))):
        return f"run lengths {counts!r}, expected a list of numbers or a compressed code"
    try:
        runs = counts if isinstance(counts, list) else run_lengths(counts or "").tolist()
    except ValueError as error:
        return f"run lengths that cannot be read ({error}), expected height x width = {pixels}"
    if wrong := [run for run in runs if type(run) is not int or run < 0]:
        return f"run lengths with {wrong[0]!r}, expected whole numbers from 0"
    # pycocotools fills what a short code leaves open with whatever stands in memory.
    if sum(runs) != pixels:
        return f"run lengths that add up to {sum(runs)}, expected height x width = {pixels}"
    return None
