"""A modality's values as colors that are read at a glance.

Radar is shown in gray, optical bands in true color, heights with a color map, categorical maps in their palette. Which bands are
shown is decided in `imrsf_d2.data.displays`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from imrsf_d2.data.displays import display_of
from imrsf_d2.modalities import Modality, ModalitySet
from imrsf_d2.visualization.palettes import RGB, KeyEntry, Palette, modality_palette

__all__ = ["INVALID", "View", "backdrop", "display_limits", "modality_title", "most_readable", "view_modality"]

#: Color of pixels without data.
INVALID: RGB = (0.87, 0.87, 0.87)
#: Fraction of the values at either end of the distribution that is clipped to the darkest or brightest color.
TAILS = 0.01


#: The values that are shown as darkest and as brightest, of each shown band [1 or 3].
Limits = tuple[np.ndarray, np.ndarray]


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
    return f"{modality.name.upper()} {display_of(modality).caption}".strip()


def display_limits(image: np.ndarray, modalities: ModalitySet, name: str) -> Limits | None:
    """The values of a modality that `view_modality` shows as darkest and brightest.

    Args:
        image, modalities, name: as for `view_modality`.

    Returns:
        (low, high) in the units of the bands, for each that is shown; None for a categorical map, or if the modality is
        absent.
    """
    modality = modalities[name]
    valid = image[modalities.validity(name)] >= 0.5
    if modality.categorical or not valid.any():
        return None
    return _limits(modality, _shown_bands(image, modalities, name)[valid])


def view_modality(
    image: np.ndarray, modalities: ModalitySet, name: str, limits: Limits | None = None, like: Palette | None = None
) -> View | None:
    """Color one modality of a sample.

    Args:
        image: [C + M, H, W] in `modalities`' layout, not normalized.
        modalities: those of the image.
        name: of the modality.
        limits: `display_limits` of another image to compare this one with; None for its own.
        like: the palette of labels beside a map, see `modality_palette`.

    Returns:
        The view; None if the modality is absent, that is, has no valid pixel.
    """
    modality = modalities[name]
    valid = image[modalities.validity(name)] >= 0.5
    if not valid.any():
        return None
    if modality.categorical:
        palette, (labels,) = modality_palette(modality, like), image[modalities.bands(name)]
        return View(palette.paint(labels, valid, INVALID), valid, key=palette.key(labels[valid]))
    shown = _shown_bands(image, modalities, name)
    low, high = limits or _limits(modality, shown[valid])
    if shown.shape[-1] == 3:
        colors = np.clip((shown - low) / (high - low), 0, 1)
        return View(np.where(valid[..., None], colors, INVALID), valid)
    display = display_of(modality)
    scale = ScalarMappable(Normalize(low[0], high[0]), "gray" if display.radar else "viridis")
    colors = scale.to_rgba(shown[..., 0])[..., :3]
    return View(np.where(valid[..., None], colors, INVALID), valid, scale, display.unit)


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
    best = most_readable(views, modalities)[0]
    colors = views[best].colors
    if views[best].scale is not None or modalities[best].categorical:
        colors = np.repeat(colors @ np.array([[0.299], [0.587], [0.114]]), 3, axis=-1)  # luma
    return np.where(views[best].valid[..., None], 0.15 + 0.7 * colors, INVALID)


def most_readable(views: Mapping[str, View], modalities: ModalitySet) -> list[str]:
    """The modalities of some views of a sample in the order in which they serve as a background: true color, then heights."""

    def rank(name: str) -> tuple[bool, ...]:
        display = display_of(modalities[name])
        # At the edge of a swath, a sensor that covers most of the tile is preferred to a more readable one that does not.
        mostly_empty = bool(views[name].valid.mean() < 0.5)
        return mostly_empty, len(display.bands) < 3, display.radar, modalities[name].categorical

    return sorted(views, key=rank)


def _shown_bands(image: np.ndarray, modalities: ModalitySet, name: str) -> np.ndarray:
    """The bands of a measurement that are shown: [H, W, 1 or 3]."""
    bands = image[modalities.bands(name)]
    return np.moveaxis(bands[list(display_of(modalities[name]).bands)], 0, -1)


def _limits(modality: Modality, values: np.ndarray) -> Limits:
    """The darkest and the brightest of the shown values [n, 1 or 3]."""
    display = display_of(modality)
    if len(display.bands) == 1:
        return _contrast(values)
    if not display.radar and _is_8_bit(modality, values):
        return np.zeros(3), np.full(3, 255.0)
    if not display.true_color:
        return _contrast(values)
    low, high = _contrast(values.reshape(-1, 1))  # one for all bands, as the hues of a photograph would shift otherwise
    return np.resize(low, 3), np.resize(high, 3)


def _is_8_bit(modality: Modality, values: np.ndarray) -> bool:
    """Whether the bands have values from 0 to 255; by the statistics if there are any, so that all tiles look alike."""
    if any(modality.mean):
        return max(modality.mean) > 1 and max(m + s for m, s in zip(modality.mean, modality.std)) <= 255
    return values.min() >= 0 and 1 < values.max() <= 255


def _contrast(values: np.ndarray) -> Limits:
    """Limits of each column of [n, C] that clip TAILS of its values at either end."""
    low, high = np.percentile(values, [100 * TAILS, 100 * (1 - TAILS)], axis=0)
    return low, np.maximum(high, low + 1e-6 * np.maximum(1.0, np.abs(low)))
