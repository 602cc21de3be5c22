"""Which bands of a raster file belong to a modality.

A modality without `bands` has all bands of the file, or all but an alpha band. One with `bands` picks them by their numbers,
from 1, or by their descriptions, as `gdalinfo` shows both. A description counts if it is that of the file to the letter;
otherwise, if it is that of exactly one band but for upper and lower case, blanks around it and zeros in front of a number, so that
"b4" finds "B04". Nothing else is guessed: neither wavelengths nor a usual order.
"""

from __future__ import annotations

import re

import rasterio

from imrsf_d2.geo.validity import value_bands
from imrsf_d2.modalities import Modality
from imrsf_d2.utils.errors import InputError, some_of

__all__ = ["bands_text", "modality_bands", "plain_name", "refuse_container"]


def modality_bands(file: rasterio.DatasetReader, path: str, modality: Modality) -> list[int]:
    """The numbers (from 1) of the bands of a file that belong to a modality, in the order of its channels.

    Args:
        path: of the file, for messages.

    Raises:
        InputError: if the file does not have them.
    """
    refuse_container(file, path)
    if modality.bands:
        numbers = [_find(file, path, modality, band) for band in modality.bands]
        for band, number in zip(modality.bands, numbers):
            if numbers.count(number) > 1:
                raise _error(file, path, modality, f"BANDS names band {number} twice, once as {band!r}")
        return numbers
    numbers = value_bands(file, modality.channels)
    if len(numbers) != modality.channels:
        raise InputError(
            f"{path} has {file.count} band{'s' * (file.count != 1)}, expected {modality.channels} for "
            f"modality {modality.name!r} (MODEL.IMRSF.MODALITIES, CHANNELS). BANDS picks some of a file's: {bands_text(file)}."
        )
    return numbers


def refuse_container(file: rasterio.DatasetReader, path: str) -> None:
    """Refuse a file with several rasters in it, which GDAL opens as one without bands.

    Raises:
        InputError: with the names of these rasters.
    """
    if not file.count and file.subdatasets:
        raise InputError(
            f"{path} holds {len(file.subdatasets)} rasters, expected one: give the name of one of them instead of the file's, "
            f"{some_of(file.subdatasets)} (docs/formats.md)."
        )


def bands_text(file: rasterio.DatasetReader) -> str:
    """The bands of a file in words: "1 (VV), 2 (VH)"."""
    return ", ".join(f"{number} ({name})" if name else str(number) for number, name in zip(file.indexes, file.descriptions))


def plain_name(description: str) -> str:
    """A band's description without what two spellings of it may differ in: case, blanks around it, zeros before a number."""
    return re.sub(r"(?<!\d)0+(?=\d)", "", description.strip().casefold())


def _find(file: rasterio.DatasetReader, path: str, modality: Modality, band: int | str) -> int:
    if isinstance(band, int):
        if band > file.count:
            raise _error(file, path, modality, f"there is no band {band}")
        return band
    found = [number for number, name in zip(file.indexes, file.descriptions) if name == band]
    if not found:
        found = [n for n, name in zip(file.indexes, file.descriptions) if name and plain_name(name) == plain_name(band)]
    if not found:
        raise _error(file, path, modality, f"there is no band {band!r}")
    if len(found) > 1:
        raise _error(file, path, modality, f"the bands {', '.join(map(str, found))} are all called {band!r}; give a number")
    return found[0]


def _error(file: rasterio.DatasetReader, path: str, modality: Modality, problem: str) -> InputError:
    return InputError(
        f"{path} ({modality.name!r}): {problem}. BANDS of the modality is {list(modality.bands)}, and the file has the bands "
        f"{bands_text(file)}."
    )
