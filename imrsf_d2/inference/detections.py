"""What the model found in one window, in pixels of the scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

__all__ = ["Detection", "box_overlaps", "drop_doubles", "overlap_iou"]

#: Two masks of one window and class that overlap this much (IoU) are one object, found by two queries.
DOUBLE_IOU = 0.5


@dataclass(frozen=True, eq=False)
class Detection:
    """One object as one window saw it.

    Args:
        window: index of the window.
        number: place among the window's detections, best score first.
        label: class index.
        score: 0 to 1.
        top, left: of the mask's first row and column in the scene.
        mask: [h, w] bool, no row or column of its border empty.
        sensors: bit m is set if modality m has data in at least half of the mask's pixels.
    """

    window: int
    number: int
    label: int
    score: float
    top: int
    left: int
    mask: np.ndarray
    sensors: int = 0

    @cached_property
    def pixels(self) -> int:
        """How many the mask has."""
        return int(np.count_nonzero(self.mask))

    @property
    def bottom(self) -> int:
        """The row after the mask's last."""
        return self.top + self.mask.shape[0]

    @property
    def right(self) -> int:
        """The column after the mask's last."""
        return self.left + self.mask.shape[1]

    def within(self, top: int, left: int, bottom: int, right: int) -> np.ndarray:
        """The part of the mask that lies in an area of the scene, [h', w'] bool; empty if none."""
        rows = slice(max(top - self.top, 0), max(bottom - self.top, 0))
        return self.mask[rows, max(left - self.left, 0) : max(right - self.left, 0)]

    def pixels_within(self, top: int, left: int, bottom: int, right: int) -> int:
        """How many pixels of the mask lie in an area of the scene."""
        if top <= self.top and left <= self.left and self.bottom <= bottom and self.right <= right:
            return self.pixels
        return int(np.count_nonzero(self.within(top, left, bottom, right)))


def overlap_iou(one: Detection, other: Detection, area: tuple[int, int, int, int] | None = None) -> float:
    """IoU of two masks, within (top, left, bottom, right) of the scene if given; 0 where neither has a pixel there."""
    if area is not None:
        ones, others = one.pixels_within(*area), other.pixels_within(*area)
        top, left, bottom, right = area
    else:
        ones, others = one.pixels, other.pixels
        top, left, bottom, right = one.top, one.left, one.bottom, one.right
    shared = (
        max(one.top, other.top, top),
        max(one.left, other.left, left),
        min(one.bottom, other.bottom, bottom),
        min(one.right, other.right, right),
    )
    if shared[0] >= shared[2] or shared[1] >= shared[3]:
        return 0.0
    both = np.count_nonzero(one.within(*shared) & other.within(*shared))
    return both / (ones + others - both) if both else 0.0


def drop_doubles(detections: Sequence[Detection]) -> list[Detection]:
    """Leave out each detection of a window that overlaps a better one of its class that is kept, at `DOUBLE_IOU`.

    Args:
        detections: of one window, best score first.
    """
    if not detections:
        return []
    boxes = np.array([(d.top, d.left, d.bottom, d.right) for d in detections])
    labels = np.array([d.label for d in detections])
    possible = np.tril(box_overlaps(boxes, boxes) > 0, -1) & (labels[:, None] == labels)
    dropped: set[int] = set()
    for later, better in zip(*(side.tolist() for side in np.nonzero(possible))):
        if not {later, better} & dropped and overlap_iou(detections[better], detections[later]) >= DOUBLE_IOU:
            dropped.add(later)
    return [detection for i, detection in enumerate(detections) if i not in dropped]


def box_overlaps(ones: np.ndarray, others: np.ndarray) -> np.ndarray:
    """How many pixels each pair of boxes shares, [m, n].

    Args:
        ones, others: [m, 4] and [n, 4] of top, left, bottom, right.
    """
    least = np.maximum(ones[:, None, :2], others[None, :, :2])
    most = np.minimum(ones[:, None, 2:], others[None, :, 2:])
    return np.maximum(most - least, 0).prod(axis=2)
