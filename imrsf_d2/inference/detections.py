"""What the model found in one window, in pixels of the scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Detection", "drop_doubles"]

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


def overlap_iou(one: Detection, other: Detection, area: tuple[int, int, int, int] | None = None) -> float:
    """IoU of two masks, within (top, left, bottom, right) of the scene if given; 0 where neither has a pixel there."""
    if area is not None:
        top, left, bottom, right = area
        ones, others = np.count_nonzero(one.within(*area)), np.count_nonzero(other.within(*area))
    else:
        top, left, bottom, right = -(1 << 62), -(1 << 62), 1 << 62, 1 << 62
        ones, others = np.count_nonzero(one.mask), np.count_nonzero(other.mask)
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
    kept: list[Detection] = []
    for detection in detections:
        if all(one.label != detection.label or overlap_iou(one, detection) < DOUBLE_IOU for one in kept):
            kept.append(detection)
    return kept
