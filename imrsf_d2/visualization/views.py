"""A modality's values as colors that are read at a glance.

Radar is shown in gray, optical bands in true color, heights with a color map, categorical maps in their palette. Bands
have no names, so the modality's own name decides which of them are shown.
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
#: Fraction of the values at either end of the distribution that is clipped to the darkest or brightest color.
TAILS = 0.01


@dataclass(frozen=True)
class _Display:
    bands: tuple[int, ...]
    caption: str


#: The bands to show of sensors that do not have exactly red, green and blue, by the usual names of the sensors.
_DISPLAYS = {
    "s1": _Display((0,), "VV"),  # of VV, VH
    "s2": _Display((2, 1, 0), "true color"),  # of blue, green, red, near infrared
}
#: Units of single-band measurements, by the usual names of their sensors.
_UNITS = {"dsm": "m", "ndsm": "m", "dem": "m", "height": "m"}


@dataclass(frozen=True)
class View:
    """One modality of one sample, as it is drawn.

    Args:
        colors: [H, W, 3] in 0..1; INVALID where there is no data.
        valid: [H, W] bool, True = has data.
        scale: from the values of a measurement to its colors; None for true color and categorical maps.
        unit: of the values.
        key: the classes of a categorical map that occur.
    """

    colors: np.ndarray
    valid: np.ndarray
    scale: ScalarMappable | None = None
    unit: str = ""
    key: set[KeyEntry] = field(default_factory=set)


def modality_title(modality: Modality) -> str:
    """The heading of a modality's panels: its name and, if not all of its bands are shown, which ones."""
    display = _display(modality)
    return f"{modality.name.upper()} {display.caption}".strip()


def display_limits(image: np.ndarray, modalities: ModalitySet, name: str) -> tuple[float, float] | None:
    """The values of a modality that `view_modality` shows as darkest and brightest.

    Args:
        image, modalities, name: as for `view_modality`.

    Returns:
        (low, high) in the units of the bands; None for a categorical map, or if the modality is absent.
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
        modalities: those of the image.
        name: of the modality.
        limits: `display_limits` of another image to compare this one with; None for its own.

    Returns:
        The view; None if the modality is absent, that is, has no valid pixel.
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
    """The most readable modality of a sample as a background for outlines, in muted colors: true color, else heights.

    Args:
        image, modalities: as for `view_modality`.
        names: the modalities to choose from; empty for all.

    Returns:
        [H, W, 3] in 0..1; INVALID everywhere if all of these modalities are absent.
    """
    views = {
        name: view for name in names or modalities.names if (view := view_modality(image, modalities, name)) is not None
    }
    if not views:
        return np.broadcast_to(INVALID, (*image.shape[1:], 3))
    # At the edge of a swath, a sensor that covers most of the tile is preferred to a more readable one that does not.
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
    """The bands of a measurement that are shown: [H, W, 1 or 3]."""
    bands = image[modalities.bands(name)]
    return np.moveaxis(bands[list(_display(modalities[name]).bands)], 0, -1)


def _limits(modality: Modality, values: np.ndarray) -> tuple[float, float]:
    """The darkest and the brightest of the shown values [n, 1 or 3]."""
    return (0.0, 255.0) if values.shape[-1] == 3 and _is_8_bit(modality, values) else _contrast(values)


def _is_8_bit(modality: Modality, values: np.ndarray) -> bool:
    """Whether the bands have values from 0 to 255; by the statistics if there are any, so that all tiles look alike."""
    if any(modality.mean):
        return max(modality.mean) > 1 and max(m + s for m, s in zip(modality.mean, modality.std)) <= 255
    return values.min() >= 0 and 1 < values.max() <= 255


def _contrast(values: np.ndarray) -> tuple[float, float]:
    """Limits that clip TAILS of the values at either end."""
    low, high = np.percentile(values, [100 * TAILS, 100 * (1 - TAILS)])
    return float(low), float(max(high, low + 1e-6 * max(1.0, abs(low))))
