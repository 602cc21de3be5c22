"""Codes in a raster, such as the 10, 20, ... of a land-cover map, as the class indices that they stand for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from imrsf_d2.utils.errors import percent

__all__ = ["NO_CLASS", "NO_DATA", "CodeCounts", "code_text", "look_up"]

#: What `look_up` gives a value that is none of the codes, and what stands for "no data" where codes may mean that.
NO_CLASS, NO_DATA = -1, -2
#: Codes further apart than this are searched for instead of being looked up in a table of everything between them.
LONGEST_TABLE = 1 << 17
#: At most this many codes are listed in a message: measurements read as codes have as many values as pixels.
MOST_LISTED = 50


@dataclass(frozen=True)
class CodeCounts:
    """How often some codes occur.

    Args:
        counts: code -> pixels.
        pixels: all pixels that were looked at, those of other codes and without data included.
    """

    counts: Mapping[float, int]
    pixels: int

    @classmethod
    def of(cls, values: np.ndarray, pixels: int) -> CodeCounts:
        """Count values of any shape; NaN is one code."""
        codes, counts = np.unique(values, return_counts=True)
        return cls(dict(zip(codes.tolist(), counts.tolist(), strict=True)), pixels)

    @classmethod
    def total(cls, parts: Iterable[CodeCounts]) -> CodeCounts:
        """The counts of several rasters together."""
        total: Counter[float] = Counter()
        pixels = 0
        for part in parts:
            # Each NaN of Python is another key, unless it is the same object.
            total.update({np.nan if code != code else code: count for code, count in part.counts.items()})
            pixels += part.pixels
        return cls(dict(sorted(total.items())), pixels)

    def __str__(self) -> str:
        listed = [f"{code:.10g} ({percent(count / self.pixels)} of the pixels)" for code, count in self.counts.items()]
        more = f" and {len(listed) - MOST_LISTED} more" if len(listed) > MOST_LISTED else ""
        return f"{', '.join(listed[:MOST_LISTED])}{more}"


def look_up(values: np.ndarray, codes: Mapping[int, int]) -> np.ndarray:
    """The class index of each value.

    Args:
        values: real numbers of any shape and data type; a code is the number itself, as whole number or not (3 or 3.0).
        codes: code -> class index.

    Returns:
        Class indices in the same shape, int32; NO_CLASS where the value is none of the codes.
    """
    if not codes:
        return np.full(values.shape, NO_CLASS, np.int32)
    keys, classes = np.array(sorted(codes.items()), dtype=np.int64).T
    classes = classes.astype(np.int32)
    first, last = keys[0], keys[-1]
    with np.errstate(invalid="ignore"):  # what NaN, infinity and huge numbers become is compared with them below
        whole = values.astype(np.int64)
    if last - first < LONGEST_TABLE:
        table = np.full(last - first + 1, NO_CLASS, np.int32)
        table[keys - first] = classes
        found = table[np.clip(whole, first, last) - first]
        is_code = (whole >= first) & (whole <= last)
    else:
        position = np.searchsorted(keys, whole).clip(max=len(keys) - 1)
        found = classes[position]
        is_code = keys[position] == whole
    return np.where(is_code & (whole == values), found, np.int32(NO_CLASS))


def code_text(code: object) -> str:
    """A code as class tables write it, empty for null. Spreadsheets make shapefiles that hold 11100.0 for '11100'."""
    if code is None or code != code:
        return ""
    if isinstance(code, (float, np.floating)) and code.is_integer():  # infinity is not
        return str(int(code))
    return str(code).strip()
