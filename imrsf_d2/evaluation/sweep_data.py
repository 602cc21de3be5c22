"""A finished sweep as data for other programs: JSON with everything, CSV with a line per subset."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from imrsf_d2.evaluation.bootstrap import LEVEL
from imrsf_d2.evaluation.scores import main_score
from imrsf_d2.evaluation.summary import Kept, Summary
from imrsf_d2.modalities import subset_label

__all__ = ["rows_json", "sweep_csv", "sweep_json"]


def rows_json(dataset: str, weights: str, rows: Sequence[Mapping]) -> str:
    """The rows of a sweep that may go on, without what is derived from them; see `sweep_json`."""
    return json.dumps(_without_nan({"dataset": dataset, "weights": weights, "rows": rows}), indent=1)


def sweep_json(dataset: str, weights: str, rows: Sequence[Mapping], summary: Summary) -> str:
    """Everything as JSON: scores in percent, as in Detectron2; null where a score is not defined.

    Args:
        dataset, weights: what was evaluated.
        rows: as returned by `sweep_subsets`.
        summary: of these rows.
    """
    derived = {**asdict(summary), "level": LEVEL}
    for kept in (derived, derived["covered"]):
        for key in ("images", "scores", "retention"):
            kept[key] = {subset_label(subset): value for subset, value in kept[key].items()}
        kept["worst"] = list(kept["worst"]) if kept["worst"] else None
    everything = {"dataset": dataset, "weights": weights, "rows": rows, "summary": derived}
    return json.dumps(_without_nan(everything), indent=1)


def sweep_csv(rows: Sequence[Mapping], names: Sequence[str], covered: Kept | None = None) -> str:
    """A line per subset: a column of 1 or 0 per sensor, then every score in percent, empty where it is not defined.

    Args:
        rows: as returned by `sweep_subsets`.
        names: the modalities, in the order of their columns.
        covered: that of a `Summary`; adds the number of images with data of at least one sensor of the subset, and the
            main score on these images.
    """
    columns = [(task, metric) for task, scores in rows[0]["results"].items() for metric in scores]
    task, metric, _ = main_score(rows[0]["results"])
    header = [*names, "images", *(f"{task}/{metric}" for task, metric in columns)]
    if covered:
        header += ["images_with_any", f"{task}/{metric} of images_with_any"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        subset = tuple(row["modalities"])
        scores = [row["results"].get(task, {}).get(metric, math.nan) for task, metric in columns]
        line = [*(int(name in subset) for name in names), row["images"], *map(_cell, scores)]
        writer.writerow([*line, *([covered.images[subset], _cell(covered.scores[subset].value)] if covered else [])])
    return text.getvalue()


def _cell(score: float) -> str:
    return "" if math.isnan(score) else f"{score:.6g}"


def _without_nan(value):
    """The same with None, which becomes null, for NaN and infinity, which JSON does not have."""
    if isinstance(value, Mapping):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
