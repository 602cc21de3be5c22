"""A COCO panoptic file as dataset dicts, checked completely before training starts; the PNGs are not opened."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from imrsf_d2.data.datasets.annotation_file import read_annotation_file
from imrsf_d2.data.datasets.coco import check_names, images_of
from imrsf_d2.data.panoptic import MAX_ID
from imrsf_d2.utils.errors import InputError, UserError, refuse

__all__ = ["load_panoptic"]


def load_panoptic(
    path: str | os.PathLike,
    folder: str | os.PathLike,
    classes: Mapping[int, str],
    things: Collection[int],
    on_problem: Callable[[UserError], None] = refuse,
) -> list[dict]:
    """Read a COCO panoptic file.

    Args:
        path: the JSON file.
        folder: of the PNGs, which each annotation names.
        classes: category id -> name of its class, in the order of the model's classes.
        things: the category ids of objects.
        on_problem: called with each error in an annotation; if it returns, the image is left out.

    Returns:
        For each image, in the order of the file: file_name as written in the file, height, width, image_id, pan_seg_file_name and
        segments_info, whose category_id is the position in `classes`; those of a crowd have iscrowd 1.

    Raises:
        InputError: naming the file, what was found and what was expected.
    """
    data = read_annotation_file(path)
    images = {image["image_id"]: image for image in images_of(data, path)}
    check_names(data["categories"], classes, path)
    _check_things(data["categories"], classes, things, path)
    positions = {category: position for position, category in enumerate(classes)}
    labeled: dict[Any, dict] = {}
    for annotation in data["annotations"]:
        try:
            image_id, png, segments = _annotation(annotation, images, classes, path)
            if image_id in labeled:
                raise InputError(
                    f"{path}: image {image_id!r} has several annotations, expected one with all of its segments."
                )
        except InputError as error:
            on_problem(error)
            continue
        labeled[image_id] = {
            "pan_seg_file_name": os.path.normpath(Path(folder) / png),
            "segments_info": [
                {
                    "id": segment["id"],
                    "category_id": positions[segment["category_id"]],
                    "iscrowd": segment.get("iscrowd", 0),
                    "isthing": segment["category_id"] in things,
                }
                for segment in segments
            ],
        }
    if without := [image["file_name"] for image_id, image in images.items() if image_id not in labeled]:
        on_problem(
            InputError(
                f"{path}: {len(without)} of the {len(images)} images have no annotation, e.g. {without[0]!r}, expected one for each; "
                "for an image without labels, one with a black PNG and segments_info []."
            )
        )
    return [image | labeled[image_id] for image_id, image in images.items() if image_id in labeled]


def _check_things(categories: list, classes: Mapping[int, str], things: Collection[int], path: str | os.PathLike) -> None:
    """Check that the file takes the same classes for things."""
    for category in categories:
        if isinstance(category, Mapping) and category.get("id") in classes and "isthing" in category:
            expected = category["id"] in things
            if bool(category["isthing"]) != expected:
                raise InputError(
                    f"{path}: category {category['id']!r} ({classes[category['id']]}) has isthing {category['isthing']!r}, expected "
                    f"{int(expected)}: THING of this class is {str(expected).lower()} in dataset.yaml."
                )


def _annotation(annotation: Any, images: Mapping, classes: Collection, path: str | os.PathLike) -> tuple[Any, str, list]:
    """The image of an annotation, the file name of its PNG, and its segments."""
    if not isinstance(annotation, Mapping) or not isinstance(annotation.get("segments_info"), list):
        raise InputError(
            f"{path}: an annotation has no list 'segments_info', expected a COCO panoptic file: for each image a PNG and its "
            "segments. Files with an outline for each object are for TASK: instance."
        )
    image_id, png = annotation.get("image_id"), annotation.get("file_name")
    if not isinstance(image_id, (int, float, str)) or image_id not in images:
        raise InputError(
            f"{path}: an annotation belongs to image {image_id!r}, expected an id of the file's {len(images)} images."
        )
    where = f"{path}: the annotation of image {images[image_id]['file_name']!r}"
    if not isinstance(png, str) or not png:
        raise InputError(f"{where} has the file_name {png!r}, expected the name of a PNG.")
    seen: set[int] = set()
    for segment in annotation["segments_info"]:
        if not isinstance(segment, Mapping):
            raise InputError(f"{where} has the segment {segment!r}, expected an object with id and category_id.")
        number, category = segment.get("id"), segment.get("category_id")
        if type(number) is not int or not 0 < number <= MAX_ID:
            raise InputError(f"{where} has a segment with the id {number!r}, expected a whole number from 1 to {MAX_ID}.")
        if number in seen:
            raise InputError(f"{where} has the segment {number} twice, expected each id once.")
        seen.add(number)
        if type(category) is not int or category not in classes:
            raise InputError(f"{where}: segment {number} has the category_id {category!r}, expected one of {list(classes)}.")
        if segment.get("iscrowd", 0) not in (0, 1):
            raise InputError(f"{where}: segment {number} has iscrowd {segment['iscrowd']!r}, expected 0 or 1.")
    return image_id, png, annotation["segments_info"]
