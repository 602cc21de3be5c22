"""A finished sweep as a report for readers (Markdown), as data (JSON) and as a sheet (CSV)."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from imrsf_d2.evaluation.bootstrap import LEVEL
from imrsf_d2.evaluation.report import MEANINGS, main_score, markdown_table, subset_table, subset_ticks
from imrsf_d2.evaluation.summary import Estimate, Summary
from imrsf_d2.modalities import subset_label, subset_title

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
    derived = asdict(summary)
    for key in ("scores", "retention"):
        derived[key] = {subset_label(subset): value for subset, value in derived[key].items()}
    derived |= {"level": LEVEL, "worst": list(summary.worst) if summary.worst else None}
    everything = {"dataset": dataset, "weights": weights, "rows": rows, "summary": derived}
    return json.dumps(_without_nan(everything), indent=1)


def sweep_csv(rows: Sequence[Mapping], names: Sequence[str]) -> str:
    """One line per subset: a column of 1 or 0 per sensor, then every score in percent, empty where there is none."""
    columns = [(task, metric) for task, scores in rows[0]["results"].items() for metric in scores]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*names, "images", *(f"{task}/{metric}" for task, metric in columns)])
    for row in rows:
        scores = [row["results"].get(task, {}).get(metric, math.nan) for task, metric in columns]
        writer.writerow([*(int(name in row["modalities"]) for name in names), row["images"],
                         *("" if math.isnan(score) else f"{score:.6g}" for score in scores)])
    return text.getvalue()


def sweep_markdown(rows: Sequence[Mapping], summary: Summary, pictures: Mapping[str, str],
                   made_with: Sequence[str]) -> str:
    """The report.

    Args:
        rows: of `sweep_subsets`.
        pictures: title -> path from the report; an empty path means that there is none, and the title says why.
        made_with: lines on where the numbers come from.
    """
    names, metric = summary.names, summary.metric
    table = subset_table([*rows, {"modalities": [], "results": summary.blind_results}], names)
    spread = (f"Intervals hold {LEVEL:.0%} of {summary.resamples} bootstrap resamples of the {summary.num_images} "
              f"images (seed {summary.seed}), the same resamples for every subset. They say how much the "
              "images matter, not how much another training would.")
    if not summary.resamples:
        spread = "No bootstrap was asked for: no intervals."
    parts = ["# One model, every subset of its sensors",
             table, f"The last row looks at no sensor: {summary.blind}.", MEANINGS[main_score(rows[0]["results"])[0]],
             f"## What remains of the {metric}", _remains(summary), spread]
    if summary.mean_incomplete:
        number = len([subset for subset in summary.scores if subset != summary.names])
        which = "incomplete subsets" if summary.shapley else "incomplete subsets that were evaluated"
        worst = summary.scores[summary.worst]
        parts.append(f"- Mean over the {number} {which}: {_text(summary.mean_incomplete)}\n"
                     f"- Worst case: {subset_title(summary.worst)}, {_text(worst)}")
    parts += ["## What each sensor is worth", _worth(summary)]
    parts += ["## Pictures", *(f"![{title}]({path})" if path else f"{title}" for title, path in pictures.items())]
    parts += ["## How it was made", "\n".join(f"- {line}" for line in made_with)]
    return "\n\n".join(parts) + "\n"


def _remains(summary: Summary) -> str:
    header = [*map(str.upper, summary.names), summary.metric, "interval", "retention", "interval"]
    lines = []
    for subset, score in summary.scores.items():
        kept = summary.retention.get(subset, Estimate(math.nan))
        lines.append([*subset_ticks(subset, summary.names), _number(score.value / 100), _interval(score, 100),
                      _number(kept.value), _interval(kept, 1)])
    table = markdown_table(header, lines, centred=len(summary.names))
    if summary.retention:
        return f"{table}\n\nRetention is the score over that of the complete input."
    return f"{table}\n\nRetention needs the complete input ({subset_title(summary.names)}), which was not evaluated."


def _worth(summary: Summary) -> str:
    if not summary.shapley:
        return (f"Shapley values need the scores of all {2 ** len(summary.names) - 1} subsets; {len(summary.scores)} "
                "were evaluated here. Run again without --subsets to have the others evaluated too.")
    lines = []
    for name, worth in summary.shapley.items():
        loss = summary.losses.get(name, Estimate(math.nan))
        lines.append([name.upper(), _number(worth.value / 100), _interval(worth, 100), _number(loss.value / 100),
                      _interval(loss, 100)])
    table = markdown_table(["sensor", "Shapley value", "interval", "loss without it", "interval"], lines, centred=1)
    return (f"{table}\n\nThe Shapley value is a sensor's mean gain in {summary.metric} over all orders in which the "
            "sensors could be added, from a predictor that looks at none (the last row of the first table) to the "
            "complete input; the values sum to the difference of the two. The loss is what the complete input loses "
            "when this one sensor is missing.")


def _text(estimate: Estimate) -> str:
    between = _interval(estimate, 100)
    return _number(estimate.value / 100) + (f" ({between})" if between else "")


def _interval(estimate: Estimate, unit: float) -> str:
    known = math.isfinite(estimate.low) and math.isfinite(estimate.high)
    return f"{estimate.low / unit:.3f} to {estimate.high / unit:.3f}" if known else ""


def _number(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "n/a"  # what is kept of nothing is infinite, or no number


def _without_nan(value):
    """NaN, which JSON does not know, as null."""
    if isinstance(value, Mapping):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
