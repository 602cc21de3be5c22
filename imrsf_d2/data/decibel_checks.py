"""Radar that is in decibels already where the config says linear power: as power nearly all of it would be "no echo"."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from imrsf_d2.geo.rasters import RasterError, read_grid, read_raster
from imrsf_d2.modalities import Modality
from imrsf_d2.utils.errors import InputError

__all__ = ["DECIBEL_HINT", "check_decibels", "middle_window", "share_of_decibels", "some_files"]

logger = logging.getLogger(__name__)

#: What to do about it.
DECIBEL_HINT = "these look like decibels: TRANSFORM: none in MODEL.IMRSF.MODALITIES (MEAN, STD and CLIP stay in decibels)"
# Power is never negative, and a little below zero where noise was subtracted; decibels mostly are. What is far below is a
# no-data value that nobody tagged.
LEAST, MOST = -100.0, -0.1
# Files of a dataset, and pixels along each side of their middle, that are looked at before work starts.
FILES, SIDE_PX = 12, 128


def share_of_decibels(path: str, modality: Modality, window: tuple[slice, slice] | None = None) -> float:
    """The share of the values that can be decibels, but not power, in (a window of) a file; 0 if it holds none.

    Raises:
        RasterError, ValueError: see `read_raster`.
    """
    bands, valid = read_raster(path, replace(modality, transform="none", clip=None), window=window)
    values = bands[:, valid]
    return float(((values > LEAST) & (values < MOST)).mean()) if values.size else 0.0


def check_decibels(samples: Sequence[Mapping[str, str | None]], modalities: Iterable[Modality]) -> None:
    """Look into some files of each modality with TRANSFORM: db; reads a few windows, however large the dataset.

    Args:
        samples: path of each modality's file, None or no key where a sample lacks the sensor.
        modalities: those to be read.

    Raises:
        InputError: if most of them hold decibels, or a file contradicts its modality. If some hold decibels, there is a
            warning.
    """
    for modality in modalities:
        if modality.transform != "db":
            continue
        shares = {
            path: share
            for path in some_files(samples, modality.name)
            if (share := _share_in_the_middle(path, modality)) is not None
        }
        alike = [path for path, share in shares.items() if share > 0.5]
        if not alike:
            continue
        found = (
            f"modality {modality.name!r} has TRANSFORM: db, which takes linear power, but in {len(alike)} of "
            f"{len(shares)} files looked at most values are below 0, e.g. {alike[0]} "
            f"({shares[alike[0]]:.0%}): {DECIBEL_HINT}"
        )
        if 2 * len(alike) > len(shares):
            raise InputError(f"{found}.")
        logger.warning("%s. A dataset must have one unit; these files would be taken for pixels without an echo.", found)


def some_files(samples: Sequence[Mapping[str, str | None]], name: str) -> list[str]:
    """The few files of a modality that are looked into, spread evenly over the samples."""
    paths = [sample[name] for sample in samples if sample.get(name) is not None]
    return list(dict.fromkeys(paths[int(i)] for i in np.linspace(0, len(paths) - 1, min(FILES, len(paths)))))


def middle_window(path: str) -> tuple[slice, slice]:
    """Rows and columns of the middle of a file.

    Raises:
        RasterError: if it cannot be opened.
    """
    height, width = (
        slice(max(0, (side - SIDE_PX) // 2), max(0, (side - SIDE_PX) // 2) + min(side, SIDE_PX))
        for side in read_grid(path).shape
    )
    return height, width


def _share_in_the_middle(path: str, modality: Modality) -> float | None:
    """`share_of_decibels` in the middle of a file; None if it cannot be read, which is said elsewhere."""
    try:
        return share_of_decibels(path, modality, middle_window(path))
    except RasterError:
        return None
