"""Which bands of a modality a figure shows, and as what: true color, gray radar, or values in a color map.

`Modality.display` decides. Without it: the names of the bands, if `Modality.bands` has them; the usual order of the bands, where a
sensor's usual name and its number of bands leave one; otherwise the first three bands, or the first. A heading says which bands
they are unless there are no others.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from imrsf_d2.geo.bands import plain_name
from imrsf_d2.modalities import Modality

__all__ = ["Display", "display_of", "true_color_bands"]

#: Usual names of sensors, in lower case.
_SENTINEL_1, _SENTINEL_2 = r"(s1|sentinel_?1)(_\w+)?", r"(s2|sentinel_?2)(_?(l1c|l2a))?"
_RADAR = rf"{_SENTINEL_1}|(sar|radar)(_\w+)?"
#: The bands of Sentinel-2 in their usual order; products of the surface lack B10, and those at 10 and 20 m B01 and B09.
_ALL_OF_S2 = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
_USUAL_ORDERS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (_SENTINEL_1, ("VV", "VH")),
    (_SENTINEL_2, _ALL_OF_S2),
    (_SENTINEL_2, tuple(band for band in _ALL_OF_S2 if band != "B10")),
    (_SENTINEL_2, tuple(band for band in _ALL_OF_S2 if band not in ("B01", "B09", "B10"))),
    (_SENTINEL_2, ("B02", "B03", "B04", "B08")),
)
#: What red, green and blue bands are called: the color, or the number that Sentinel-2 and Landsat 8 give it.
_RED_GREEN_BLUE = (("red", "r", "b4"), ("green", "g", "b3"), ("blue", "b", "b2"))
#: Polarizations of radar, the most readable first.
_POLARIZATIONS = ("vv", "hh", "vh", "hv")


@dataclass(frozen=True)
class Display:
    """What a figure shows of a modality.

    Args:
        bands: of the modality, from 0: one, or three as red, green and blue.
        caption: which bands they are; empty if there are no others.
        true_color: whether the three bands are those of a photograph.
        radar: whether the values are backscatter, which people are used to see in gray.
        unit: of the values; empty if it is not known.
    """

    bands: tuple[int, ...]
    caption: str = ""
    true_color: bool = False
    radar: bool = False
    unit: str = ""


def display_of(modality: Modality) -> Display:
    """What to show of a modality, and as what."""
    if modality.categorical:
        return Display((0,))
    names, assumed = _names(modality)
    polarizations = [name.casefold() for name in names if name.casefold() in _POLARIZATIONS]
    decibels = modality.in_decibels
    named_radar = re.fullmatch(_RADAR, modality.name.casefold()) is not None
    radar = decibels or named_radar or len(polarizations) == len(names) > 0
    natural = None if radar else true_color_bands(names)
    if modality.display:
        choice = modality.bands or tuple(range(1, modality.channels + 1))
        bands = tuple(choice.index(band) for band in modality.display)
    elif natural is not None:
        bands = natural
    elif radar:
        # Not three polarizations in color: few people can read that.
        first = min(polarizations, key=_POLARIZATIONS.index, default=None)
        bands = (next((i for i, name in enumerate(names) if name.casefold() == first), 0),)
    else:
        bands = (0, 1, 2) if modality.channels >= 3 else (0,)
    # Power is never negative.
    unit = modality.unit or ("dB" if decibels or (named_radar and min(modality.mean) < 0) else "")
    caption = _caption(modality, bands, names, assumed, true_color=bands == natural)
    three = len(bands) == 3
    by_default = three and modality.channels == 3 and not radar and not modality.display and not modality.bands
    return Display(bands, caption, true_color=bands == natural or by_default, radar=radar, unit=unit)


def true_color_bands(names: Sequence[str | None]) -> tuple[int, int, int] | None:
    """The positions (from 0) of the red, green and blue bands among some with these names; None if one of them is not there."""
    colors = [
        [i for i, name in enumerate(names) if name and (plain_name(name) in wanted or _says(name, wanted[0]))]
        for wanted in _RED_GREEN_BLUE
    ]
    if any(len(found) != 1 for found in colors):
        return None
    (red,), (green,), (blue,) = colors
    return red, green, blue


def _says(name: str, color: str) -> bool:
    """Whether a name such as "B4 (Red)" says that a band is of a color; "red edge" is another."""
    words = re.findall(r"[a-z]+", name.casefold())
    return color in words and "edge" not in words


def _names(modality: Modality) -> tuple[list[str], bool]:
    """The names of a modality's bands, empty where they have none; and whether they follow from the usual order alone."""
    if modality.bands:
        return [band if isinstance(band, str) else "" for band in modality.bands], False
    for sensor, order in _USUAL_ORDERS:
        if len(order) == modality.channels and re.fullmatch(sensor, modality.name.casefold()):
            return list(order), True
    return [], False


def _caption(modality: Modality, bands: tuple[int, ...], names: Sequence[str], assumed: bool, true_color: bool) -> str:
    numbers = ", ".join(modality.band_name(i).removeprefix("band ") for i in bands)
    if modality.channels == 1 or (not modality.bands and bands == tuple(range(modality.channels))):
        return ""
    if true_color:
        return f"true color (bands {numbers})" if assumed else "true color"
    if assumed and len(bands) == 1:
        return names[bands[0]]
    if all(modality.band_name(i).startswith("band ") for i in bands):
        return f"band{'s' * (len(bands) > 1)} {numbers}"
    return numbers
