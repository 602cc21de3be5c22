"""A COCO instance file as dataset dicts, checked completely before training starts.

Unlike Detectron2's loader it says what is wrong instead of skipping it, and keeps every segmentation as it is.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from detectron2.structures import BoxMode

from imrsf_d2.data.datasets.annotation_file import file_version, read_annotation_file
from imrsf_d2.data.datasets.segmentations import Parts, mark_nothing, parts_inside, segmentation_extent, segmentation_problem
from imrsf_d2.utils.errors import InputError, UserError, refuse
from imrsf_d2.utils.garbage import without_collection

__all__ = ["Unmarked", "check_coco", "check_names", "images_of", "load_coco", "read_images"]

logger = logging.getLogger(__name__)

#: pycocotools counts the pixels of an image in 32 bits.
MAX_PIXELS = 2**32 - 1
#: Files that were checked, and for which classes: no file is checked, or warned of, twice in a process.
_checked: set[tuple] = set()


@dataclass(frozen=True)
class Unmarked:
    """An annotation that marks no pixel of its image, because it lies outside of it or is too small.

    Args:
        annotation_id: as in the file.
        file_name: of its image.
        extent: where it lies, in words.
    """

    annotation_id: float | str
    file_name: str
    extent: str

    def __str__(self) -> str:
        return f"annotation {self.annotation_id!r} of {self.file_name!r} ({self.extent})"


@without_collection()
def load_coco(path: str | os.PathLike, classes: Collection, on_problem: Callable[[UserError], None] = refuse) -> list[dict]:
    """Read a COCO instance file.

    Annotations that mark no pixel of their image stay in; a warning says how many there are.

    Args:
        path: the JSON file.
        classes: its category ids in the order of the model's classes; a mapping gives their names too, which the file's
            must not contradict.
        on_problem: called with each error in an annotation; if it returns, the annotation is left out.

    Returns:
        For each image, in the order of the ids: file_name as written in the file, height, width, image_id and
        annotations, whose category_id is the position in `classes`. Images without annotations are included.

    Raises:
        ValueError: naming the file, what was found and what was expected; also if no annotation marks a pixel.
    """
    version = file_version(path), tuple(classes.items() if isinstance(classes, Mapping) else classes)
    data = read_annotation_file(path)
    samples = {image["image_id"]: {**image, "annotations": []} for image in images_of(data, path)}
    annotations = data["annotations"]
    if version not in _checked:
        unmarked, annotations = _check_annotations(data, samples, classes, path, on_problem)
        _report_unmarked(unmarked, len(data["annotations"]), path, on_problem)
        if len(annotations) == len(data["annotations"]):
            _checked.add(version)
    positions = {category: position for position, category in enumerate(classes)}
    for annotation in annotations:
        samples[annotation["image_id"]]["annotations"].append(
            {
                "bbox": annotation.get("bbox", [0, 0, 0, 0]),
                "bbox_mode": BoxMode.XYWH_ABS,
                "category_id": positions[annotation["category_id"]],
                "iscrowd": annotation.get("iscrowd", 0),
                "segmentation": annotation["segmentation"],
            }
        )
    return [samples[image_id] for image_id in sorted(samples, key=lambda i: (str(type(i)), i))]


def check_coco(path: str | os.PathLike, classes: Collection) -> list[Unmarked]:
    """Check a COCO instance file completely.

    Args:
        path, classes: as of `load_coco`.

    Returns:
        The annotations that mark no pixel of their image, in the order of the file.

    Raises:
        ValueError: as `load_coco`, but not if no annotation marks a pixel.
    """
    data = read_annotation_file(path)
    images = {image["image_id"]: image for image in images_of(data, path)}
    return _check_annotations(data, images, classes, path, refuse)[0]


def read_images(path: str | os.PathLike) -> list[dict]:
    """Read the images of a COCO file without looking at its annotations.

    Args:
        path: the JSON file.

    Returns:
        For each image, in the order of the file: file_name as written in the file, height, width and image_id.

    Raises:
        ValueError: as `load_coco`.
    """
    return images_of(read_annotation_file(path), path)


def check_names(categories: Sequence, classes: Mapping, path: str | os.PathLike) -> None:
    """Check that a file gives no category the name of another class; other names may be in another language.

    Args:
        categories: of the file.
        classes: category id -> name of its class.
        path: of the file.

    Raises:
        ValueError: naming the category: its score would be reported under the wrong name.
    """
    for category in categories:
        if not isinstance(category, Mapping) or not _is_id(category.get("id")) or category["id"] not in classes:
            continue
        name, expected = category.get("name"), classes[category["id"]]
        _expect(
            name == expected or name not in classes.values(),
            f"{path}: category {category['id']!r}",
            "name",
            name,
            f"{expected!r} as registered: {dict(classes)}",
        )


def images_of(data: Mapping, path: str | os.PathLike) -> list[dict]:
    """The images of a COCO file that was read already, see `read_images`."""
    images: dict[float | str, dict] = {}
    for image in data["images"]:
        _expect(isinstance(image, Mapping), f"{path}: the file", "the image", image, "an object")
        missing = [key for key in ("id", "file_name", "height", "width") if key not in image]
        if missing:
            raise InputError(
                f"{path}: image {image.get('file_name', image)!r} has no {missing[0]!r}, expected id, "
                "file_name, height and width."
            )
        image_id, name, where = image["id"], image["file_name"], f"{path}: image {image['id']!r}"
        _expect(isinstance(name, str) and os.path.basename(name) != "", where, "file_name", name, "the name of a raster")
        # Only on Windows does a backslash separate folders: elsewhere the rasters would not be found.
        _expect("\\" not in name, where, "file_name", name, f"folders with '/', {name.replace(chr(92), '/')!r}")
        _expect(_is_id(image_id), f"{path}: image {name!r}", "id", image_id, "a number or a text")
        for key in ("height", "width"):
            _expect(
                type(image[key]) is int and image[key] > 0,
                f"{path}: image {name!r}",
                key,
                image[key],
                "a whole number above 0",
            )
        _expect(
            image["height"] * image["width"] <= MAX_PIXELS,
            f"{path}: image {name!r}",
            "height and width",
            (image["height"], image["width"]),
            f"at most {MAX_PIXELS} px in all",
        )
        if image_id in images:
            raise InputError(
                f"{path}: {images[image_id]['file_name']!r} and {name!r} have the same image id "
                f"{image_id!r}; ids must differ."
            )
        images[image_id] = {"file_name": name, "image_id": image_id, "height": image["height"], "width": image["width"]}
    return list(images.values())


def _check_annotations(
    data: Mapping, images: Mapping, classes: Collection, path: str | os.PathLike, on_problem: Callable[[UserError], None]
) -> tuple[list[Unmarked], list[Mapping]]:
    """The annotations that mark no pixel, and all that can be used; each of the others is a problem."""
    if isinstance(classes, Mapping):
        check_names(data["categories"], classes, path)
    known = list(classes)
    usable: list[Mapping] = []
    of_image: dict[float | str, list[tuple[int, Parts]]] = {}
    for annotation in data["annotations"]:
        try:
            parts = _check_annotation(annotation, images, known, path)
        except InputError as error:
            on_problem(error)
            continue
        of_image.setdefault(annotation["image_id"], []).append((len(usable), parts))
        usable.append(annotation)
    unmarked = []
    for image_id, numbered in of_image.items():
        image = images[image_id]
        nothing = mark_nothing([parts for _, parts in numbered], image["height"], image["width"])
        unmarked += [number for (number, _), is_nothing in zip(numbered, nothing) if is_nothing]
    chosen = [usable[number] for number in sorted(unmarked)]
    return [
        Unmarked(each["id"], images[each["image_id"]]["file_name"], segmentation_extent(each["segmentation"]))
        for each in chosen
    ], usable


def _check_annotation(annotation: Any, images: Mapping, classes: list, path: str | os.PathLike) -> Parts:
    """Check that an annotation can be used; return what is to be drawn of it.

    Texts are made only of what is wrong: a file holds hundreds of thousands of annotations.
    """
    if not isinstance(annotation, Mapping):
        raise _wrong(f"{path}: the file", "the annotation", annotation, "an object")
    if "id" not in annotation:
        raise InputError(
            f"{path}: an annotation of image {annotation.get('image_id')!r} has no 'id', expected a number "
            "that no other annotation has."
        )
    where, image_id = f"{path}: annotation {annotation['id']!r}", annotation.get("image_id")
    if not _is_id(annotation["id"]):
        raise _wrong(where, "id", annotation["id"], "a number or a text")
    if not _is_id(image_id) or image_id not in images:
        alike = next((i for i in images if str(i) == str(image_id)), None)
        hint = "" if alike is None else f" There is an image {alike!r}: a number and a text differ, write both the same way."
        raise InputError(
            f"{where} belongs to image {image_id!r}, expected one of the ids of the file's {len(images)} images.{hint}"
        )
    image = images[image_id]
    category, crowd = annotation.get("category_id"), annotation.get("iscrowd", 0)
    if category not in classes:
        raise _wrong(f"{where} of {image['file_name']!r}", "category_id", category, f"one of {classes}")
    if crowd not in (0, 1):
        raise _wrong(f"{where} of {image['file_name']!r}", "iscrowd", crowd, "0 or 1")
    segmentation: Any = annotation.get("segmentation")
    size = image["height"], image["width"]
    try:
        problem = segmentation_problem(segmentation, *size)
        if not problem:
            return parts_inside(segmentation, *size)
    except InputError as error:
        problem = str(error)
    raise InputError(f"{where} of {image['file_name']!r} has an unusable segmentation: {problem}.")


def _report_unmarked(
    unmarked: Sequence[Unmarked], annotations: int, path: str | os.PathLike, on_problem: Callable[[UserError], None]
) -> None:
    if not unmarked:
        return
    if len(unmarked) == annotations:
        on_problem(
            InputError(
                f"{path}: none of the {annotations} annotations marks a pixel of its image, e.g. {unmarked[0]}. "
                "Expected pixels, counted from the image's upper left corner to the right and down: convert map "
                "coordinates or degrees first."
            )
        )
    names = "; ".join(map(str, unmarked[:3]))
    logger.warning(
        "%s: %d of %d annotations mark no pixel of their image and are ignored: %s%s",
        path,
        len(unmarked),
        annotations,
        names,
        "; ..." if len(unmarked) > 3 else "",
    )


def _expect(met: bool, where: str, key: str, found: object, expected: str) -> None:
    if not met:
        raise _wrong(where, key, found, expected)


def _wrong(where: str, key: str, found: object, expected: str) -> InputError:
    return InputError(f"{where} has {key} {found!r}, expected {expected}.")


def _is_id(value: object) -> bool:
    """Whether a value can be an id: others cannot be sorted, are no keys of a dict, or differ from themselves."""
    return (
        isinstance(value, str)
        or isinstance(value, (int, float))
        and type(value) is not bool
        and (isinstance(value, int) or math.isfinite(value))
    )
