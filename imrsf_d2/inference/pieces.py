"""Pieces of one object, each cut by the border of the window that saw it, put together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from imrsf_d2.inference.detections import Detection
from imrsf_d2.inference.windows import Window, WindowGrid

__all__ = ["join_pieces"]

#: Farther from the border than any pixel of a window: where that border is the scene's.
_NO_BORDER = 1 << 30


def join_pieces(pieces: Sequence[tuple[Window, Detection]], windows: WindowGrid) -> tuple[int, int, np.ndarray] | None:
    """One mask of pieces that agree where their windows overlap: each pixel as the window has it that sees most around it.

    Their union would do for pieces of true masks. Masks that a model draws near a border are larger here and smaller there,
    and a union collects what is too large in any of them.

    Args:
        pieces: one of a window at most.
        windows: of the scene.

    Returns:
        top, left, mask [h, w], no row or column of its border empty; None if nothing is left.
    """
    top, left = min(d.top for _, d in pieces), min(d.left for _, d in pieces)
    bottom, right = max(d.bottom for _, d in pieces), max(d.right for _, d in pieces)
    mask = np.zeros((bottom - top, right - left), dtype=bool)
    best = np.full(mask.shape, -1)
    for window, piece in pieces:
        rows = np.arange(max(window.top, top), min(window.bottom, bottom))
        columns = np.arange(max(window.left, left), min(window.right, right))
        place = np.s_[rows[0] - top : rows[-1] + 1 - top, columns[0] - left : columns[-1] + 1 - left]
        seen = np.zeros((len(rows), len(columns)), dtype=bool)
        seen[piece.top - rows[0] : piece.bottom - rows[0], piece.left - columns[0] : piece.right - columns[0]] = piece.mask
        around = np.minimum(
            _inward(rows, window.top, window.bottom, windows.height)[:, None],
            _inward(columns, window.left, window.right, windows.width)[None],
        )
        better = around > best[place]
        mask[place][better] = seen[better]
        best[place][better] = around[better]
    full_rows, full_columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(full_rows):
        return None
    inner = np.s_[full_rows[0] : full_rows[-1] + 1, full_columns[0] : full_columns[-1] + 1]
    return top + int(full_rows[0]), left + int(full_columns[0]), np.ascontiguousarray(mask[inner])


def _inward(places: np.ndarray, first: int, end: int, length: int) -> np.ndarray:
    """How many pixels lie between some rows or columns and the nearer border of a window; the scene's borders are none."""
    before = places - first if first > 0 else np.full_like(places, _NO_BORDER)
    after = end - 1 - places if end < length else np.full_like(places, _NO_BORDER)
    return np.minimum(before, after)
