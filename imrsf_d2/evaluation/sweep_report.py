"""A finished sweep as a Markdown report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from imrsf_d2.evaluation.bootstrap import LEAST_IMAGES, LEVEL
from imrsf_d2.evaluation.report_sections import (
    contribution_section,
    coverage_section,
    incomplete_table,
    lacks_tiles,
    retention_section,
)
from imrsf_d2.evaluation.scores import MEANINGS, SHOWN, main_score
from imrsf_d2.evaluation.summary import Summary
from imrsf_d2.evaluation.tables import subset_table

__all__ = ["same_scores", "score_table", "sweep_markdown"]

#: Scores that differ by less are the same number in the tables, percent.
SHOWN_DIFFERENCE = 0.05


def score_table(rows: Sequence[Mapping], summary: Summary) -> str:
    """The scores of all subsets (Markdown), and in the last row those of a predictor that uses no sensor.

    Args:
        rows: as returned by `sweep_subsets`.
        summary: of these rows.
    """
    table = subset_table([*rows, {"modalities": [], "results": summary.blind_results}], summary.names)
    return f"{table}\n\nLast row: without any sensor ({summary.blind})."


def same_scores(rows: Sequence[Mapping], summary: Summary) -> str:
    """A word if all subsets have the same scores, which hides that something is wrong; empty if they do not.

    Args:
        rows: as returned by `sweep_subsets`.
        summary: of these rows.
    """
    results = [row["results"] for row in rows]
    if len(rows) < 2 or not all(_same(results[0], other) for other in results[1:]):
        return ""
    if _same(results[0], summary.blind_results):
        return (
            f"**The scores do not depend on the sensors: every subset has the same, and so has no sensor ({summary.blind}). "
            "The model predicts the same, or nothing right, whatever it sees: train it for longer, and check its weights.**"
        )
    return "**The scores do not depend on the sensors: every subset has the same, as if the model saw the same each time.**"


def _same(some: Mapping, other: Mapping) -> bool:
    """Whether two results are the same in a table."""
    pairs = [
        (some[task][metric], other[task][metric])
        for task, (_, metrics) in SHOWN.items()
        for metric in metrics
        if metric in some.get(task, {}) and metric in other.get(task, {})
    ]
    return all(abs(one - two) < SHOWN_DIFFERENCE or (math.isnan(one) and math.isnan(two)) for one, two in pairs)


def sweep_markdown(rows: Sequence[Mapping], summary: Summary, figures: Mapping[str, str], origin: Sequence[str]) -> str:
    """The report.

    Args:
        rows: as returned by `sweep_subsets`.
        summary: of these rows.
        figures: caption -> path, relative to the report.
        origin: lines on how the results were produced.
    """
    parts = [
        "# One model, every subset of its sensors",
        score_table(rows, summary),
        same_scores(rows, summary),
        MEANINGS[main_score(rows[0]["results"])[0]],
        "## Tiles with data",
        coverage_section(summary),
        f"## {summary.metric} that each subset retains",
        retention_section(summary, summary),
        _intervals(summary),
        incomplete_table(summary, summary),
    ]
    if lacks_tiles(summary):
        parts += [
            f"## {summary.metric} on the tiles with data",
            retention_section(summary, summary.covered),
            incomplete_table(summary, summary.covered),
        ]
    parts += ["## What each sensor contributes", contribution_section(summary)]
    parts += ["## Figures", *(f"![{caption}]({path})" for caption, path in figures.items())]
    parts += ["## How these results were produced", "\n".join(f"- {line}" for line in origin)]
    return "\n\n".join(filter(None, parts)) + "\n"


def _intervals(summary: Summary) -> str:
    if not summary.resamples:
        return "Without a bootstrap there are no intervals."
    if summary.num_images < LEAST_IMAGES:
        return f"There are no intervals: with fewer than {LEAST_IMAGES} images they would mean nothing."
    return (
        f"Intervals contain {LEVEL:.0%} of {summary.resamples} bootstrap resamples of the {summary.num_images} images "
        f"(seed {summary.seed}; every subset is scored on the same resamples). They show how much a score depends on the "
        "choice of images, not how much it would vary between training runs. Fewer than "
        f"{LEAST_IMAGES} images have none."
    )
