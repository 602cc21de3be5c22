"""What one modality is: an entry of `MODEL.IMRSF.MODALITIES`, its keys and their checks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from imrsf_d2.utils.errors import InputError

__all__ = ["DECIBEL", "Modality", "TRANSFORMS", "computed_part", "unit_name", "unmeasured"]

#: How raw raster values become model units: as they are, or 10 log10 of a linear power.
TRANSFORMS = ("none", "db")
#: The unit whose values are averaged as the powers that they stand for.
DECIBEL = "dB"
_DECIBEL_SPELLINGS = {"db", "decibel", "decibels"}
#: The number of channels where it follows from the bands.
_FOLLOWS: Any = None
#: Rasters are resampled as 32-bit floating-point numbers, which hold all whole numbers up to this one.
_LARGEST_CODE = 1 << 24


@dataclass(frozen=True)
class Modality:
    """One sensor or map layer: its bands, and how its raw values become normalized ones.

    Args:
        name: short lower-case name; the key in a dataset dict's `modalities`, in `patch_embed.<name>` and in reports.
        channels: number of bands; default: that of `bands`, or 1. A categorical modality has exactly one band, of class
            indices.
        classes: number of classes of a categorical modality; 0 for measurements.
        mean, std: one number per band, in the units *after* `transform`. Default: 0 and 1 (no normalization).
        transform: "none", or "db" for linear power that the model receives in decibels.
        clip: (low, high) in the units after `transform`, or None.
        nodata: value that marks a pixel as invalid if *all* bands have it; NaN always does. As stored in the file, before its
            scale and offset are applied.
        bands: which bands of a file these are, in this order: numbers as GDAL counts them, from 1, or descriptions (see
            `imrsf_d2.geo.bands`). Default: all bands, except an alpha band beside them.
        unit: of the values after `transform`, for figures: "m", "dB". Default: none; "dB" after "db". Without a transform "dB" says that
            files hold decibels, which are averaged as the powers that they stand for.
        display: what to show in figures: one band, or three as red, green and blue; entries of `bands`, or numbers from 1
            where these are not given. Default: see `imrsf_d2.data.displays`.
        codes: of a categorical modality, what the numbers in its files stand for: code -> class index, or None for no data.
            Default: they are class indices. `classes` follows from them. Kept as pairs.
        class_names: of a categorical modality, for figures: what its classes are called, by index. `classes` follows from them.

    Raises:
        ValueError: if a value contradicts another or is out of range; the message names the modality and the key.
    """

    name: str
    channels: int = _FOLLOWS
    classes: int = 0
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    transform: str = "none"
    clip: tuple[float, float] | None = None
    nodata: float | None = None
    bands: tuple[int | str, ...] = ()
    unit: str = ""
    display: tuple[int | str, ...] = ()
    codes: Any = ()  # Mapping[int, int | None] or pairs; OmegaConf, which LazyConfig keeps objects in, refuses such unions
    class_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            # A list, also one of OmegaConf.
            if field.name != "codes" and isinstance(value, Sequence) and not isinstance(value, (str, tuple)):
                object.__setattr__(self, field.name, tuple(value))
        if not isinstance(self.name, str) or not self.name.isidentifier():
            # The name becomes part of parameter names, where a dot or a blank cannot stand.
            raise self._error("NAME", repr(self.name), "letters, digits and underscores")
        self._check_bands()
        if self.channels is None:
            object.__setattr__(self, "channels", len(self.bands) or 1)
        if not isinstance(self.channels, int) or self.channels < 1:
            raise self._error("CHANNELS", repr(self.channels), "a whole number of bands, 1 or more")
        if self.bands and len(self.bands) != self.channels:
            raise self._error(
                "CHANNELS", f"{self.channels}, but BANDS {list(self.bands)}", f"{len(self.bands)} or no CHANNELS: it follows"
            )
        self._check_class_names()
        self._check_codes()
        if not isinstance(self.classes, int) or self.classes < 0 or self.classes == 1:
            raise self._error("CLASSES", repr(self.classes), "0 (not categorical) or at least 2")
        # Mean and deviation of a copy (`dataclasses.replace`) are the defaults that the original got below.
        statistics = self.mean not in ((), (0.0,)) or self.std not in ((), (1.0,))
        others = (self.channels != 1, self.transform != "none", self.clip, statistics, self.unit, self.display)
        if self.categorical and any(others):
            raise self._error(
                "CLASSES",
                f"{self.classes} together with other keys",
                "one band of class indices, without CHANNELS, MEAN, STD, TRANSFORM, CLIP, UNIT or DISPLAY",
            )
        if self.transform not in TRANSFORMS:
            raise self._error("TRANSFORM", repr(self.transform), f"one of {TRANSFORMS}")
        for key in ("mean", "std", "clip"):
            values = getattr(self, key)
            if not (key == "clip" and values is None) and not (
                isinstance(values, (tuple, list)) and all(map(_is_number, values))
            ):
                raise self._error(key.upper(), repr(values), "a list of numbers, e.g. [1.5]")
        if self.nodata is not None and not _is_number(self.nodata):
            raise self._error("NODATA", repr(self.nodata), "a number")
        for key, default in (("mean", 0.0), ("std", 1.0)):
            values = tuple(float(v) for v in getattr(self, key)) or (default,) * self.channels
            if len(values) != self.channels:
                raise self._error(key.upper(), f"a list of length {len(values)}", f"{self.channels}, one number per band")
            if not all(map(math.isfinite, values)):
                raise self._error(key.upper(), str(list(values)), "finite numbers")
            object.__setattr__(self, key, values)
        if min(self.std) <= 0:
            raise self._error("STD", str(list(self.std)), "positive numbers")
        if self.clip is not None:
            if len(self.clip) != 2 or not self.clip[0] < self.clip[1]:
                raise self._error("CLIP", str(list(self.clip)), "[low, high] with low < high")
            object.__setattr__(self, "clip", (float(self.clip[0]), float(self.clip[1])))
        self._check_figures()

    def _check_bands(self) -> None:
        bands = self.bands
        if not isinstance(bands, (tuple, list)) or not all(map(_is_band, bands)):
            raise self._error(
                "BANDS", repr(bands), "a list of band numbers from 1 or of band descriptions, e.g. [B04, B03, B02]"
            )
        if len(set(bands)) < len(bands):
            raise self._error("BANDS", str(list(bands)), "each band once")
        object.__setattr__(self, "bands", tuple(bands))

    def _check_class_names(self) -> None:
        names = self.class_names
        if not isinstance(names, (tuple, list)) or not all(isinstance(name, str) and name.strip() for name in names):
            raise self._error("CLASS_NAMES", repr(names), "a list of names, e.g. [water, trees]")
        object.__setattr__(self, "class_names", tuple(names))
        if names and self.classes == 0:
            object.__setattr__(self, "classes", len(names))
        if names and self.classes != len(names):
            raise self._error("CLASS_NAMES", f"a list of length {len(names)}", f"{self.classes}, one for each of CLASSES")

    def _check_codes(self) -> None:
        if self.codes == ():
            return
        expected = "a class index, or null for no data, for each code, e.g. {10: 0, 20: 1, 0: null}"
        pairs = self.codes.items() if isinstance(self.codes, Mapping) else self.codes
        try:
            codes = dict(pairs)
        except (TypeError, ValueError):
            codes = {}
        if not codes:
            raise self._error("CODES", repr(self.codes), expected)
        if not all(type(code) is int and abs(code) <= _LARGEST_CODE for code in codes) or not all(
            index is None or (type(index) is int and index >= 0) for index in codes.values()
        ):
            raise self._error("CODES", repr(codes), expected)
        object.__setattr__(self, "codes", tuple(codes.items()))
        needed = 1 + max((index for index in codes.values() if index is not None), default=-1)
        if self.classes == 0:
            object.__setattr__(self, "classes", needed)
        elif self.classes < needed:
            raise self._error("CODES", f"up to class {needed - 1}", f"class indices below CLASSES, {self.classes}")

    def _check_figures(self) -> None:
        """Check what is for figures alone."""
        if not isinstance(self.unit, str):
            raise self._error("UNIT", repr(self.unit), "a text, e.g. m")
        if self.unit != unit_name(self.unit):
            raise self._error("UNIT", repr(self.unit), f"{DECIBEL}, spelled so")
        if self.transform == "db" and self.unit not in ("", DECIBEL):
            raise self._error("UNIT", repr(self.unit), "dB, which TRANSFORM: db results in, or no UNIT")
        choice = self.bands or tuple(range(1, self.channels + 1))
        display = self.display
        if (
            not isinstance(display, (tuple, list))
            or len(display) not in (0, 1, 3)
            or not all(_is_band(band) and band in choice for band in display)
        ):
            raise self._error("DISPLAY", repr(display), f"a list of one band or three (red, green, blue) of {list(choice)}")
        object.__setattr__(self, "display", tuple(display))

    def band_name(self, index: int) -> str:
        """How messages and figures call a channel (from 0): by its description in `bands`, or as "band 3" of the file."""
        band = self.bands[index] if self.bands else index + 1
        return band if isinstance(band, str) else f"band {band}"

    @property
    def class_codes(self) -> dict[int, int | None]:
        """Of a categorical modality, the class index of each number in its files, None for no data."""
        return dict(self.codes) or {index: index for index in range(self.classes)}

    @property
    def categorical(self) -> bool:
        """True if the band holds class indices, not a measurement."""
        return self.classes > 0

    @classmethod
    def from_mapping(cls, mapping: Mapping) -> Modality:
        """Read one entry of `MODEL.IMRSF.MODALITIES` (upper-case keys), or the arguments of a modality by their own names.

        Raises:
            ValueError: on an unknown key, a missing NAME, or a bad value.
        """
        known = {f.name.upper(): f.name for f in fields(cls)}
        if not isinstance(mapping, Mapping):
            raise InputError(
                f"MODEL.IMRSF.MODALITIES: entry {mapping!r} is not a mapping, expected e.g. {{NAME: rgb, CHANNELS: 3}}."
            )
        if mapping and set(mapping) <= set(known.values()):
            mapping = {key.upper(): value for key, value in mapping.items()}
        unknown = sorted(set(mapping) - set(known), key=str)
        if unknown or "NAME" not in mapping:
            problem = f"the unknown key {unknown[0]!r}" if unknown else "no NAME"
            raise InputError(f"MODEL.IMRSF.MODALITIES: entry {dict(mapping)} has {problem}; known keys: {sorted(known)}.")
        return cls(**{known[key]: value for key, value in mapping.items()})

    @property
    def in_decibels(self) -> bool:
        """Whether the model receives decibels. They are averaged, and have speckle, as the powers that they stand for."""
        return self.transform == "db" or self.unit == DECIBEL

    @property
    def stored_in_decibels(self) -> bool:
        """Whether files hold decibels."""
        return self.transform == "none" and self.unit == DECIBEL

    def _error(self, key: str, got: str, expected: str) -> InputError:
        return InputError(f"modality {self.name!r}: {key} is {got}, expected {expected}.")

    def to_mapping(self) -> dict:
        """The entry of `MODEL.IMRSF.MODALITIES` that `from_mapping` reads as this modality, of what YAML and JSON can hold."""
        values = {field.name.upper(): (getattr(self, field.name), field.default) for field in fields(self)}
        return {key: _as_lists(value) for key, (value, default) in values.items() if value != default}


def unit_name(text: str) -> str:
    """A unit as this package spells it, which matters for decibels alone: they are averaged as powers."""
    return DECIBEL if text.strip().casefold() in _DECIBEL_SPELLINGS else text


def computed_part(entries: Iterable[Mapping]) -> list[dict]:
    """The entries of `MODEL.IMRSF.MODALITIES` without the keys that only figures depend on, to compare what results depend on."""
    parts = []
    for entry in entries:
        follows = {"CLASSES": len(entry["CLASS_NAMES"])} if "CLASS_NAMES" in entry else {}
        figures = {"DISPLAY", "CLASS_NAMES"} | (set() if entry.get("UNIT") == DECIBEL else {"UNIT"})
        parts.append(follows | {key: value for key, value in entry.items() if key not in figures})
    return parts


def unmeasured(entries: Iterable[Mapping]) -> list[str]:
    """The names of those entries of `MODEL.IMRSF.MODALITIES` that have no statistics, which training needs of measurements."""
    return [entry["NAME"] for entry in entries if "MEAN" not in entry and not Modality.from_mapping(entry).categorical]


def _is_band(value) -> bool:
    """Whether a value can stand for a band of a file: a number from 1, or a description."""
    return bool(value.strip()) if isinstance(value, str) else type(value) is int and value >= 1


def _is_number(value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _as_lists(value):
    return [_as_lists(part) for part in value] if isinstance(value, tuple) else value
