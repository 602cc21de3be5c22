"""The contents of one panel: a modality with its scale, an image with outlines, hatching, a key of classes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.patches import Patch, PathPatch
from matplotlib.path import Path

from imrsf_d2.modalities import ModalitySet
from imrsf_d2.visualization.palettes import KeyEntry, Palette
from imrsf_d2.visualization.views import INVALID, View, view_modality

__all__ = ["draw_absent", "draw_key", "draw_modality", "draw_picture", "draw_view", "hatch", "outline"]

#: A key with more entries would be larger than the panel above it.
MAX_KEY_ENTRIES = 24
HATCH, HATCH_COLOR = "/////", "#a8a8a8"
SMALL = 7


def draw_modality(
    axis: Axes, image: np.ndarray, modalities: ModalitySet, name: str, like: Palette | None = None
) -> set[KeyEntry]:
    """Draw one modality of a sample, with its scale of values; pixels without data are hatched.

    Args:
        axis: the panel.
        image: [C + M, H, W] in `modalities`' layout, not normalized.
        modalities: those of the image.
        name: of the modality to draw.
        like: the palette of labels beside a map, see `modality_palette`.

    Returns:
        The classes that occur, for `draw_key`; none unless the modality is categorical.
    """
    view = view_modality(image, modalities, name, like=like)
    if view is None:
        draw_absent(axis, image.shape[1:])
        return set()
    draw_view(axis, view)
    return view.key


def draw_view(axis: Axes, view: View, bar: bool = True) -> None:
    """Draw a view of a modality; pixels without data are hatched.

    Args:
        axis: the panel.
        view: of the modality.
        bar: whether to draw the scale of values beside it, if it has one.
    """
    draw_picture(axis, view.colors, exact=bool(view.key))
    hatch(axis, ~view.valid)
    if bar and view.scale is not None:
        # An inset of the panel, so that panels with and without a scale have the same size.
        scale = axis.figure.colorbar(view.scale, cax=axis.inset_axes((1.02, 0, 0.045, 1))).ax
        scale.tick_params(labelsize=SMALL, length=2, pad=1)
        scale.locator_params(nbins=5)
        scale.set_xlabel(view.unit, fontsize=SMALL, labelpad=1)


def draw_picture(axis: Axes, colors: np.ndarray, exact: bool = False) -> None:
    """Draw an image.

    Args:
        axis: the panel.
        colors: [H, W, 3] in 0..1.
        exact: do not interpolate, for colors that stand for classes.
    """
    axis.imshow(colors, interpolation="nearest" if exact else None)


def draw_absent(axis: Axes, size: tuple[int, int], reason: str = "absent") -> None:
    """Hatch the panel of an image of `size` (H, W) that does not exist, and write the reason across it."""
    height, width = size
    axis.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), aspect="equal", facecolor=INVALID)
    hatch(axis, np.ones((1, 1), dtype=bool), scale=size)
    axis.text(
        0.5,
        0.5,
        reason,
        ha="center",
        va="center",
        fontsize=10,
        transform=axis.transAxes,
        bbox={"facecolor": "white", "edgecolor": "none"},
    )


def hatch(axis: Axes, mask: np.ndarray, scale: tuple[int, int] = (1, 1)) -> None:
    """Hatch the pixels set in a mask [H, W]; each spans `scale` (height, width) units of the axis."""
    edges = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, starts = np.nonzero(edges == 1)
    stops = np.nonzero(edges == -1)[1]
    if not len(rows):
        return
    # A rectangle for each run of pixels in a row, all in one patch, so that the lines of the hatching are continuous.
    corners = np.stack([[starts, rows], [stops, rows], [stops, rows + 1], [starts, rows + 1], [starts, rows]])
    vertices = corners.transpose(2, 0, 1).reshape(-1, 2) * (scale[1], scale[0]) - 0.5
    codes = np.tile([Path.MOVETO, *[Path.LINETO] * 3, Path.CLOSEPOLY], len(rows))
    axis.add_patch(PathPatch(Path(vertices, codes), facecolor="none", edgecolor=HATCH_COLOR, hatch=HATCH, linewidth=0))


def outline(axis: Axes, masks: Iterable[np.ndarray], color: str) -> None:
    """Draw the outlines of masks [H, W] bool over an image of the same size."""
    for mask in masks:
        if mask.any():
            # A frame of background closes the outlines of objects at the border.
            framed = np.pad(mask, 1).astype(float)
            height, width = framed.shape
            axis.contour(np.arange(width) - 1, np.arange(height) - 1, framed, levels=[0.5], colors=color, linewidths=1.2)
            axis.set(xlim=(-0.5, width - 2.5), ylim=(height - 2.5, -0.5))


def draw_key(axis: Axes, entries: Sequence[KeyEntry], beside: bool = False) -> None:
    """List the classes with their colors, if there is room for all of them.

    Args:
        axis: the panel.
        entries: the classes.
        beside: place the key to the right of the panel, where measurements have their scale, instead of below.
    """
    if not 0 < len(entries) <= MAX_KEY_ENTRIES:
        return
    names = [entry.name if len(entry.name) <= 26 else entry.name[:25] + "…" for entry in entries]
    columns = 2 if max(map(len, names)) <= 18 and not beside else 1
    rows = math.ceil(len(entries) / columns)
    handles: list[Artist | tuple[Artist, ...]] = [
        Patch(facecolor=entry.color, edgecolor="#888888", linewidth=0.5, label=name) for entry, name in zip(entries, names)
    ]
    axis.legend(
        handles=handles,
        loc="upper left" if beside else "upper center",
        bbox_to_anchor=(1.0, 1.03) if beside else (0.5, -0.03),
        ncols=columns,
        fontsize=SMALL,
        frameon=False,
        handlelength=1.2,
        handleheight=1.0,
        columnspacing=1.0,
        borderaxespad=0.3,
        labelspacing=0.35 if rows < 8 else 0.2,
    )
