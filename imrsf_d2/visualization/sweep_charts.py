"""The charts of a finished sweep: scores of the subsets, losses without each sensor, scores of each class."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from imrsf_d2.data.dataset_file import short_name
from imrsf_d2.evaluation.bootstrap import LEAST_IMAGES, LEVEL
from imrsf_d2.evaluation.scores import class_scores, main_score
from imrsf_d2.evaluation.summary import Estimate, Summary
from imrsf_d2.modalities import subset_title
from imrsf_d2.visualization.charts import draw_bars, draw_heat_map

__all__ = ["draw_sweep_charts"]


def draw_sweep_charts(folder: str | os.PathLike, rows: Sequence[Mapping], summary: Summary, dataset: str) -> dict[str, str]:
    """Draw subsets.png and, where the scores for them are known, losses.png and (for several classes) classes.png.

    Args:
        folder: where they go.
        rows: as returned by `sweep_subsets`.
        summary: of these rows.
        dataset: its name, for the headings.

    Returns:
        Caption -> file name of each chart.
    """
    folder, title = Path(folder), f"{summary.metric} on {short_name(dataset)}"
    charts = _draw_subsets(folder / "subsets.png", summary, title)
    if summary.losses:
        charts |= _draw_losses(folder / "losses.png", summary, title)
    metric, by_class = class_scores(rows)
    if by_class:
        title = f"{metric} of each class"
        values = np.array(list(by_class.values()), dtype=float) / 100
        draw_heat_map(folder / "classes.png", list(by_class), [subset_title(s) for s in summary.scores], values, title)
        charts[title] = "classes.png"
    return charts


def _draw_subsets(path: Path, summary: Summary, title: str) -> dict[str, str]:
    number, tiles = summary.num_images, summary.covered.images
    labels = [
        subset_title(subset) + (f"\nin {tiles[subset]} of {number} tiles" if tiles[subset] < number else "")
        for subset in summary.scores
    ]
    partial = {
        place: _fraction(summary.covered.scores[subset])
        for place, subset in enumerate(summary.scores)
        if tiles[subset] < number
    }
    draw_bars(
        path,
        labels,
        [_fraction(score) for score in summary.scores.values()],
        title,
        summary.metric + _whiskers(summary),
        reference=(f"no sensor: {summary.blind}", main_score(summary.blind_results)[2] / 100),
        partial=partial,
        legend=("all tiles", "tiles with data of at least one of the sensors"),
    )
    return {title: path.name}


def _draw_losses(path: Path, summary: Summary, title: str) -> dict[str, str]:
    title += ": loss without one sensor"
    if summary.complete_images < summary.num_images:
        title += f"\non the {summary.complete_images} of {summary.num_images} tiles with data of every sensor"
    draw_bars(
        path,
        [f"without {name.upper()}" for name in summary.losses],
        [_fraction(loss) for loss in summary.losses.values()],
        title,
        f"loss of {summary.metric}{_whiskers(summary)}",
    )
    return {"Loss without one sensor": path.name}


def _whiskers(summary: Summary) -> str:
    return (
        f" (whiskers: {LEVEL:.0%} intervals over images)" if summary.resamples and summary.num_images >= LEAST_IMAGES else ""
    )


def _fraction(percent: Estimate) -> Estimate:
    return Estimate(percent.value / 100, percent.low / 100, percent.high / 100)
