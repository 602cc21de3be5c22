"""A few windows of a dataset's rasters, read once for all checks that look at values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from imrsf_d2.geo.bands import modality_bands
from imrsf_d2.geo.gdal import opened
from imrsf_d2.geo.rasters import RasterError, read_grid, read_raster
from imrsf_d2.geo.stored import stored_text
from imrsf_d2.modalities import Modality

__all__ = ["Windows", "find_stored", "read_values", "read_windows"]

# Files of each modality, and pixels along each side of their middle.
FILES, SIDE_PX = 12, 128

#: modality -> path of a file -> [C, n] float32, the valid values in its middle before TRANSFORM and CLIP
Windows = dict[str, dict[str, np.ndarray]]


def read_windows(samples: Sequence[Mapping[str, str | None]], modalities: Iterable[Modality]) -> Windows:
    """Read the middle of some files of each modality, spread evenly over the samples, however large the dataset.

    Args:
        samples: path of each modality's file, None or no key where a sample lacks the sensor.
        modalities: those to be read; categorical ones are not.

    Returns:
        For each modality the files that can be read; the others are reported where they are used.

    Raises:
        InputError: if a file contradicts its modality.
    """
    windows: Windows = {}
    for modality in modalities:
        if modality.categorical:
            continue
        windows[modality.name] = {}
        for path in _some_files(samples, modality.name):
            try:
                windows[modality.name][path] = read_values(path, modality, _middle(path))
            except RasterError:
                continue
    return windows


def read_values(path: str, modality: Modality, window: tuple[slice, slice] | None = None) -> np.ndarray:
    """The valid values [C, n] float32 of (a window of) a file of measurements, before TRANSFORM and CLIP.

    Raises:
        RasterError, ValueError: see `read_raster`.
    """
    bands, valid = read_raster(path, _untransformed(modality), window=window)
    return bands[:, valid]


def find_stored(path: str, modality: Modality, band: int, value: float, window: tuple[slice, slice]) -> str | None:
    """What a window of a file holds where a band (from 0) has one of the values of `read_values`.

    Returns:
        The number as it is stored, before SCALE and OFFSET (see `stored_text`); None if no valid pixel has the value.

    Raises:
        RasterError, ValueError: see `read_raster`.
    """
    bands, valid = read_raster(path, _untransformed(modality), window=window)
    places = np.argwhere(valid & (bands[band] == value))
    if not len(places):
        return None
    row, column = (int(place) + part.start for place, part in zip(places[0], window))
    with opened(path, repr(modality.name)) as file:
        return stored_text(file, modality_bands(file, path, modality)[band], row, column)


def _untransformed(modality: Modality) -> Modality:
    return replace(modality, transform="none", clip=None)


def _some_files(samples: Sequence[Mapping[str, str | None]], name: str) -> list[str]:
    paths = [path for sample in samples if (path := sample.get(name)) is not None]
    return list(dict.fromkeys(paths[int(i)] for i in np.linspace(0, len(paths) - 1, min(FILES, len(paths)))))


def _middle(path: str) -> tuple[slice, slice]:
    """The rows and columns in the middle of a file."""
    height, width = (
        slice(max(0, (side - SIDE_PX) // 2), min(side, (side + SIDE_PX) // 2)) for side in read_grid(path).shape
    )
    return height, width
