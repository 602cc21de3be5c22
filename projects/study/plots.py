"""The figure of the scores: every model on every subset of the modalities."""

from __future__ import annotations

import os
from collections.abc import Mapping

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from imrsf_d2.modalities import subset_title
from imrsf_d2.utils.atomic import write_atomically
from projects.study.scores import METRICS, ModelScores

__all__ = ["draw_scores"]

#: Width of one subset's models; the rest is the gap to the next subset.
SHARED = 0.7
MARKERS = "osD^v<>P"


def draw_scores(path: str | os.PathLike, models: Mapping[str, ModelScores], title: str) -> None:
    """Write a PNG: for each subset and model, a marker at the mean, a bar of one standard deviation, and a dot per run.

    Args:
        models: title -> scores on the same subsets.
    """
    first = next(iter(models.values()))
    groups = [subset_title(subset).replace(" + ", "\n+ ") for subset in first.subsets]
    groups.append(f"mean of the\n{len(first.subsets) - 1} incomplete")
    # Without pyplot: no display, no global state.
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    for number, (name, scores) in enumerate(models.items()):
        measured = [*map(scores.subset, scores.subsets), scores.incomplete]
        shift = SHARED * ((number + 0.5) / len(models) - 0.5)
        places = [group + shift for group in range(len(groups))]
        runs = len(measured[0].values)
        axis.errorbar(
            places,
            [score.mean for score in measured],
            yerr=[score.deviation or 0.0 for score in measured] if runs > 1 else None,
            capsize=3,
            linestyle="none",
            marker=MARKERS[number % len(MARKERS)],
            label=f"{name} ({runs} run{'s' * (runs != 1)})",
        )
        if runs > 1:
            for place, score in zip(places, measured):
                axis.plot([place] * runs, score.values, ".", color="black", markersize=2.5, zorder=3)
    axis.set(title=title, ylabel=f"{METRICS[0]} (0 to 1)", xticks=range(len(groups)), xticklabels=groups)
    axis.set_ylim(bottom=0)
    axis.axvline(len(groups) - 1.5, color="gray", linewidth=0.8)
    axis.grid(axis="y", linewidth=0.4)
    figure.legend(fontsize=8, ncols=3, loc="outside lower center")
    write_atomically(path, lambda file: figure.savefig(file, format="png", dpi=120))
