"""Maps of objects side by side, each over what its sensors saw, with the outlines of the ground truth."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from shapely.geometry.base import BaseGeometry

from imrsf_d2.visualization.figures import new_grid, save_figure
from imrsf_d2.visualization.panels import draw_picture
from imrsf_d2.visualization.targets import PREDICTION_COLOR, TRUTH_COLOR

__all__ = ["MapPanel", "draw_maps"]

#: Width of a panel, inches.
PANEL = 5.0


@dataclass(frozen=True)
class MapPanel:
    """One map.

    Args:
        heading: above it.
        picture: [H, W, 3] in 0..1.
        truth, found: outlines in pixels of the picture, x to the right and y down from its upper left corner.
        note: below it.
    """

    heading: str
    picture: np.ndarray
    truth: Sequence[BaseGeometry]
    found: Sequence[BaseGeometry]
    note: str = ""


def draw_maps(
    path: str | os.PathLike, panels: Sequence[MapPanel], title: str, columns: int = 2, panel: float = PANEL
) -> None:
    """Write a PNG of maps, row by row.

    Args:
        path: of the PNG.
        panels: with pictures of one shape.
        title: heading of the figure.
        columns: panels in a row.
        panel: width of a panel, inches.
    """
    rows = -(-len(panels) // columns)
    figure, axes = new_grid(panels[0].picture.shape[:2], rows, columns, panel)
    for axis, one in zip(axes.flat, panels):
        draw_picture(axis, one.picture)
        height, width = one.picture.shape[:2]
        _draw_rings(axis, one.truth, TRUTH_COLOR, 1.6)
        _draw_rings(axis, one.found, PREDICTION_COLOR, 0.9)
        axis.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
        axis.set_title(one.heading, fontsize=10)
        axis.set_xlabel(one.note, fontsize=8)
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    figure.legend(
        handles=[Line2D([], [], color=TRUTH_COLOR), Line2D([], [], color=PREDICTION_COLOR)],
        labels=["ground truth", "map"],
        loc="outside lower center",
        ncols=2,
        frameon=False,
        fontsize=9,
    )
    save_figure(figure, path, title)


def _draw_rings(axis: Axes, outlines: Sequence[BaseGeometry], color: str, width: float) -> None:
    parts = shapely.get_parts(np.asarray(outlines, dtype=object))
    # The corner of the first pixel lies at -0.5 of a picture's axis.
    rings = [shapely.get_coordinates(ring) - 0.5 for part in parts for ring in (part.exterior, *part.interiors)]
    axis.add_collection(LineCollection(rings, colors=color, linewidths=width))
