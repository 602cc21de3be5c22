"""Whether images hold more objects than a model can find in one."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from detectron2.config import CfgNode

__all__ = ["DETECTIONS", "QUERIES", "check_object_numbers", "exceeded", "object_limits"]

logger = logging.getLogger(__name__)

#: Keys that limit how many objects are found in an image: MaskFormer's queries, and how many of its candidates a model keeps.
QUERIES, DETECTIONS = "MODEL.MASK_FORMER.NUM_OBJECT_QUERIES", "TEST.DETECTIONS_PER_IMAGE"


def object_limits(cfg: CfgNode, is_test: bool) -> dict[str, int]:
    """The keys of a config that limit how many objects are found in an image, with their values.

    Args:
        cfg: of the model.
        is_test: whether its predictions are scored; training knows no limit but that of the queries.
    """
    limits = {}
    if cfg.MODEL.META_ARCHITECTURE == "MaskFormer":  # others have their own heads, with their own keys
        limits[QUERIES] = cfg.MODEL.MASK_FORMER.NUM_OBJECT_QUERIES
    if is_test:
        limits[DETECTIONS] = cfg.TEST.DETECTIONS_PER_IMAGE
    return limits


def exceeded(limits: Mapping[str, int], objects: int) -> str:
    """Which limits an image with some objects exceeds, in words; empty if none.

    Args:
        limits: of `object_limits`.
        objects: how many the image holds.
    """
    return " and ".join(f"{most} ({key})" for key, most in limits.items() if most < objects)


def check_object_numbers(name: str, limits: Mapping[str, int], samples: Sequence[Mapping]) -> None:
    """Warn of images of a test set with more objects, or segments, than the model can find.

    Args:
        name: of the dataset.
        limits: of `object_limits`.
        samples: dataset dicts with `annotations` or `segments_info`.
    """
    numbers = [
        sum(not one.get("iscrowd", 0) for key in ("annotations", "segments_info") for one in sample.get(key, ()))
        for sample in samples
    ]
    crowded = [number for number in numbers if exceeded(limits, number)]
    if crowded:
        logger.warning(
            "%d of the %d images of %s hold more objects or segments (up to %d) than the model can find in one: %s. What is beyond that counts "
            "as missed. Cut smaller tiles, or raise what limits it.",
            len(crowded),
            len(samples),
            name,
            max(crowded),
            exceeded(limits, max(crowded)),
        )
