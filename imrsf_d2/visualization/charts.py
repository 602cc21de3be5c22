"""Bar charts of scores with their intervals, and heat maps of scores by class."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from imrsf_d2.evaluation.summary import Estimate
from imrsf_d2.visualization.figures import save_figure

__all__ = ["draw_bars", "draw_heat_map"]

#: Height of a bar or cell with the space around it, and width of a figure, inches.
LINE, WIDTH = 0.34, 6.0
BAR, MARK, REFERENCE, PARTIAL = "#4c78a8", "#222222", "#b22222", "#d7e3f0"
#: The least span of the axis of scores, from 0 to 1: numbers at its ticks stay short, as those at the bars are.
LEAST_SPAN = 0.1
#: In cells with a value above this the number is written in white.
DARK = 0.55


def draw_bars(
    path: str | os.PathLike,
    labels: Sequence[str],
    estimates: Sequence[Estimate],
    title: str,
    caption: str,
    reference: tuple[str, float] | None = None,
    partial: Mapping[int, Estimate] | None = None,
    legend: tuple[str, str] = ("", ""),
) -> None:
    """Write a PNG with one horizontal bar per label, the first on top, and its interval.

    Args:
        path: of the PNG.
        labels: one per bar.
        estimates: one per label, in the unit of the axis; NaN draws no bar.
        title: heading of the figure.
        caption: label of the axis.
        reference: name and value of a vertical line to compare the bars with.
        partial: position of a label -> the estimate on a part of the images: a second, hatched bar below the first.
        legend: names of the bars and of the hatched bars; shown if there are hatched ones.
    """
    partial = partial or {}
    figure = Figure(
        figsize=(WIDTH, LINE * (len(labels) + 0.5 * len(partial)) + 1.2 + 0.4 * bool(partial)), layout="constrained"
    )
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    places = range(len(labels))
    thin = dict.fromkeys(partial, 0.4)
    _draw_bars(
        axis,
        [place - thin.get(place, 0) / 2 for place in places],
        [thin.get(place, 0.7) for place in places],
        estimates,
        color=BAR,
        label=legend[0],
    )
    _draw_bars(
        axis,
        [place + 0.2 for place in partial],
        [0.4] * len(partial),
        list(partial.values()),
        color=PARTIAL,
        edgecolor=BAR,
        hatch="/////",
        linewidth=0.6,
        label=legend[1],
    )
    axis.margins(x=0.12)
    axis.axvline(0, color=MARK, linewidth=0.8)
    if reference is not None:
        name, value = reference
        axis.axvline(value, color=REFERENCE, linewidth=1, linestyle="--", label=name)
    low, high = axis.get_xlim()
    axis.set_xlim(low, max(high, low + LEAST_SPAN))
    axis.locator_params(axis="x", nbins=5)
    if reference is not None or partial:
        handles = [handle for handle in axis.get_legend_handles_labels()[0] if partial or handle in axis.lines]
        axis.legend(handles=handles, loc="lower right", bbox_to_anchor=(1, 1), fontsize=8, frameon=False)  # above the bars
    axis.set_yticks(places, labels)
    axis.set_ylim(len(labels) - 0.5, -0.5)
    axis.set_xlabel(caption)
    axis.spines[["top", "right"]].set_visible(False)
    save_figure(figure, path, title)


def _draw_bars(
    axis: Axes, places: Sequence[float], heights: Sequence[float], estimates: Sequence[Estimate], **style
) -> None:
    """Draw bars with their intervals, and their values as text."""
    axis.barh(places, [estimate.value for estimate in estimates], height=heights, **style)
    for place, estimate in zip(places, estimates):
        if not math.isnan(estimate.low):
            axis.plot([estimate.low, estimate.high], [place, place], color=MARK, linewidth=1.2, marker="|", markersize=6)
        text = "n/a" if math.isnan(estimate.value) else f"{estimate.value:z.3f}"
        end = np.nanmax([0.0, estimate.value, estimate.high])
        axis.annotate(text, (end, place), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8)


def draw_heat_map(
    path: str | os.PathLike, rows: Sequence[str], columns: Sequence[str], values: np.ndarray, title: str
) -> None:
    """Write a PNG with a colored cell per score, and the score in it.

    Args:
        path: of the PNG.
        rows, columns: their titles.
        values: [rows, columns] from 0 to 1; NaN is left blank.
        title: heading of the figure.
    """
    figure = Figure(figsize=(2.0 + 0.62 * len(columns), LINE * len(rows) + 2.4), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    picture = axis.imshow(values, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        if not math.isnan(value):
            axis.text(
                column, row, f"{value:z.2f}", ha="center", va="center", fontsize=7, color="white" if value > DARK else MARK
            )
    axis.set_xticks(range(len(columns)), columns, rotation=60, ha="right", rotation_mode="anchor", fontsize=8)
    axis.set_yticks(range(len(rows)), rows, fontsize=8)
    axis.spines[:].set_visible(False)
    figure.colorbar(picture, ax=axis, fraction=0.04)
    save_figure(figure, path, title)
