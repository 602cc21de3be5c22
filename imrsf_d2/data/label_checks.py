"""Whether the ground truth has the classes that a model is to learn, or to be scored on."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from imrsf_d2.data.label_codes import UnknownCodesError
from imrsf_d2.data.labels import IGNORE_LABEL, label_codes, label_file, semantic_truth
from imrsf_d2.geo.codes import CodeCounts
from imrsf_d2.geo.gdal import opened
from imrsf_d2.utils.errors import InputError, UserError, percent, refuse, some_of

__all__ = [
    "LOOKED_AT",
    "LabelCounts",
    "check_instances",
    "check_label_maps",
    "check_labels",
    "count_labels",
    "label_hint",
    "label_problems",
    "no_data_tags",
    "refuse_one_class",
    "spread_evenly",
    "tag_meaning",
]

logger = logging.getLogger(__name__)

#: How many samples of a dataset are looked at before work starts.
LOOKED_AT = 200
#: If at least this share of the pixels is not labeled, the labels are probably not what their user means.
MOSTLY_UNLABELED = 0.95


@dataclass(frozen=True)
class LabelCounts:
    """How often each class occurs in some label maps.

    Args:
        pixels: [K] of each class.
        unlabeled: pixels of no class.
        looked, total: how many label maps were looked at, and how many the dataset has.
        tags: as of `label_hint`.
    """

    pixels: np.ndarray
    unlabeled: int
    looked: int
    total: int
    tags: Mapping[int, int] | None = None

    @property
    def unlabeled_share(self) -> float:
        """The share of the pixels that have no class, from 0 to 1."""
        return self.unlabeled / max(int(self.pixels.sum()) + self.unlabeled, 1)


def spread_evenly(samples: Sequence[Mapping], most: int = LOOKED_AT) -> list[Mapping]:
    """At most `most` samples, spread evenly over the dataset."""
    count = min(most, len(samples))
    return [samples[index * len(samples) // count] for index in range(count)]


def count_labels(samples: Sequence[Mapping], num_classes: int, all_if_one: bool = False) -> LabelCounts:
    """Count the classes in the label maps of LOOKED_AT samples, spread evenly over the dataset.

    Args:
        samples: dataset dicts.
        num_classes: K.
        all_if_one: if these have only one class or none, look at the others until a second class is found.

    Raises:
        UnknownCodesError: if numbers in these label maps stand for nothing; lists all of them with their share of the pixels.
        RasterError, InputError: see `semantic_truth`.
    """
    chosen = spread_evenly(samples)
    counts, looked = np.zeros(256, dtype=np.int64), len(chosen)
    unknown = []
    for sample in chosen:
        try:
            counts += _count(sample, num_classes)
        except UnknownCodesError as error:
            unknown.append((sample, error))
    if unknown:
        _refuse_unknown(unknown, chosen, num_classes)
    if all_if_one and looked < len(samples):
        taken = {id(sample) for sample in chosen}
        for sample in (sample for sample in samples if id(sample) not in taken):
            if np.count_nonzero(counts[:num_classes]) > 1:
                break
            counts += _count(sample, num_classes)
            looked += 1
    pixels, unlabeled = counts[:num_classes], int(counts[IGNORE_LABEL])
    # Headers are opened once more only where their tags could explain something.
    tags = no_data_tags(chosen, num_classes) if unlabeled and not pixels.all() else {}
    return LabelCounts(pixels, unlabeled, looked, len(samples), tags)


def check_label_maps(name: str, found: LabelCounts, classes: Sequence[str]) -> None:
    """Warn of classes without a pixel, and of label maps with hardly any labeled pixel.

    Args:
        name: of the dataset.
        found: in its label maps.
        classes: names, in the order of the indices.
    """
    if problems := label_problems(found, classes):
        labeled = int(found.pixels.sum())
        shares = ", ".join(f"{label} {percent(count / max(labeled, 1))}" for label, count in zip(classes, found.pixels))
        logger.warning(
            "The labels of %s: in the %s, %s. Shares of the labeled pixels: %s; not labeled: %s of all pixels.%s",
            name,
            f"{found.looked} label maps"
            if found.looked == found.total
            else f"{found.looked} of {found.total} label maps that were looked at",
            " and ".join(problems),
            shares,
            percent(found.unlabeled_share),
            label_hint(found.pixels, found.unlabeled > 0, classes, found.tags),
        )


def label_problems(found: LabelCounts, classes: Sequence[str]) -> list[str]:
    """What is odd about the labels of a dataset, in words: classes without a pixel, hardly any labeled pixel.

    Args:
        found, classes: as of `check_label_maps`.
    """
    problems = []
    if absent := [label for label, count in zip(classes, found.pixels, strict=True) if not count]:
        problems.append(f"no pixel is labeled {some_of(absent)}")
    if found.unlabeled_share >= MOSTLY_UNLABELED:
        problems.append(f"{percent(found.unlabeled_share)} of the pixels are not labeled")
    return problems


def refuse_one_class(
    name: str,
    pixels: np.ndarray,
    unlabeled: bool,
    classes: Sequence[str],
    allow: bool,
    tags: Mapping[int, int] | None = None,
    on_problem: Callable[[UserError], None] = refuse,
) -> None:
    """Refuse to score on a dataset where a constant prediction is perfect.

    Args:
        name: of the dataset.
        pixels: [K] labeled pixels of each class, in the whole dataset.
        unlabeled: whether there are pixels of no class.
        classes: K names.
        allow: TEST.ALLOW_SINGLE_CLASS.
        tags: as of `label_hint`.
        on_problem: called with the error.

    Raises:
        InputError: if no pixel is labeled; or, unless allowed, if all labeled pixels are of one class.
    """
    occurring = [label for label, count in zip(classes, pixels, strict=True) if count]
    if not occurring:
        problem = InputError(
            f"no pixel of {name!r} is labeled: there is nothing to compare predictions with. Expected class indices from 0 to "
            f"{len(classes) - 1} in its label maps; {IGNORE_LABEL} means 'not labeled'."
        )
    elif len(occurring) == 1 and not allow:
        expected = f"two of {', '.join(classes)}" if len(classes) > 1 else "two classes, of which this may be one"
        problem = InputError(
            f"all labeled pixels of {name!r} are of the class {occurring[0]!r}, expected at least {expected}: to predict "
            f"{occurring[0]!r} everywhere would score mIoU 100."
            f"{label_hint(pixels, unlabeled, classes, tags)} TEST.ALLOW_SINGLE_CLASS True scores it nevertheless."
        )
    else:
        return
    on_problem(problem)


def check_labels(name: str, samples: Sequence[Mapping]) -> None:
    """Check that there is something to compare predictions with.

    Raises:
        InputError: if no sample has a label.
    """
    if not any(label_file(sample) or sample.get("annotations") for sample in samples):
        raise InputError(
            f"none of the {len(samples)} images of {name!r} has a label, expected annotations or label maps: "
            "there is nothing to score predictions with."
        )


def check_instances(name: str, samples: Sequence[Mapping], classes: Sequence[str]) -> None:
    """Warn of a class without a single instance.

    Args:
        name: of the dataset.
        samples: dataset dicts with `annotations`.
        classes: names, in the order of `category_id`.
    """
    counts = Counter(_categories(samples))
    if absent := [label for index, label in enumerate(classes) if not counts[index]]:
        logger.warning(
            "The labels of %s: no annotation is labeled %s; those of %d images are %s.",
            name,
            some_of(absent),
            len(samples),
            ", ".join(f"{label} {counts[i]}" for i, label in enumerate(classes)),
        )


def _categories(samples: Iterable[Mapping]) -> Iterable[int]:
    return (
        annotation["category_id"]
        for sample in samples
        for annotation in sample.get("annotations", ())
        if not annotation.get("iscrowd", 0)
    )


def _count(sample: Mapping, num_classes: int) -> np.ndarray:
    return np.bincount(semantic_truth(sample, num_classes).ravel(), minlength=256)


def _refuse_unknown(
    unknown: Sequence[tuple[Mapping, UnknownCodesError]], looked: Sequence[Mapping], num_classes: int
) -> NoReturn:
    """Report the codes that stand for nothing in several label maps as one error.

    Args:
        unknown: the samples that have them, each with its error.
        looked: all samples that were looked at.
        num_classes: K.
    """
    sample, first = unknown[0]
    if len(looked) == 1:
        raise first
    pixels = sum(sample["height"] * sample["width"] for sample in looked)
    found = CodeCounts(CodeCounts.total(error.found for _, error in unknown).counts, pixels)
    where = f"{len(unknown)} of the {len(looked)} label maps that were looked at, e.g. {sample['sem_seg_file_name']}, hold"
    raise UnknownCodesError(label_codes(sample, num_classes).problem(where, found), found) from first


def label_hint(pixels: np.ndarray, unlabeled: bool, classes: Sequence[str], tags: Mapping[int, int] | None = None) -> str:
    """What is probably wrong with label maps that lack a class: a sentence after a blank, or nothing.

    Their no-data tag may be the number of the class, or they may be masks of 0 and 255.

    Args:
        pixels, unlabeled, classes: as of `refuse_one_class`.
        tags: of `no_data_tags`; None if the label maps cannot be looked at.
    """
    if not unlabeled:
        return ""
    for tag, position in (tags or {}).items():
        if position < len(classes) and not pixels[position]:
            return (
                f" {tag} is the no-data tag of label maps and stands for {classes[position]!r}, too, so such pixels count as not "
                "labeled: gdal_edit.py -unsetnodata FILE removes the tag."
            )
    if len(classes) < 2:
        return ""
    if tags is None and not pixels[0]:
        return (
            f" If the label maps have a no-data tag of 0, their pixels of {classes[0]!r} count as not labeled: gdal_edit.py "
            "-unsetnodata FILE removes the tag."
        )
    if not pixels[0] or pixels[1:].any() or IGNORE_LABEL in (tags or {}):  # a file with such a tag means it
        return ""
    index = f"write {classes[1]!r} as 1" if len(classes) == 2 else f"write the classes as 0 to {len(classes) - 1}"
    return (
        f" These look like masks of 0/255, where {IGNORE_LABEL} means 'not labeled' unless told otherwise: CODES [{IGNORE_LABEL}] "
        f"of a class in a dataset.yaml says that it is this class; or {index}."
    )


def no_data_tags(samples: Iterable[Mapping], num_classes: int) -> dict[int, int]:
    """The no-data tags of label maps, and what these numbers would stand for if they were no tags.

    Args:
        samples: dataset dicts.
        num_classes: K.

    Returns:
        Tag -> class index, or IGNORE_LABEL; without tags that are no whole numbers.

    Raises:
        RasterError: if a file cannot be opened.
    """
    tags: dict[int, int] = {}
    for sample in samples:
        if (path := sample.get("sem_seg_file_name")) is not None:
            with opened(path, "the labels") as file:
                tags |= tag_meaning(sample, file.nodata, num_classes)
    return tags


def tag_meaning(sample: Mapping, tag: float | None, num_classes: int) -> dict[int, int]:
    """What the no-data tag of one label map would stand for.

    Args:
        sample: its dataset dict.
        tag: as in the file; None if it has none.
        num_classes: K.

    Returns:
        As `no_data_tags`, with one entry or none.
    """
    if tag is None or not float(tag).is_integer():
        return {}
    return {int(tag): label_codes(sample, num_classes).codes.get(int(tag), IGNORE_LABEL)}
