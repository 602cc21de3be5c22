"""A finished sweep as a Markdown report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from imrsf_d2.evaluation.bootstrap import LEVEL
from imrsf_d2.evaluation.report_sections import (
    contribution_section,
    coverage_section,
    incomplete_table,
    lacks_tiles,
    retention_section,
)
from imrsf_d2.evaluation.scores import MEANINGS, main_score
from imrsf_d2.evaluation.summary import Summary
from imrsf_d2.evaluation.tables import subset_table

__all__ = ["score_table", "sweep_markdown"]


def score_table(rows: Sequence[Mapping], summary: Summary) -> str:
    """The scores of all subsets (Markdown), and in the last row those of a predictor that uses no sensor.

    Args:
        rows: as returned by `sweep_subsets`.
        summary: of these rows.
    """
    table = subset_table([*rows, {"modalities": [], "results": summary.blind_results}], summary.names)
    return f"{table}\n\nLast row: without any sensor ({summary.blind})."


def sweep_markdown(rows: Sequence[Mapping], summary: Summary, figures: Mapping[str, str], origin: Sequence[str]) -> str:
    """The report.

    Args:
        rows: as returned by `sweep_subsets`.
        summary: of these rows.
        figures: caption -> path, relative to the report.
        origin: lines on how the results were produced.
    """
    intervals = (
        f"Intervals contain {LEVEL:.0%} of {summary.resamples} bootstrap resamples of the {summary.num_images} images "
        f"(seed {summary.seed}; every subset is scored on the same resamples). They show how much a score depends on the "
        "choice of images, not how much it would vary between training runs."
        if summary.resamples
        else "Without a bootstrap there are no intervals."
    )
    parts = [
        "# One model, every subset of its sensors",
        score_table(rows, summary),
        MEANINGS[main_score(rows[0]["results"])[0]],
        "## Tiles with data",
        coverage_section(summary),
        f"## {summary.metric} that each subset retains",
        retention_section(summary, summary),
        intervals,
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
