"""How a tile's file stores a sensor: numbers, what they mean, and which of them hold data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import rasterio
from rasterio.enums import ColorInterp

from imrsf_d2.geo.grids import Grid
from imrsf_d2.geo.stored import Scaling, kind_of
from imrsf_d2.geo.writing import new_raster

__all__ = ["Encoding", "Pixels", "write_pixels"]


@dataclass(frozen=True)
class Encoding:
    """How stored numbers are to be read, and what their bands are called."""

    dtype: str
    scaling: Scaling | None = None
    nodata: float | None = None
    names: tuple[str | None, ...] = ()
    units: tuple[str | None, ...] = ()
    colors: tuple[ColorInterp, ...] = ()

    @classmethod
    def of(cls, file: rasterio.DatasetReader, numbers: Sequence[int], path: str) -> Encoding:
        """That of some bands (from 1) of an open file."""

        def of_bands(values: Sequence) -> tuple:
            return tuple(values[number - 1] for number in numbers)

        scaling, tags, dtypes = Scaling.of(file, numbers, path), of_bands(file.nodatavals), of_bands(file.dtypes)
        dtype = dtypes[0] if len(set(dtypes)) == 1 else _common(dtypes)
        # A TIFF has one tag for all bands; floating-point numbers need none other than NaN.
        nodata = tags[0] if all(_same(tag, tags[0]) for tag in tags) else None
        if nodata is None and kind_of(dtype) == "f":
            nodata = float("nan")
        return cls(
            dtype,
            scaling if scaling.applies else None,
            nodata,
            of_bands(file.descriptions),
            of_bands(file.units),
            of_bands(file.colorinterp),
        )

    def of_values(self) -> Encoding:
        """That of the values of the same bands; NaN is no data."""
        return replace(self, dtype="float32", scaling=None, nodata=float("nan"))

    def of_codes(self, dtypes: Iterable[str]) -> Encoding:
        """That of class codes of several files, as numbers of a type that holds all of them."""
        dtype = _common([self.dtype, *dtypes])
        return replace(self, dtype=dtype, nodata=float("nan") if kind_of(dtype) == "f" else None)

    def alike(self, other: Encoding) -> bool:
        """Whether numbers of both can stand in one file, whatever their bands are called."""
        return (self.dtype, self.scaling) == (other.dtype, other.scaling) and _same(self.nodata, other.nodata)


def _common(dtypes: Sequence[str]) -> str:
    """A data type that holds the numbers of several."""
    # NumPy lacks whole complex numbers; what rasterio reads of them are floating-point ones.
    return np.result_type(*("complex64" if dtype == "complex_int16" else dtype for dtype in dtypes)).name


def _same(tag: float | None, other: float | None) -> bool:
    """Whether two no-data tags are one; NaN equals NaN here."""
    return tag == other or (tag is not None and other is not None and tag != tag and other != other)


@dataclass(frozen=True)
class Pixels:
    """A sensor in a tile.

    Args:
        stored: [C, H, W], as `encoding` says.
        valid: [H, W] bool, True = holds data.
        encoding: of `stored`.
        copied, resampled: number of pixels with data that are taken from a file as they are, and that are computed.
    """

    stored: np.ndarray
    valid: np.ndarray
    encoding: Encoding
    copied: int
    resampled: int


def write_pixels(path: Path, pixels: Pixels, grid: Grid) -> None:
    """Write a tile's file, complete or not at all."""
    encoding, (height, width) = pixels.encoding, pixels.valid.shape
    rgb = encoding.colors[:3] == (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
    profile = {
        "count": len(pixels.stored),
        "dtype": pixels.stored.dtype,
        "height": height,
        "width": width,
        "crs": grid.crs,
        "transform": grid.transform,
        "nodata": encoding.nodata,
        "photometric": "RGB" if rgb else "MINISBLACK",
    }
    with new_raster(path, **profile) as file:
        if encoding.colors and file.colorinterp != encoding.colors:
            file.colorinterp = encoding.colors
        if any(encoding.names):
            file.descriptions = encoding.names
        if any(encoding.units):
            file.units = [unit or "" for unit in encoding.units]
        if encoding.scaling is not None:
            file.scales, file.offsets = encoding.scaling.scales, encoding.scaling.offsets
        file.write(pixels.stored)
        if encoding.nodata is None and not pixels.valid.all():
            file.write_mask(pixels.valid)
