"""Radar power in two units."""

from __future__ import annotations

from typing import TypeVar

import numpy as np

__all__ = ["from_db", "to_db"]


Number = TypeVar("Number", float, np.ndarray)


def to_db(power: np.ndarray) -> np.ndarray:
    """Linear power in decibels; power that is not positive becomes infinite or NaN."""
    return 10.0 * np.log10(power)


def from_db(decibel: Number) -> Number:
    """Decibels as linear power."""
    return 10.0 ** (decibel / 10.0)
