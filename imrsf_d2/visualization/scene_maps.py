"""Quick looks of the map of a whole scene: outlines over what the sensors saw, or the classes beside it."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from imrsf_d2.modalities import ModalitySet
from imrsf_d2.visualization.figures import new_grid, save_figure
from imrsf_d2.visualization.palettes import KeyEntry, Palette
from imrsf_d2.visualization.panels import draw_key, draw_picture
from imrsf_d2.visualization.targets import PREDICTION_COLOR, UNLABELED
from imrsf_d2.visualization.views import backdrop

__all__ = ["draw_label_scene", "draw_object_scene", "panels_across"]

#: Width of the picture, inches, and letters of a line of its heading.
WIDTH, LETTERS = 8.0, 88
#: Pixels per inch at least, so that the text of a small scene can be read.
LEAST_DPI = 110
#: Objects that are drawn as one path.
TOGETHER = 2000


def draw_object_scene(
    path: str | os.PathLike,
    image: np.ndarray,
    modalities: ModalitySet,
    objects: Mapping[str, Sequence[Sequence[np.ndarray]]],
    title: str,
) -> None:
    """Write a PNG of a scene with the outlines of what was found.

    Args:
        path: of the PNG.
        image: [C + M, H, W] in `modalities`' layout, not normalized.
        modalities: those of the image.
        objects: name of each class -> the rings of each of its objects, [n, 2] column and row of the corners of pixels.
        title: heading of the picture.
    """
    figure, ((axis,),) = new_grid(image.shape[1:], 1, 1, WIDTH)
    draw_picture(axis, backdrop(image, modalities))
    # Strong ones, which alternate in hue: neighbors in a key may be neighbors in a scene.
    several = matplotlib.colormaps["Set1"]
    many = len(objects) > 1
    colors = [to_rgb(several(i % several.N) if many else PREDICTION_COLOR) for i in range(len(objects))]
    number = sum(map(len, objects.values()))
    for found, color in zip(objects.values(), colors):
        for first in range(0, len(found), TOGETHER):
            _outline(axis, found[first : first + TOGETHER], color, width=1.0 if number < 500 else 0.5)
    height, width = image.shape[1:]
    axis.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    if many:
        entries = enumerate(zip(objects.items(), colors))
        draw_key(axis, [KeyEntry(i, f"{name}: {len(found):,}", color) for i, ((name, found), color) in entries])
    save_figure(figure, path, textwrap.fill(title, LETTERS), dpi=_dpi(width))


def draw_label_scene(
    path: str | os.PathLike, image: np.ndarray, modalities: ModalitySet, labels: np.ndarray, palette: Palette, title: str
) -> None:
    """Write a PNG of a scene: what the sensors saw, and its label map.

    Args:
        path: of the PNG.
        image, modalities: as in `draw_object_scene`.
        labels: [H, W] class indices; those beyond the palette are no data.
        palette: of the classes.
        title: heading of the picture.
    """
    height, width = labels.shape
    columns = panels_across(labels.shape)
    figure, axes = new_grid((height, width), 3 - columns, columns, WIDTH / columns)
    seen, classes = axes.flat
    known = labels < len(palette)
    draw_picture(seen, backdrop(image, modalities))
    draw_picture(classes, palette.paint(labels, known, UNLABELED), exact=True)
    entries = palette.key(labels[known]) | (set() if known.all() else {KeyEntry(len(palette), "no data", UNLABELED)})
    draw_key(classes, sorted(entries))
    save_figure(figure, path, textwrap.fill(title, LETTERS), dpi=_dpi(width * columns))


def panels_across(size: tuple[int, int]) -> int:
    """How many panels of a scene of `size` (H, W) `draw_label_scene` puts side by side; in a wide scene they lie below each
    other."""
    return 2 if size[0] > 0.6 * size[1] else 1


def _outline(axis: Axes, objects: Sequence[Sequence[np.ndarray]], color, width: float) -> None:
    rings = [ring for found in objects for ring in found]
    # The centers of pixels are whole numbers in a picture.
    vertices = np.concatenate(rings) - 0.5
    codes = np.full(len(vertices), Path.LINETO, dtype=np.uint8)
    ends = np.cumsum([len(ring) for ring in rings])
    codes[ends - 1] = Path.CLOSEPOLY
    codes[[0, *ends[:-1]]] = Path.MOVETO
    axis.add_patch(PathPatch(Path(vertices, codes), facecolor="none", edgecolor=color, linewidth=width))


def _dpi(width_px: int) -> float:
    return max(LEAST_DPI, width_px / WIDTH)
