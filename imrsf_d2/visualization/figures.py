"""Figures with a row per tile, and columns for modalities, ground truth and predictions."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from imrsf_d2.modalities import ModalitySet, subset_title
from imrsf_d2.utils.atomic import write_atomically
from imrsf_d2.visualization.palettes import KeyEntry
from imrsf_d2.visualization.panels import draw_absent, draw_key, draw_modality
from imrsf_d2.visualization.targets import LabelMap
from imrsf_d2.visualization.tiles import ShownTile
from imrsf_d2.visualization.views import backdrop, modality_title

__all__ = ["draw_inputs", "draw_overview", "draw_subset", "name_row", "new_grid", "save_figure"]

#: Default width of a panel in inches, and pixels per inch.
PANEL, DPI = 2.3, 110
#: Space that a letter of a tile's name takes along its row, inches.
LETTER = 0.064


def draw_inputs(path: str | os.PathLike, tiles: Sequence[ShownTile], modalities: ModalitySet, title: str) -> None:
    """Write a PNG with one row per tile: the inputs, and the ground truth if there is one. Missing data is hatched."""
    _draw_rows(path, tiles, modalities, modalities.names, title)


def draw_subset(
    path: str | os.PathLike, tiles: Sequence[ShownTile], modalities: ModalitySet, subset: Sequence[str], title: str
) -> None:
    """Write a PNG with one row per tile: the inputs, the ground truth, and the prediction if there is one.

    Args:
        path: of the PNG.
        tiles: at least one.
        modalities: in the layout of the tiles' images.
        subset: the modalities that the model was given; the others, and data that a tile does not have, are hatched.
        title: heading of the figure.
    """
    _draw_rows(path, tiles, modalities, subset, title)


def draw_overview(
    path: str | os.PathLike,
    by_subset: Mapping[tuple[str, ...], Sequence[ShownTile]],
    modalities: ModalitySet,
    captions: Mapping[tuple[str, ...], str],
    title: str,
) -> None:
    """Write a PNG with one row per tile: the ground truth, then the prediction from each subset of the modalities.

    Args:
        path: of the PNG.
        by_subset: the same tiles, predicted from each subset; the first subset's inputs are the background of all.
        modalities: in the layout of the tiles' images.
        captions: a line below the name of each subset, e.g. its score.
        title: heading of the figure.
    """
    rows = list(zip(*by_subset.values()))
    size = next(iter(by_subset.values()))[0].image.shape[1:]
    figure, axes = new_grid(size, len(rows), len(by_subset) + 1)
    key: set[KeyEntry] = set()
    for row, tiles in zip(axes, rows):
        picture = backdrop(tiles[0].image, modalities, next(iter(by_subset)))
        for axis, target in zip(row, [tiles[0].truth, *(tile.prediction for tile in tiles)]):
            if target is not None:
                key |= target.draw(axis, picture)
    draw_key(axes[-1][0], sorted(key))
    headings = [
        "ground truth" + "\n" * bool(captions),
        *(f"{subset_title(subset)}\n{captions.get(subset, '')}".rstrip("\n") for subset in by_subset),
    ]
    for axis, heading in zip(axes[0], headings):
        axis.set_title(heading, fontsize=10)
    save_figure(figure, path, title)


def _draw_rows(
    path: str | os.PathLike, tiles: Sequence[ShownTile], modalities: ModalitySet, subset: Sequence[str], title: str
) -> None:
    """One row per tile, one column per modality and target."""
    columns = {"ground truth": [tile.truth for tile in tiles], "prediction": [tile.prediction for tile in tiles]}
    targets = {heading: [t for t in column if t is not None] for heading, column in columns.items() if None not in column}
    like = next((tile.truth.palette for tile in tiles if isinstance(tile.truth, LabelMap)), None)
    size = tiles[0].image.shape[1:]
    figure, axes = new_grid(size, len(tiles), len(modalities) + len(targets))
    for column, modality in zip(axes.T, modalities):
        key: set[KeyEntry] = set()
        for axis, tile in zip(column, tiles):
            if modality.name in subset:
                key |= draw_modality(axis, tile.image, modalities, modality.name, like)
            else:
                draw_absent(axis, tile.image.shape[1:])
        draw_key(column[-1], sorted(key))
        column[0].set_title(modality_title(modality), fontsize=10)
    key = set()
    for (heading, column), of_target in zip(targets.items(), axes.T[len(modalities) :]):
        for axis, target, tile in zip(of_target, column, tiles):
            key |= target.draw(axis, backdrop(tile.image, modalities, subset))
        of_target[0].set_title(heading, fontsize=10)
    if targets:
        draw_key(axes[-1][len(modalities)], sorted(key))
    for row, tile in zip(axes, tiles):
        name_row(row[0], tile.name, size)
    save_figure(figure, path, title)


def new_grid(size: tuple[int, int], rows: int, columns: int, panel: float = PANEL) -> tuple[Figure, np.ndarray]:
    """A figure of panels for images, without pyplot: it needs no display and no global state.

    Args:
        size: (H, W) of the images.
        rows, columns: number of panels.
        panel: width of a panel, inches.

    Returns:
        The figure, and its axes [rows, columns].
    """
    figure = Figure(figsize=(panel * columns + 0.3, _panel_height(size, panel) * rows + 0.7), layout="compressed")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    return figure, axes


def name_row(axis: Axes, name: str, size: tuple[int, int], panel: float = PANEL) -> None:
    """Write a sample's name vertically beside the first panel of its row; of a name that is too long, the end.

    Args:
        axis: the row's first panel.
        name: of the sample.
        size, panel: as in `new_grid`.
    """
    axis.set_ylabel(_short(name, int(_panel_height(size, panel) / LETTER)), fontsize=7)


def _panel_height(size: tuple[int, int], panel: float) -> float:
    return panel * min(max(size[0] / size[1], 0.4), 2.5)


def save_figure(figure: Figure, path: str | os.PathLike, title: str, dpi: float = DPI) -> None:
    """Give a figure its heading and write it as a PNG of `dpi` pixels per inch."""
    figure.suptitle(title, fontsize=12)
    write_atomically(path, lambda file: figure.savefig(file, format="png", dpi=dpi, bbox_inches="tight"))


def _short(name: str, length: int) -> str:
    """Each line of a name cut to its end, in which the tiles of a dataset differ."""
    return "\n".join(line if len(line) <= length else "…" + line[1 - length :] for line in name.split("\n"))
