"""A modality's numbers as colors that people read at a glance.

Radar in gray, optical bands in true color, heights along a ramp, maps in their palette. A modality knows nothing of
the names of its bands, so which of them to show follows from its own name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from imrsf_d2.modalities import Modality, ModalitySet
from imrsf_d2.visualization.palettes import RGB, KeyEntry, modality_palette

__all__ = ["INVALID", "View", "backdrop", "display_limits", "modality_title", "view_modality"]

#: Color of pixels without data.
INVALID: RGB = (0.87, 0.87, 0.87)
#: Share of the values at either end that may be too dark or too bright to tell apart.
TAILS = 0.01


@dataclass(frozen=True)
class _Display:
    bands: tuple[int, ...]
    caption: str


#: The bands to show of sensors with more than a screen has colors, or fewer; by the usual names of the sensors.
_DISPLAYS = {
    "s1": _Display((0,), "VV"),  # of VV, VH
    "s2": _Display((2, 1, 0), "true color"),  # of blue, green, red, near infrared
}
#: Units of measurements by the usual names of their sensors.
_UNITS = {"dsm": "m", "ndsm": "m", "dem": "m", "height": "m"}


@dataclass(frozen=True)
class View:
    """One modality of one sample, ready to be drawn.

    Args:
        colors: [H, W, 3] in 0..1; INVALID where there is no data.
        valid: [H, W] bool, True = holds data.
        scale: what the colors of a measurement mean, and its unit; None for true color and maps.
        key: the classes of a map that occur.
    """

    colors: np.ndarray
    valid: np.ndarray
    scale: ScalarMappable | None = None
    unit: str = ""
    key: set[KeyEntry] = field(default_factory=set)


def modality_title(modality: Modality) -> str:
    """The heading of a modality's pictures: its name, and which of its bands they show if not all."""
    display = _display(modality)
    return f"{modality.name.upper()} {display.caption}".strip()


def display_limits(image: np.ndarray, modalities: ModalitySet, name: str) -> tuple[float, float] | None:
    """The values of a modality that `view_modality` shows as darkest and brightest.

    Args:
        image: see `view_modality`.

    Returns:
        (low, high) in the units of the bands; None for a map, or if the modality is absent.
    """
    modality = modalities[name]
    valid = image[modalities.validity(name)] >= 0.5
    if modality.categorical or not valid.any():
        return None
    return _limits(modality, _shown_bands(image, modalities, name)[valid])


def view_modality(
    image: np.ndarray, modalities: ModalitySet, name: str, limits: tuple[float, float] | None = None
) -> View | None:
    """Color one modality of a sample.

    Args:
        image: [C + M, H, W] in `modalities`' layout, not normalized.
        limits: `display_limits` of another image to compare this one with; None for its own.

    Returns:
        The view; None if the modality is absent, that is, without a single valid pixel.
    """
    modality = modalities[name]
    valid = image[modalities.validity(name)] >= 0.5
    if not valid.any():
        return None
    if modality.categorical:
        palette, (labels,) = modality_palette(modality), image[modalities.bands(name)]
        return View(palette.paint(labels, valid, INVALID), valid, key=palette.key(labels[valid]))
    shown = _shown_bands(image, modalities, name)
    low, high = limits or _limits(modality, shown[valid])
    if shown.shape[-1] == 3:
        colors = np.clip((shown - low) / (high - low), 0, 1)
        return View(np.where(valid[..., None], colors, INVALID), valid)
    radar = modality.transform == "db"
    scale = ScalarMappable(Normalize(low, high), "gray" if radar else "viridis")
    colors = scale.to_rgba(shown[..., 0])[..., :3]
    return View(np.where(valid[..., None], colors, INVALID), valid, scale, "dB" if radar else _UNITS.get(name, ""))


def backdrop(image: np.ndarray, modalities: ModalitySet, names: Sequence[str] = ()) -> np.ndarray:
    """The most readable modality of a sample, dimmed so that outlines stand out: true color first, then heights.

    Args:
        image: see `view_modality`.
        names: the modalities to choose from; empty for all.

    Returns:
        [H, W, 3] in 0..1; INVALID all over if no modality is there.
    """
    views = {
        name: view for name in names or modalities.names if (view := view_modality(image, modalities, name)) is not None
    }
    if not views:
        return np.broadcast_to(INVALID, (*image.shape[1:], 3))
    # A glimpse of the most readable sensor at the edge of its swath is worth less than the next one's whole tile.
    best = min(
        views,
        key=lambda name: (
            views[name].valid.mean() < 0.5,
            len(_display(modalities[name]).bands) < 3,
            modalities[name].transform == "db",
            modalities[name].categorical,
        ),
    )
    colors = views[best].colors
    if views[best].scale is not None or modalities[best].categorical:
        colors = np.repeat(colors @ np.array([[0.299], [0.587], [0.114]]), 3, axis=-1)  # luma
    return np.where(views[best].valid[..., None], 0.15 + 0.7 * colors, INVALID)


def _display(modality: Modality) -> _Display:
    display = _DISPLAYS.get(modality.name)
    if display is not None and max(display.bands) < modality.channels and not modality.categorical:
        return display
    if modality.channels >= 3:
        return _Display((0, 1, 2), "" if modality.channels == 3 else "bands 1 to 3")
    return _Display((0,), "" if modality.channels == 1 else "band 1")


def _shown_bands(image: np.ndarray, modalities: ModalitySet, name: str) -> np.ndarray:
    """[H, W, 1 or 3], the bands of a measurement that are shown."""
    bands = image[modalities.bands(name)]
    return np.moveaxis(bands[list(_display(modalities[name]).bands)], 0, -1)


def _limits(modality: Modality, values: np.ndarray) -> tuple[float, float]:
    """What is darkest and brightest where [n, 1 or 3] values are shown."""
    return (0.0, 255.0) if values.shape[-1] == 3 and _is_8_bit(modality, values) else _contrast(values)


def _is_8_bit(modality: Modality, values: np.ndarray) -> bool:
    """Whether the bands are ready for a screen: judged by the statistics, so that all tiles look alike."""
    if any(modality.mean):
        return max(modality.mean) > 1 and max(m + s for m, s in zip(modality.mean, modality.std)) <= 255
    return values.min() >= 0 and 1 < values.max() <= 255


def _contrast(values: np.ndarray) -> tuple[float, float]:
    """The values to show as darkest and brightest."""
    low, high = np.percentile(values, [100 * TAILS, 100 * (1 - TAILS)])
    return float(low), float(max(high, low + 1e-6 * max(1.0, abs(low))))
