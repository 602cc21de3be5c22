"""What a raster file itself says about which of its pixels hold data: by its mask, its alpha band and its no-data tags."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import rasterio
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.windows import Window

__all__ = ["file_validity", "read_own_mask", "value_bands"]


def value_bands(file: rasterio.DatasetReader, expected: int) -> list[int]:
    """The bands (from 1) that hold values: all of them if there are as many as expected, otherwise all but alpha bands."""
    # In this order: GDAL takes the fourth band of any 8-bit file for alpha.
    if file.count == expected:
        return list(file.indexes)
    return [number for number, kind in zip(file.indexes, file.colorinterp) if kind != ColorInterp.alpha]


def file_validity(
    file: rasterio.DatasetReader,
    numbers: Sequence[int],
    stored: np.ndarray,
    window: Window | None = None,
    *,
    tag_in_all_bands: bool,
) -> np.ndarray:
    """Which pixels hold data, as far as the file says so.

    Args:
        numbers: of the bands that were read, from 1; alpha bands among them are taken for values.
        stored: [C, H, W], what these bands hold, neither scaled nor converted.
        window: which part of the file that is; None = all of it.
        tag_in_all_bands: whether a pixel is invalid only where every band holds its no-data tag, because the tag also is an
            ordinary value (0 is black); otherwise one such band is enough.

    Returns:
        [H, W] bool, True = holds data.
    """
    mask = read_own_mask(file, window)
    valid = np.ones(stored.shape[1:], dtype=bool) if mask is None else mask > 0
    for number, kind in zip(file.indexes, file.colorinterp):
        # Read as a band: beside a no-data tag GDAL forgets that it is a mask.
        if kind == ColorInterp.alpha and number not in numbers:
            valid &= file.read(number, window=window) > 0
    tags = [file.nodatavals[number - 1] for number in numbers]
    if any(tag is not None for tag in tags):
        tagged = np.stack([_holds_tag(band, tag) for band, tag in zip(stored, tags)])
        valid &= ~(tagged.all(axis=0) if tag_in_all_bands else tagged.any(axis=0))
    return valid


def read_own_mask(file: rasterio.DatasetReader, window: Window | None = None) -> np.ndarray | None:
    """The file's own mask (internal, or a `.msk` file), [H, W] uint8, 0 = no data; None if it has none."""
    for number, flags in zip(file.indexes, file.mask_flag_enums):
        # To GDAL an alpha band is a mask of the whole file, too; here it is a band.
        if MaskFlags.per_dataset in flags and not {MaskFlags.all_valid, MaskFlags.alpha} & set(flags):
            return file.read_masks(number, window=window)
    return None


def _holds_tag(band: np.ndarray, tag: float | None) -> np.ndarray:
    if tag is None:
        return np.zeros(band.shape, dtype=bool)
    return np.isnan(band) if np.isnan(tag) else band == tag  # NaN equals nothing, not even itself
