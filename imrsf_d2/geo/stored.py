"""What the numbers in a raster file stand for: their data type, and the scale and offset of each band.

GDAL's SCALE and OFFSET say that a stored number n means n * SCALE + OFFSET: heights in whole decimeters, decibels in whole
hundredths, reflectance as 16-bit integers. GDAL itself does not apply them when it reads. Whoever reads measurements does
so through `Scaling`; no-data tags, and every other value that marks missing data, are stored numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import rasterio
from rasterio.windows import Window

from imrsf_d2.utils.errors import InputError

__all__ = ["Scaling", "kind_of", "number_text", "read_stored", "stored_text"]


@dataclass(frozen=True)
class Scaling:
    """SCALE and OFFSET of some bands of a file: one number per band each."""

    scales: tuple[float, ...]
    offsets: tuple[float, ...]

    @classmethod
    def of(cls, file: rasterio.DatasetReader, numbers: Sequence[int], path: str) -> Scaling:
        """The scaling of some bands of an open raster.

        Args:
            numbers: of these bands, from 1.
            path: for messages.

        Raises:
            InputError: if they cannot be applied.
        """
        scales, offsets, dtypes = file.scales, file.offsets, file.dtypes
        scaling = cls(tuple(scales[n - 1] for n in numbers), tuple(offsets[n - 1] for n in numbers))
        if not scaling.applies:
            return scaling
        if not all(map(math.isfinite, scaling.scales + scaling.offsets)) or 0 in scaling.scales:
            raise InputError(
                f"{path} has {scaling}, expected finite numbers and a SCALE other than 0. "
                f"gdal_edit.py -scale 1 -offset 0 {path} removes them."
            )
        if any(scaling.offsets) and any(kind_of(dtypes[n - 1]) == "c" for n in numbers):
            raise InputError(
                f"{path} holds complex numbers and has {scaling}, expected no OFFSET: it is not defined for "
                f"them. gdal_edit.py -offset 0 {path} removes it."
            )
        return scaling

    @property
    def applies(self) -> bool:
        """False if the stored numbers are the values."""
        return any(scale != 1 for scale in self.scales) or any(self.offsets)

    def apply(self, stored: np.ndarray) -> np.ndarray:
        """The values that stored numbers [C, H, W] mean: float64 or complex128; the same array if nothing applies."""
        if not self.applies:
            return stored
        values = stored.astype(np.complex128 if stored.dtype.kind == "c" else np.float64)
        values *= np.array(self.scales)[:, None, None]
        if any(self.offsets):
            values += np.array(self.offsets)[:, None, None]
        return values

    def times(self, factors: Sequence[float]) -> Scaling:
        """The scaling that gives the values in other units: each band's values times its factor."""
        return Scaling(
            tuple(scale * factor for scale, factor in zip(self.scales, factors, strict=True)),
            tuple(offset * factor for offset, factor in zip(self.offsets, factors, strict=True)),
        )

    def refuse(self, path: str, what: str) -> None:
        """Refuse a SCALE or OFFSET in a file of class indices, which are never scaled.

        Args:
            what: what the classes are of, for the message.

        Raises:
            InputError: if there is one.
        """
        if self.applies:
            raise InputError(
                f"{path} ({what}) holds class indices and has {self}, expected none: classes are numbers "
                f"without a unit. If the stored numbers are the classes, gdal_edit.py -scale 1 -offset 0 {path} "
                "removes them."
            )

    def __str__(self) -> str:
        return " and ".join(
            f"{key} {', '.join(f'{number:g}' for number in dict.fromkeys(numbers))}"
            for key, numbers in (("SCALE", self.scales), ("OFFSET", self.offsets))
        )


def kind_of(dtype: str) -> str:
    """NumPy's letter for the kind of a data type of rasterio, even of "complex_int16", which NumPy does not have."""
    return "c" if dtype.startswith("complex") else np.dtype(dtype).kind


def read_stored(file: rasterio.DatasetReader, numbers: Sequence[int], window: Window | None = None) -> np.ndarray:
    """The stored numbers [C, H, W] of some bands in their data type; if these differ, in a type that holds them all."""
    if len({file.dtypes[number - 1] for number in numbers}) > 1:  # rasterio refuses to read these together
        return np.stack([file.read(number, window=window) for number in numbers])
    return file.read(list(numbers), window=window)


def stored_text(file: rasterio.DatasetReader, number: int, row: int, column: int) -> str:
    """What a pixel of a band (from 1) holds, as `number_text`; of a complex number its real part, as in a no-data tag."""
    (stored,) = file.read(number, window=Window(column, row, 1, 1)).ravel()
    return number_text(stored.real)


def number_text(number: np.integer | np.floating) -> str:
    """The shortest text that reads back as a number of its data type, as a no-data tag must: "0.1" of a float32."""
    if not isinstance(number, np.floating):
        return str(number)
    text = min(np.format_float_positional(number, trim="-"), np.format_float_scientific(number, trim="-"), key=len)
    if np.isfinite(number) and abs(float(text)) > float(np.finfo(number.dtype).max):
        return number_text(np.float64(number))  # GDAL reads a float64: that of float32's least is -3.4028234663852886e+38
    return text
