"""Label maps: one class index per pixel, read from a file or rasterized from instance annotations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from pycocotools import mask as coco_mask

from imrsf_d2.data.label_codes import IGNORE_LABEL, LabelCodes
from imrsf_d2.data.masks import segmentation_to_rle
from imrsf_d2.data.panoptic import classes_of_segments, read_segments
from imrsf_d2.geo.rasters import read_band, size_text
from imrsf_d2.utils.errors import InputError

__all__ = ["IGNORE_LABEL", "label_annotations", "label_codes", "label_file", "semantic_truth"]


def label_file(sample: Mapping) -> str | None:
    """The path of the raster with the labels of a dataset dict; None if it has none."""
    return sample.get("sem_seg_file_name") or sample.get("pan_seg_file_name")


def semantic_truth(sample: Mapping, num_classes: int | None = None) -> np.ndarray:
    """The label map of a dataset dict.

    Args:
        sample: with `sem_seg_file_name` (a one-band raster; pixels that the file itself marks as no data are not labeled)
            and optionally `sem_seg_codes` (`LabelCodes`: what the numbers in it stand for; without, they are class indices,
            255 = not labeled); or with `pan_seg_file_name` and `segments_info` (see `read_segments`); or else with
            `annotations`, which are rasterized (see `label_annotations`).
        num_classes: if given, class indices must be below it.

    Returns:
        [H, W] uint8 class indices, IGNORE_LABEL where the class is unknown.

    Raises:
        RasterError: if the file cannot be read.
        UnknownCodesError: if it holds numbers that stand for nothing.
        ValueError: if it has several bands, complex numbers, or another size than the sample.
    """
    path = sample.get("sem_seg_file_name")
    if path is None and "pan_seg_file_name" in sample:
        return classes_of_segments(*read_segments(sample))
    if path is None:
        return label_annotations(sample.get("annotations", ()), sample["height"], sample["width"])
    band, valid = read_band(path, "the labels")
    expected = (sample["height"], sample["width"])
    if band.shape != expected:
        raise InputError(
            f"the labels {path} are {size_text(band.shape)}, expected {size_text(expected)} like image {sample['image_id']!r}."
        )
    return label_codes(sample, num_classes).apply(band, valid, f"the label map {path}")


def label_codes(sample: Mapping, num_classes: int | None = None) -> LabelCodes:
    """What the numbers in the label map of a dataset dict stand for.

    Args:
        sample: with or without `sem_seg_codes`.
        num_classes: if given, class indices must be below it.

    Raises:
        ValueError: if a code stands for a class that the model does not have.
    """
    codes = sample.get("sem_seg_codes")
    if codes is None:
        return LabelCodes.indices(IGNORE_LABEL if num_classes is None else num_classes)
    if num_classes is not None and (
        beyond := [code for code, index in codes.codes.items() if num_classes <= index < IGNORE_LABEL]
    ):
        raise InputError(
            f"the label code {beyond[0]} of image {sample['image_id']!r} stands for class {codes.codes[beyond[0]]}, expected "
            f"class indices from 0 to {num_classes - 1} (MODEL.SEM_SEG_HEAD.NUM_CLASSES)."
        )
    return codes


def label_annotations(annotations: Sequence[Mapping], height: int, width: int) -> np.ndarray:
    """Instances as a label map: 0 is background, category c becomes class c + 1; holes of RLEs stay holes.

    Crowds may be of any class, so their pixels are not labeled where no object is.

    Args:
        annotations: with `segmentation` and `category_id`. Where categories overlap, the highest one wins.
        height, width: of the image, px.

    Returns:
        [H, W] uint8.

    Raises:
        ValueError: if a segmentation cannot be rasterized.
    """
    labels = np.zeros((height, width), dtype=np.uint8)
    by_label: dict[int, list] = {}
    for annotation in annotations:
        label = IGNORE_LABEL if annotation.get("iscrowd", 0) else annotation["category_id"] + 1
        by_label.setdefault(label, []).append(annotation["segmentation"])
    for label in sorted(by_label, key=lambda label: (label != IGNORE_LABEL, label)):
        codes = [segmentation_to_rle(segmentation, height, width) for segmentation in by_label[label]]
        labels[coco_mask.decode(coco_mask.merge(codes)) > 0] = label
    return labels
