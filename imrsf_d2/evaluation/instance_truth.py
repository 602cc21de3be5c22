"""The ground truth of a split in a form that every COCO evaluator accepts: images and classes are numbered from 1.

pycocotools cannot sort ids of mixed types, faster-coco-eval stores ids as 64-bit integers, and neither says which row of
its results belongs to which class. Here, image n is the n-th of the split and category k the k-th class, whatever their
ids in the file.
"""

from __future__ import annotations

import contextlib
import functools
import io
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.utils.logger import log_first_n
from pycocotools.coco import COCO

from imrsf_d2.data.datasets.annotation_file import read_annotation_file
from imrsf_d2.data.datasets.coco import check_names
from imrsf_d2.evaluation.masks import annotation_to_rle, rle_to_area, rle_to_box
from imrsf_d2.evaluation.score_keys import check_score_keys
from imrsf_d2.utils.errors import InputError
from imrsf_d2.utils.garbage import without_collection

__all__ = ["InstanceTruth", "read_truth"]


@dataclass(frozen=True)
class InstanceTruth:
    """The labels of the images of one split.

    Args:
        name: of the dataset.
        coco: images numbered 1 to I, including those without annotations, in which every prediction is a false positive;
            categories 1 to K; annotations numbered from 1 (pycocotools treats a match with number 0 as none), with RLEs,
            and boxes and areas computed from the masks like those of predictions (those of a polygon can differ by a
            pixel).
        image_ids: I ids of the dataset; image number n has the id at position n - 1.
        classes: K names; the class at position k has the number k + 1.
        categories: category id in the file -> position in `classes`. Several categories may map to one class.
    """

    name: str
    coco: COCO
    image_ids: tuple
    classes: tuple[str, ...]
    categories: Mapping

    @functools.cached_property
    def image_numbers(self) -> dict:
        """The number of each image id."""
        return {image_id: number for number, image_id in enumerate(self.image_ids, start=1)}

    @functools.cached_property
    def category_of_class(self) -> dict:
        """The category id in the file for each position in `classes`, the first where there are several."""
        return _category_of_class(self.categories)

    def found(self, results: Sequence[Mapping], task: str) -> COCO:
        """Predictions as a COCO dataset to compare with `coco`.

        Args:
            results: COCO results with the ids of the dataset.
            task: "bbox" or "segm": what is compared.
        """
        # COCO modifies what it is given; with both a box and a mask, it would use the area of the box for the mask.
        unused = "bbox" if task == "segm" else "segmentation"
        numbered = [
            {
                **{key: value for key, value in result.items() if key != unused},
                "image_id": self.image_numbers[result["image_id"]],
                "category_id": self.categories[result["category_id"]] + 1,
            }
            for result in results
        ]
        found = COCO()
        with contextlib.redirect_stdout(io.StringIO()):
            if numbered:
                found = self.coco.loadRes(numbered)
            else:  # which loadRes does not accept
                found.dataset = {**self.coco.dataset, "annotations": []}
                found.createIndex()
        return found


@without_collection()
def read_truth(dataset_name: str) -> InstanceTruth:
    """Read the ground truth of a registered split, from its `json_file`, or from its dicts if there is none.

    Args:
        dataset_name: of a dataset whose metadata has `thing_classes`, and optionally `json_file`, which may also have other
            images, and `thing_dataset_id_to_contiguous_id`: the category ids and their positions in `thing_classes`.

    Raises:
        ValueError: if images of the split share an id, or classes a name, if images are not in the file, the metadata's classes
            are not the file's, a segmentation cannot be read, or there are annotations and none can be scored.
    """
    # First, because loading a dataset may update `json_file` in its metadata.
    samples = DatasetCatalog.get(dataset_name)
    metadata = MetadataCatalog.get(dataset_name)
    path, classes = metadata.get("json_file"), tuple(metadata.thing_classes)
    check_score_keys(dataset_name, samples, classes)
    image_ids = {sample["image_id"] for sample in samples}
    categories = metadata.get("thing_dataset_id_to_contiguous_id") or {index: index for index in range(len(classes))}
    if set(categories.values()) != set(range(len(classes))):
        raise InputError(
            f"thing_dataset_id_to_contiguous_id of {dataset_name!r} is {dict(categories)}, expected the "
            f"category ids of the {len(classes)} thing_classes ({', '.join(classes)}) with their positions 0 "
            f"to {len(classes) - 1}."
        )
    if path is None:
        path, data = f"the dicts of {dataset_name!r}", _as_file(samples, categories)
    else:
        data = read_annotation_file(path)
        check_names(data["categories"], {category: classes[index] for category, index in categories.items()}, path)
    images = {image["id"]: image for image in data["images"] if image["id"] in image_ids}
    unknown = sorted(image_ids - images.keys(), key=str)
    if unknown:
        raise InputError(
            f"{len(unknown)} images of the split are not in the annotation file, e.g. id {unknown[0]!r}: "
            f"{dataset_name!r} and {path} must have the same images."
        )
    _check_classes(
        samples,
        [annotation["category_id"] for annotation in data["annotations"] if annotation["image_id"] in images],
        categories,
        classes,
        dataset_name,
    )
    ids = sorted(images, key=lambda image_id: (str(type(image_id)), image_id))
    numbers = {image_id: number for number, image_id in enumerate(ids, start=1)}
    coco = COCO()
    coco.dataset = {
        "info": data.get("info", {}),
        "images": [{**images[image_id], "id": number} for image_id, number in numbers.items()],
        "categories": [{"id": number, "name": name} for number, name in enumerate(classes, start=1)],
        "annotations": _annotations(data, images, numbers, categories, path),
    }
    with contextlib.redirect_stdout(io.StringIO()):  # "creating index..."
        coco.createIndex()
    return InstanceTruth(dataset_name, coco, tuple(ids), classes, categories)


def _category_of_class(categories: Mapping) -> dict:
    return {index: category for category, index in reversed([*categories.items()])}


def _as_file(samples: Sequence[Mapping], categories: Mapping) -> dict:
    """Dataset dicts as the images and annotations that a COCO file of them would have."""
    category_of_class = _category_of_class(categories)
    images = [{"id": s["image_id"], **{key: s[key] for key in ("file_name", "height", "width")}} for s in samples]
    annotations = [
        {
            "image_id": sample["image_id"],
            "category_id": category_of_class[annotation["category_id"]],
            "iscrowd": annotation.get("iscrowd", 0),
            "segmentation": annotation["segmentation"],
        }
        for sample in samples
        for annotation in sample.get("annotations", ())
    ]
    return {"images": images, "annotations": annotations}


def _check_classes(
    samples: Sequence[Mapping], file_categories: Sequence, categories: Mapping, classes: Sequence[str], dataset_name: str
) -> None:
    """Check that the classes have the same order in training and in evaluation."""
    learned = Counter(annotation["category_id"] for sample in samples for annotation in sample.get("annotations", ()))
    scored = Counter(categories[category] for category in file_categories if category in categories)
    if learned != scored and learned.total() == scored.total():  # a loader may leave some annotations out
        counts = [", ".join(f"{name} {count[index]}" for index, name in enumerate(classes)) for count in (learned, scored)]
        raise InputError(
            f"the samples of {dataset_name!r} have these numbers of annotations of its thing_classes: {counts[0]}; its file, "
            f"with thing_dataset_id_to_contiguous_id {dict(categories)}, has: {counts[1]}. The categories must be in the "
            "same order in both."
        )


def _annotations(data: Mapping, images: Mapping, numbers: Mapping, categories: Mapping, path: str) -> list[dict]:
    """The annotations of the split that can be scored; one warning for those that cannot."""
    annotations: list[dict] = []
    unmarked: list = []
    foreign: Counter = Counter()
    for annotation in data["annotations"]:
        image = images.get(annotation["image_id"])
        if image is None:
            continue
        if annotation["category_id"] not in categories:
            foreign[annotation["category_id"]] += 1
            continue
        rle = annotation_to_rle(annotation, image["height"], image["width"])
        area = rle_to_area(rle)
        if not area:
            unmarked.append(annotation.get("id"))
            continue
        annotations.append(
            {
                **annotation,
                "id": len(annotations) + 1,
                "image_id": numbers[image["id"]],
                "category_id": categories[annotation["category_id"]] + 1,
                "iscrowd": annotation.get("iscrowd", 0),
                "segmentation": rle,
                "bbox": rle_to_box(rle),
                "area": area,
            }
        )
    total = len(annotations) + len(unmarked) + foreign.total()
    problems = []
    if foreign:
        problems.append(
            f"{foreign.total()} have the categories {sorted(foreign, key=str)}, which are not in the dataset's "
            f"thing_dataset_id_to_contiguous_id {dict(categories)}"
        )
    if unmarked:
        problems.append(f"{len(unmarked)} have no pixel in their image, e.g. the one with id {unmarked[0]!r}")
    if problems and not annotations:
        raise InputError(f"{path}: none of the {total} annotations of the split can be scored: {'; '.join(problems)}.")
    if problems:
        log_first_n(
            logging.WARNING,
            f"{path}: of the {total} annotations of the split, {'; '.join(problems)}. They are not scored.",
            key="message",
            name=__name__,
        )
    return annotations
