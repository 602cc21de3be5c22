"""Parts of a sweep's report (Markdown): which tiles have which sensors, what remains without some, what each is worth."""

from __future__ import annotations

import math

from imrsf_d2.evaluation.report import markdown_table, subset_ticks
from imrsf_d2.evaluation.summary import Estimate, Kept, Summary
from imrsf_d2.modalities import subset_title

__all__ = ["coverage_section", "kept_section", "lacks_tiles", "lowest_section", "worth_section"]


def lacks_tiles(summary: Summary) -> bool:
    """Whether a subset was also scored on tiles that have none of its sensors."""
    return any(number < summary.num_images for number in summary.covered.images.values())


def coverage_section(summary: Summary) -> str:
    """How many tiles have the sensors, and what that means for the scores."""
    parts = []
    if summary.absent:
        absent = ", ".join(map(repr, summary.absent))
        parts.append(
            f"No tile of this dataset has {absent}, which the model knows: the subsets are of the sensors that exist."
        )
    if summary.complete_images == summary.num_images:
        parts.append(f"Each of the {summary.num_images} tiles has every {'other ' * bool(summary.absent)}sensor.")
    else:
        parts.append(
            f"**Not every tile has every sensor.** Tiles that have all: {summary.complete_images} of "
            f"{summary.num_images} ({_having(summary)})."
        )
    if summary.empty:
        empty = ", ".join(f"{number} of {name.upper()}" for name, number in summary.empty.items())
        parts.append(f"A file without a single valid pixel counts as missing: {empty}.")
    if lacks_tiles(summary):
        parts.append(
            "The scores above are of all tiles, so a low one may mean a weak sensor or many tiles without it. "
            f"The {summary.metric} where there are data stands in a table of its own below."
        )
    return " ".join(parts)


def kept_section(summary: Summary, kept: Kept) -> str:
    """What each subset scores and what share of the complete input's score that is.

    Args:
        kept: the summary itself, or a part of it that is of fewer images.
    """
    partial = kept is summary.covered
    header = [
        *map(str.upper, summary.names),
        *(["tiles", f"{summary.metric}, all tiles"] if partial else []),
        f"{summary.metric}, these tiles" if partial else summary.metric,
        "interval",
        "retention",
        "interval",
    ]
    lines = []
    for subset, score in kept.scores.items():
        retention = kept.retention.get(subset, Estimate(math.nan))
        counted = [str(kept.images[subset]), _number(summary.scores[subset].value / 100)] if partial else []
        lines.append(
            [
                *subset_ticks(subset, summary.names),
                *counted,
                _number(score.value / 100),
                _interval(score, 100),
                _number(retention.value),
                _interval(retention, 1),
            ]
        )
    parts = [markdown_table(header, lines, centerd=len(summary.names))]
    if partial:
        parts.append("These tiles: those that have at least one of the subset's sensors.")
    if kept.retention:
        same = " on the same tiles" if partial else ""
        parts.append(f"Retention is the score over that of the complete input{same}.")
    else:
        parts.append(f"Retention needs the complete input ({subset_title(summary.names)}), which was not evaluated.")
    return "\n\n".join(parts)


def lowest_section(summary: Summary, kept: Kept) -> str:
    """Mean and minimum over the incomplete subsets, of which there must be one."""
    number = len([subset for subset in kept.scores if subset != summary.names])
    all_of_them = len(kept.scores) == 2 ** len(summary.names) - 1
    which = "incomplete subsets" if all_of_them else "incomplete subsets that were evaluated"
    return (
        f"- Mean over the {number} {which}: {_text(kept.mean_incomplete)}\n"
        f"- Worst case: {subset_title(kept.worst)}, {_text(kept.scores[kept.worst])}"
    )


def worth_section(summary: Summary) -> str:
    """Shapley values and losses, or why there are none."""
    if not summary.complete_images:
        return (
            f"No Shapley values: none of the {summary.num_images} tiles has every sensor ({_having(summary)}), so there "
            "is no tile on which each sensor could be added to all the others."
        )
    if not summary.shapley:
        return (
            f"Shapley values need the scores of all {2 ** len(summary.names) - 1} subsets; {len(summary.scores)} "
            "were evaluated here. Run again without --subsets to have the others evaluated too."
        )
    lines = []
    for name, worth in summary.shapley.items():
        loss = summary.losses.get(name, Estimate(math.nan))
        lines.append(
            [
                name.upper(),
                _number(worth.value / 100),
                _interval(worth, 100),
                _number(loss.value / 100),
                _interval(loss, 100),
            ]
        )
    parts = []
    if summary.complete_images < summary.num_images:
        blind, complete = summary.ends
        parts.append(
            f"This table is of the {summary.complete_images} of {summary.num_images} tiles that have every "
            f"sensor. On these the complete input scores {summary.metric} {_text(complete)}, and the predictor "
            f"that looks at none {_text(blind)}."
        )
    parts.append(markdown_table(["sensor", "Shapley value", "interval", "loss without it", "interval"], lines, centerd=1))
    parts.append(
        f"The Shapley value is a sensor's mean gain in {summary.metric} over all orders in which the "
        "sensors could be added, from a predictor that looks at none (the last row of the first table) to the "
        "complete input; the values sum to the difference of the two. The loss is what the complete input loses "
        "when this one sensor is missing."
    )
    return "\n\n".join(parts)


def _having(summary: Summary) -> str:
    return ", ".join(f"{name.upper()} {number}" for name, number in summary.having.items())


def _text(estimate: Estimate) -> str:
    between = _interval(estimate, 100)
    return _number(estimate.value / 100) + (f" ({between})" if between else "")


def _interval(estimate: Estimate, unit: float) -> str:
    known = math.isfinite(estimate.low) and math.isfinite(estimate.high)
    return f"{estimate.low / unit:.3f} to {estimate.high / unit:.3f}" if known else ""


def _number(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "n/a"  # what is kept of nothing is infinite, or no number
