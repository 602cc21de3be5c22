"""The labels of a dataset as a whole: unknown codes, the balance of the classes, the number of objects."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from imrsf_d2.data.check import kinds
from imrsf_d2.data.check.files import LABELS
from imrsf_d2.data.check.findings import Finding
from imrsf_d2.data.check.tiles import TileFacts
from imrsf_d2.data.label_checks import LabelCounts, label_hint, label_problems, refuse_one_class, tag_meaning
from imrsf_d2.data.labels import IGNORE_LABEL, label_codes
from imrsf_d2.data.object_limits import exceeded
from imrsf_d2.utils.errors import UserError, percent

__all__ = ["ClassCounts", "ObjectCounts", "class_findings", "count_classes", "count_objects", "object_findings"]

#: Codes that are listed; measurements read as labels have as many as pixels.
MOST_CODES = 50


@dataclass(frozen=True)
class ClassCounts:
    """The pixels of a dataset's label maps.

    Args:
        classes: names.
        pixels: [K] of each class.
        tiles: [K] how many tiles have the class.
        unlabeled: pixels of no class.
        unknown: code that stands for nothing -> (pixels, tiles, a file with it).
        maps: how many label maps could be read.
        tags: of `no_data_tags`.
    """

    classes: tuple[str, ...]
    pixels: np.ndarray
    tiles: np.ndarray
    unlabeled: int
    unknown: Mapping[float, tuple[int, int, str]]
    maps: int
    tags: Mapping[int, int]


@dataclass(frozen=True)
class ObjectCounts:
    """The objects of a dataset's tiles.

    Args:
        classes: names.
        objects: [K] of each class.
        per_tile: [n] in each tile.
        areas: of all objects, px.
    """

    classes: tuple[str, ...]
    objects: np.ndarray
    per_tile: np.ndarray
    areas: np.ndarray


def count_classes(samples: Sequence[Mapping], tiles: Sequence[TileFacts], classes: Sequence[str]) -> ClassCounts:
    """Add up the codes of label maps.

    Args:
        samples: dataset dicts.
        tiles: what was found of each.
        classes: names, in the order of the indices.

    Raises:
        InputError: if a code stands for a class that the dataset does not have.
    """
    pixels, holding = np.zeros((2, 256), dtype=np.int64)
    unknown: dict[float, tuple[int, int, str]] = {}
    tags: dict[int, int] = {}
    maps = 0
    for sample, tile in zip(samples, tiles, strict=True):
        known = label_codes(sample, len(classes)).codes
        if tile.labels is not None:
            codes, path = tile.labels.codes, tile.labels.file.path
            pixels[IGNORE_LABEL] += tile.labels.empty
            if tile.labels.empty:
                tags |= tag_meaning(sample, tile.labels.tag, len(classes))
        elif tile.codes is not None:
            codes, path = tile.codes, str(sample["image_id"])
        else:
            continue
        maps += 1
        seen = set()
        for code, count in codes.items():
            index = known.get(int(code)) if float(code).is_integer() else None
            if index is None:
                code = math.nan if math.isnan(code) else code  # each NaN of Python is another key, unless it is one object
                before, others, first = unknown.get(code, (0, 0, path))
                unknown[code] = before + count, others + 1, first
            else:
                pixels[index] += count
                seen.add(index)
        holding[list(seen)] += 1
    number = len(classes)
    return ClassCounts(
        tuple(classes),
        pixels[:number],
        holding[:number],
        int(pixels[IGNORE_LABEL]),
        dict(sorted(unknown.items())),
        maps,
        tags,
    )


def class_findings(dataset: str, counts: ClassCounts, is_test: bool, allow_single_class: bool) -> Iterable[Finding]:
    """What is wrong with the classes of a dataset.

    Args:
        dataset: its name.
        counts: of its label maps.
        is_test: whether models are scored on it.
        allow_single_class: TEST.ALLOW_SINGLE_CLASS.
    """
    if not counts.maps:
        return
    total = int(counts.pixels.sum()) + counts.unlabeled + sum(pixels for pixels, _, _ in counts.unknown.values())
    for code, (pixels, tiles, path) in list(counts.unknown.items())[:MOST_CODES]:
        text = f"{code:.10g}: {percent(pixels / total)} of the pixels, in {tiles} of {counts.maps} label maps, e.g. {path}"
        yield Finding(kinds.LABEL_CODES, LABELS, "", text, dataset=dataset)
    if (more := len(counts.unknown) - MOST_CODES) > 0:
        yield Finding(kinds.LABEL_CODES, LABELS, "", f"{more} more: are these measurements?", dataset=dataset)
    unlabeled = counts.unlabeled > 0
    if hint := label_hint(counts.pixels, unlabeled, counts.classes, counts.tags).strip():
        yield Finding(kinds.MASKS, LABELS, "", hint, dataset=dataset)
    if counts.unknown:
        return  # the others may be among them
    allow = allow_single_class or not is_test
    one_class: list[UserError] = []
    refuse_one_class(dataset, counts.pixels, unlabeled, counts.classes, allow, counts.tags, one_class.append)
    if one_class:
        yield Finding(kinds.NO_CLASSES, LABELS, "", str(one_class[0]), dataset=dataset)
        return
    found = LabelCounts(counts.pixels, counts.unlabeled, counts.maps, counts.maps, counts.tags)
    if problems := label_problems(found, counts.classes):
        yield Finding(kinds.ABSENT_CLASSES, LABELS, "", " and ".join(problems), dataset=dataset)


def count_objects(tiles: Iterable[TileFacts], classes: Mapping[int, str]) -> ObjectCounts:
    """Add up the objects of tiles.

    Args:
        tiles: those of a dataset.
        classes: index -> name of the classes of objects.
    """
    found = [tile.objects for tile in tiles if tile.objects is not None]
    counts: Counter[int] = Counter()
    for objects in found:
        counts.update({category: len(areas) for category, areas in objects.items()})
    areas = [area for objects in found for those in objects.values() for area in those]
    return ObjectCounts(
        tuple(classes.values()),
        np.array([counts[index] for index in classes]),
        np.array([sum(map(len, objects.values())) for objects in found], dtype=np.int64),
        np.array(areas, dtype=np.int64),
    )


def object_findings(
    dataset: str,
    samples: Sequence[Mapping],
    tiles: Sequence[TileFacts],
    counts: ObjectCounts,
    is_test: bool,
    limits: Mapping[str, int],
) -> Iterable[Finding]:
    """What is wrong with the objects of a dataset.

    Args:
        dataset: its name.
        samples, tiles: its dataset dicts, and what was found of each.
        counts: of its objects.
        is_test: whether models are scored on it.
        limits: of `object_limits`; none if there is no model.
    """
    if not counts.objects.sum():
        text = f"none of its {len(tiles)} tiles has an object"
        kind = kinds.NO_CLASSES if is_test else kinds.NO_OBJECTS
        yield Finding(kind, LABELS, "", text, dataset=dataset)
    elif absent := [name for name, count in zip(counts.classes, counts.objects) if not count]:
        yield Finding(kinds.NO_OBJECTS, LABELS, "", f"no {', '.join(absent)}", dataset=dataset)
    for sample, tile in zip(samples, tiles, strict=True):
        number = sum(map(len, (tile.objects or {}).values()))
        if keys := exceeded(limits, number):
            yield Finding(kinds.QUERIES, LABELS, str(sample["image_id"]), f"{number} objects", f"at most {keys}", dataset)
