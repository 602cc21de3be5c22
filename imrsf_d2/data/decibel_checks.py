"""Radar that is in decibels already where the config says linear power: as power nearly all of it would be "no echo"."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import numpy as np

from imrsf_d2.data.windows import Windows, read_values
from imrsf_d2.modalities import Modality
from imrsf_d2.utils.errors import InputError

__all__ = ["DECIBEL_HINT", "check_decibels", "decibel_share", "holds_decibels", "share_of_decibels"]

logger = logging.getLogger(__name__)

#: How to go on.
DECIBEL_HINT = (
    "these look like decibels: TRANSFORM: none and UNIT: dB in MODEL.IMRSF.MODALITIES (MEAN, STD and CLIP stay in decibels)"
)
# Power is never negative, and only a little below zero where noise was subtracted; most decibels are. What is far below is
# a no-data value without a tag.
LEAST, MOST = -100.0, -0.1


def share_of_decibels(path: str, modality: Modality) -> float:
    """The share of a file's valid values that can be decibels but not power; 0 if it holds none.

    Raises:
        RasterError, ValueError: see `read_raster`.
    """
    return decibel_share(read_values(path, modality))


def decibel_share(values: np.ndarray) -> float:
    """The share of some valid values, before TRANSFORM, that can be decibels but not power; 0 if there is none."""
    return float(((values > LEAST) & (values < MOST)).mean()) if values.size else 0.0


def holds_decibels(values: np.ndarray) -> bool:
    """Whether some valid values of a file, before TRANSFORM, are decibels."""
    return decibel_share(values) > 0.5


def check_decibels(windows: Windows, modalities: Iterable[Modality]) -> None:
    """Look for decibels in the modalities with TRANSFORM: db.

    Args:
        windows: of a dataset, see `read_windows`.
        modalities: those that were read.

    Raises:
        InputError: if most files hold decibels. If some do, there is a warning.
    """
    for modality in modalities:
        if modality.transform != "db":
            continue
        files = windows[modality.name]
        alike = [path for path, values in files.items() if holds_decibels(values)]
        if not alike:
            continue
        found = (
            f"modality {modality.name!r} has TRANSFORM: db, which takes linear power, but in {len(alike)} of "
            f"{len(files)} files looked at most values are below 0, e.g. {alike[0]} "
            f"({decibel_share(files[alike[0]]):.0%}): {DECIBEL_HINT}"
        )
        if 2 * len(alike) > len(files):
            raise InputError(f"{found}.")
        logger.warning(
            "%s. All files of a dataset must have one unit; these would be read as pixels without an echo.", found
        )
