"""A finished sweep as a report for readers (Markdown), as data (JSON) and as a sheet (CSV)."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from imrsf_d2.evaluation.bootstrap import LEVEL
from imrsf_d2.evaluation.report import MEANINGS, main_score, subset_table
from imrsf_d2.evaluation.report_sections import coverage_section, kept_section, lacks_tiles, lowest_section, worth_section
from imrsf_d2.evaluation.summary import Kept, Summary
from imrsf_d2.modalities import subset_label

__all__ = ["class_scores", "sweep_csv", "sweep_json", "sweep_markdown"]


def class_scores(rows: Sequence[Mapping]) -> tuple[str, dict[str, list[float]]]:
    """The scores of each class with each subset, in percent.

    Args:
        rows: of `sweep_subsets`.

    Returns:
        The score's name, and class -> its value in each row; no class where the task has but one to find.
    """
    task = main_score(rows[0]["results"])[0]
    metric = "IoU" if task == "sem_seg" else "AP"
    keys = [key for key in rows[0]["results"][task] if key.startswith(f"{metric}-")]
    return metric, {key.removeprefix(f"{metric}-"): [row["results"][task][key] for row in rows] for key in keys}


def sweep_json(dataset: str, weights: str, rows: Sequence[Mapping], summary: Summary) -> str:
    """Everything, as JSON: scores in percent, as Detectron2 gives them; null where there is no value."""
    derived = {**asdict(summary), "level": LEVEL}
    for kept in (derived, derived["covered"]):
        for key in ("images", "scores", "retention"):
            kept[key] = {subset_label(subset): value for subset, value in kept[key].items()}
        kept["worst"] = list(kept["worst"]) if kept["worst"] else None
    everything = {"dataset": dataset, "weights": weights, "rows": rows, "summary": derived}
    return json.dumps(_without_nan(everything), indent=1)


def sweep_csv(rows: Sequence[Mapping], names: Sequence[str], covered: Kept | None = None) -> str:
    """One line per subset: a column of 1 or 0 per sensor, then every score in percent, empty where there is none.

    Args:
        covered: of a `Summary`; adds how many images have any of the subset's sensors, and the main score of those.
    """
    columns = [(task, metric) for task, scores in rows[0]["results"].items() for metric in scores]
    task, metric, _ = main_score(rows[0]["results"])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        [
            *names,
            "images",
            *(f"{task}/{metric}" for task, metric in columns),
            *(["images_with_any", f"{task}/{metric} of images_with_any"] if covered else []),
        ]
    )
    for row in rows:
        subset = tuple(row["modalities"])
        scores = [row["results"].get(task, {}).get(metric, math.nan) for task, metric in columns]
        line = [*(int(name in subset) for name in names), row["images"], *map(_cell, scores)]
        writer.writerow([*line, *([covered.images[subset], _cell(covered.scores[subset].value)] if covered else [])])
    return text.getvalue()


def _cell(score: float) -> str:
    return "" if math.isnan(score) else f"{score:.6g}"


def sweep_markdown(rows: Sequence[Mapping], summary: Summary, pictures: Mapping[str, str], made_with: Sequence[str]) -> str:
    """The report.

    Args:
        rows: of `sweep_subsets`.
        pictures: title -> path from the report; an empty path means that there is none, and the title says why.
        made_with: lines on where the numbers come from.
    """
    names, metric = summary.names, summary.metric
    table = subset_table([*rows, {"modalities": [], "results": summary.blind_results}], names)
    spread = (
        f"Intervals hold {LEVEL:.0%} of {summary.resamples} bootstrap resamples of the {summary.num_images} "
        f"images (seed {summary.seed}), the same resamples for every subset. They say how much the "
        "images matter, not how much another training run would."
    )
    if not summary.resamples:
        spread = "No bootstrap was asked for: no intervals."
    parts = [
        "# One model, every subset of its sensors",
        table,
        f"The last row looks at no sensor: {summary.blind}.",
        MEANINGS[main_score(rows[0]["results"])[0]],
        coverage_section(summary),
        f"## What remains of the {metric}",
        kept_section(summary, summary),
        spread,
    ]
    if summary.mean_incomplete:
        parts.append(lowest_section(summary, summary))
    if lacks_tiles(summary):
        parts += [f"## What remains of the {metric} where there are data", kept_section(summary, summary.covered)]
        if summary.mean_incomplete:
            parts.append(lowest_section(summary, summary.covered))
    parts += ["## What each sensor is worth", worth_section(summary)]
    parts += ["## Pictures", *(f"![{title}]({path})" if path else f"{title}" for title, path in pictures.items())]
    parts += ["## How it was made", "\n".join(f"- {line}" for line in made_with)]
    return "\n\n".join(parts) + "\n"


def _without_nan(value):
    """NaN, which JSON does not know, as null."""
    if isinstance(value, Mapping):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
