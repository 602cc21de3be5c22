"""Label maps without seams: the class probabilities of overlapping windows, weighted by a Hann window."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from imrsf_d2.inference.windows import Window

__all__ = ["blend", "hann_weights"]


def hann_weights(size: int) -> np.ndarray:
    """[size, size] float32, above 0 everywhere: what a window's pixels count, most in the middle."""
    side = np.sin(np.pi * (np.arange(size) + 0.5) / size) ** 2
    return np.outer(side, side).astype(np.float32)


def blend(area: tuple[int, int, int, int], found: Iterable[tuple[Window, np.ndarray]], classes: int) -> np.ndarray:
    """The probabilities of an area of the scene.

    Each window adds to its pixels in the order in which it comes, so that in the same order the same windows give the same
    numbers to the bit, whatever area they are asked for.

    Args:
        area: (top, left, bottom, right), px.
        found: windows that share pixels with the area, and their probabilities [C, size, size] float32.
        classes: C.

    Returns:
        [C, H, W] float32; NaN where no window lies.
    """
    top, left, bottom, right = area
    sums = np.zeros((classes, bottom - top, right - left), dtype=np.float32)
    total = np.zeros(sums.shape[1:], dtype=np.float32)
    weights = None
    for window, probabilities in found:
        if weights is None or len(weights) != window.size:
            weights = hann_weights(window.size)
        rows = slice(max(window.top, top), min(window.bottom, bottom))
        columns = slice(max(window.left, left), min(window.right, right))
        inner = (
            slice(rows.start - window.top, rows.stop - window.top),
            slice(columns.start - window.left, columns.stop - window.left),
        )
        outer = slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left)
        sums[(slice(None), *outer)] += weights[inner] * probabilities[(slice(None), *inner)]
        total[outer] += weights[inner]
    with np.errstate(invalid="ignore"):
        return sums / np.where(total > 0, total, np.float32(np.nan))
