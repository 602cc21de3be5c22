"""Values that mark missing data although the file does not say so: they would be taken for measurements."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["find_border", "find_sentinel"]

#: Numbers that no sensor measures where others do not, as they are stored.
SENTINELS = (-9999.0, -99999.0, -32768.0, -32767.0, 32767.0, 65535.0)
#: Those of them that no data type ends with: enough that the gap to all others is this wide, in numbers as they are stored.
DECIMAL_SENTINELS, LEAST_GAP = (-9999.0, -99999.0), 5000.0
#: Beyond this, no measurement in any unit.
ABSURD = 1e30


def find_sentinel(
    bands: np.ndarray, valid: np.ndarray, scaling: Sequence[tuple[float, float]]
) -> tuple[int, float, float] | None:
    """A value that stands apart from all others, and is one that people write for "no data".

    Args:
        bands: [C, H, W] values.
        valid: [H, W] bool, the pixels that count as data.
        scaling: (scale, offset) of each band, by which the values differ from what is stored.

    Returns:
        The band that has it (from 0), the value there, and the share of pixels; None if there is none.
    """
    for i, (band, (scale, offset)) in enumerate(zip(bands, scaling, strict=True)):
        values = band[valid]
        if not values.size:
            return None
        for extreme in (float(values.min()), float(values.max())):
            stored = (extreme - offset) / scale
            known = next((sentinel for sentinel in SENTINELS if abs(stored - sentinel) < 0.01), None)
            if known is None and not abs(stored) >= ABSURD:
                continue
            if _stands_apart(extreme, values) or (
                known in DECIMAL_SENTINELS and _gap(extreme, values) > LEAST_GAP * abs(scale)
            ):
                return i, extreme, float((values == extreme).sum() / valid.size)
    return None


def find_border(bands: np.ndarray, valid: np.ndarray) -> float | None:
    """The share of pixels that are 0 in all bands, if they fill a whole edge of the tile as where a scene ends.

    A single band has zeros that are measurements (the sea, the ground in a map of heights): there they count only if they
    stand apart from all other values.

    Args:
        bands, valid: as of `find_sentinel`.

    Returns:
        From 0 to 1; None if no edge is like that, or all of the tile is.
    """
    black = valid & (bands == 0).all(axis=0)
    edges = (black[0], black[-1], black[:, 0], black[:, -1])
    if not any(edge.all() for edge in edges) or black.all():
        return None
    if len(bands) == 1 and not _stands_apart(0.0, bands[0][valid]):
        return None
    return float(black.mean())


def _stands_apart(value: float, values: np.ndarray) -> bool:
    """Whether the gap between a value and the nearest other one is wider than the range of all others."""
    others = values[values != value]
    if not others.size:
        return value != 0
    return _gap(value, values) > float(others.max()) - float(others.min())


def _gap(extreme: float, values: np.ndarray) -> float:
    """How far the least or the greatest of some values is from the nearest other one."""
    others = values[values != extreme]
    if not others.size:
        return 0.0
    low, high = float(others.min()), float(others.max())
    return low - extreme if extreme < low else extreme - high
