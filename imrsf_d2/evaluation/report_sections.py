"""Sections of a sweep's report (Markdown): which tiles have data, what each subset retains, what each sensor contributes."""

from __future__ import annotations

import math

from imrsf_d2.evaluation.bootstrap import LEVEL
from imrsf_d2.evaluation.summary import Estimate, Kept, Summary
from imrsf_d2.evaluation.tables import markdown_table, subset_ticks
from imrsf_d2.modalities import subset_title

__all__ = ["contribution_section", "coverage_section", "incomplete_table", "lacks_tiles", "retention_section"]

INTERVAL = f"{LEVEL:.0%} interval"


def lacks_tiles(summary: Summary) -> bool:
    """Whether a subset was also scored on tiles without data of any of its sensors."""
    return any(number < summary.num_images for number in summary.covered.images.values())


def coverage_section(summary: Summary) -> str:
    """The number of tiles with data of each sensor, and what follows for the scores if some have none."""
    counts = {**summary.having, **dict.fromkeys(summary.absent, 0)}
    rows = [[name.upper(), str(number), str(summary.empty.get(name, 0))] for name, number in counts.items()]
    if len(summary.names) > 1:
        rows.append([subset_title(summary.names), str(summary.complete_images), ""])
    parts = [
        markdown_table(
            ["sensor", f"tiles with data, of {summary.num_images}", "files without a valid pixel"], rows, centered=1
        )
    ]
    if summary.absent:
        parts.append("A sensor that no tile has is left out of the subsets.")
    if summary.empty:
        parts.append("A file without a valid pixel counts as a missing sensor.")
    if lacks_tiles(summary):
        parts.append(
            "Scores are computed over all tiles, so a low one may be due to a weak sensor or to many tiles without it. The "
            f"{summary.metric} on the tiles with data is in a table of its own below."
        )
    return "\n\n".join(parts)


def retention_section(summary: Summary, kept: Kept) -> str:
    """The score of each subset, and its ratio to the score of the complete input.

    Args:
        summary: of the sweep.
        kept: `summary` itself for all tiles, or `summary.covered` for the tiles with data of the subset.
    """
    partial = kept is summary.covered
    metric = summary.metric
    header = [
        *map(str.upper, summary.names),
        *(["tiles", f"{metric}, all tiles", f"{metric}, these tiles"] if partial else [metric]),
        INTERVAL,
        "retention",
        INTERVAL,
    ]
    rows = []
    for subset, score in kept.scores.items():
        retention = kept.retention.get(subset, Estimate(math.nan))
        on_all = [str(kept.images[subset]), _number(summary.scores[subset].value / 100)] if partial else []
        rows.append([*subset_ticks(subset, summary.names), *on_all, *_percent(score), *_cells(retention)])
    parts = [markdown_table(header, rows, centered=len(summary.names))]
    if partial:
        parts.append("These tiles: those with data of at least one sensor of the subset.")
    if kept.retention:
        parts.append(f"Retention: score divided by that of the complete input{' on the same tiles' if partial else ''}.")
    else:
        parts.append(f"Retention needs the score of the complete input ({subset_title(summary.names)}): not evaluated.")
    return "\n\n".join(parts)


def incomplete_table(summary: Summary, kept: Kept) -> str:
    """Mean and minimum over the incomplete subsets that were evaluated; empty if there are none.

    Args:
        summary, kept: as for `retention_section`.
    """
    if kept.mean_incomplete is None or kept.worst is None:
        return ""
    incomplete, existing = len(kept.scores.keys() - {summary.names}), 2 ** len(summary.names) - 2
    number = f"all {existing}" if incomplete == existing else f"{incomplete} of {existing}"
    rows = [
        ["mean", *_percent(kept.mean_incomplete)],
        [f"lowest: {subset_title(kept.worst)}", *_percent(kept.scores[kept.worst])],
    ]
    return markdown_table([f"{number} incomplete subsets", summary.metric, INTERVAL], rows, centered=1)


def contribution_section(summary: Summary) -> str:
    """Shapley values and losses, or why there are none."""
    if not summary.complete_images:
        return "Shapley values need tiles with data of every sensor: there are none."
    if not summary.shapley or summary.ends is None:
        return (
            f"Shapley values need the scores of all {2 ** len(summary.names) - 1} subsets: {len(summary.scores)} "
            "evaluated. Run the command again without --subsets to evaluate the others too."
        )
    rows = [
        [name.upper(), *_percent(value), *_percent(summary.losses.get(name, Estimate(math.nan)))]
        for name, value in summary.shapley.items()
    ]
    parts = [markdown_table(["sensor", "Shapley value", INTERVAL, "loss without it", INTERVAL], rows, centered=1)]
    if summary.complete_images < summary.num_images:
        none, complete = (_percent(end)[0] for end in summary.ends)
        parts.append(
            f"On the {summary.complete_images} of {summary.num_images} tiles with data of every sensor, where the complete "
            f"input scores {summary.metric} {complete} and a predictor that uses no sensor {none}."
        )
    parts.append(
        f"Shapley value: the mean gain in {summary.metric} when the sensor is added, over all orders of adding the sensors "
        "one by one to none. The values add up to the difference between the complete input and no sensor. Loss: the score "
        "of the complete input minus that without this one sensor."
    )
    return "\n\n".join(parts)


def _percent(estimate: Estimate) -> list[str]:
    """Value and interval of a score in percent, as fractions of 1."""
    return _cells(Estimate(estimate.value / 100, estimate.low / 100, estimate.high / 100))


def _cells(estimate: Estimate) -> list[str]:
    known = math.isfinite(estimate.low) and math.isfinite(estimate.high)
    return [_number(estimate.value), f"{estimate.low:z.3f} to {estimate.high:z.3f}" if known else ""]


def _number(value: float) -> str:
    return f"{value:z.3f}" if math.isfinite(value) else "n/a"  # a ratio to a score of 0 is infinite or undefined
