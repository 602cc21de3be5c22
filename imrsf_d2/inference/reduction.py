"""From the masks that a model gives of a window to detections; without torch, so that any process can do it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from imrsf_d2.inference.detections import Detection, drop_doubles
from imrsf_d2.inference.windows import Window

__all__ = ["FoundMasks", "find_detections"]


@dataclass(frozen=True, eq=False)
class FoundMasks:
    """What a model found in one window, as it travels.

    Args:
        window: which one.
        labels, scores: of each object, best first.
        bits: [n, size, ceil(size / 8)] uint8: their masks, eight pixels of a row in a byte, as `numpy.packbits` packs them.
        everywhere: bit m is set if modality m has data in all of the window.
        validity: [M, size, size] bool, where the modalities have data; None where each has it everywhere or nowhere.
    """

    window: Window
    labels: list[int]
    scores: list[float]
    bits: np.ndarray
    everywhere: int
    validity: np.ndarray | None

    @classmethod
    def of(
        cls, window: Window, labels: list[int], scores: list[float], bits: np.ndarray, validity: np.ndarray
    ) -> FoundMasks:
        """With the validity channels of the window's image, [M, size, size] float32 of 0 and 1."""
        least, most = validity.min(axis=(1, 2)), validity.max(axis=(1, 2))
        everywhere = sum(1 << m for m, lowest in enumerate(least.tolist()) if lowest > 0)
        return cls(window, labels, scores, bits, everywhere, None if (least == most).all() else validity > 0)


def find_detections(found: FoundMasks, scene: tuple[int, int]) -> list[Detection]:
    """The objects of a window, best first, without doubles.

    Args:
        scene: its height and width: nothing is beyond.
    """
    window, size = found.window, found.window.size
    bits = found.bits[:, : max(scene[0] - window.top, 0)]
    if window.right > scene[1]:
        bits = bits & np.packbits(np.arange(size) < scene[1] - window.left)
    validity = found.validity
    partly = [] if validity is None else [m for m in range(len(validity)) if not found.everywhere >> m & 1]
    detections: list[Detection] = []
    for mask, (top, left, bottom, right), label, score in zip(bits, _boxes(bits), found.labels, found.scores):
        if top == bottom:
            continue
        bytes_ = mask[top:bottom, left // 8 : -(-right // 8)]
        crop = np.unpackbits(bytes_, axis=1)[:, left % 8 : left % 8 + right - left].astype(bool)
        sensors = found.everywhere
        if validity is not None:
            inside: np.ndarray = validity[:, top:bottom, left:right] & crop
            half = np.count_nonzero(crop) / 2
            if not sensors and np.count_nonzero(inside.any(axis=0)) < half:
                continue  # mostly where nothing is known
            for m in partly:
                if np.count_nonzero(inside[m]) >= half:
                    sensors |= 1 << m
        place = window.top + top, window.left + left
        detections.append(Detection(window.index, len(detections), label, score, *place, crop, sensors))
    return drop_doubles(detections)


def _boxes(bits: np.ndarray) -> list[tuple[int, int, int, int]]:
    """(top, left, bottom, right) around the pixels of each mask [n, h, b] of packed bits; all 0 for one without."""
    if not bits.size:
        return [(0, 0, 0, 0)] * len(bits)
    rows = np.bitwise_or.reduce(bits, axis=2) > 0
    columns = np.unpackbits(np.bitwise_or.reduce(bits, axis=1), axis=1)
    height, width = rows.shape[1], columns.shape[1]
    sides = (rows.argmax(1), columns.argmax(1), height - rows[:, ::-1].argmax(1), width - columns[:, ::-1].argmax(1))
    return [tuple(box) for box in (np.stack(sides, axis=1) * rows.any(axis=1)[:, None]).tolist()]
