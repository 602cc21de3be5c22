"""Markdown tables, among them the one with a row per subset of the sensors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from tabulate import tabulate

from imrsf_d2.evaluation.scores import SHOWN

__all__ = ["markdown_table", "subset_table", "subset_ticks"]


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]], centered: int = 0) -> str:
    """A Markdown table that is also aligned as plain text.

    Args:
        header: column titles.
        rows: one cell per column each.
        centered: the number of leading columns to center; the others are aligned to the right.
    """
    alignment = ["center"] * centered + ["right"] * (len(header) - centered)
    return tabulate(rows, header, tablefmt="pipe", colalign=alignment if rows else None, disable_numparse=True)


def subset_table(rows: Sequence[Mapping], names: Sequence[str]) -> str:
    """The layout of the paper's Tables I and II: a row per subset, a check mark per sensor in it, scores as fractions of 1.

    Args:
        rows: as returned by `sweep_subsets`.
        names: the modalities, in the order of their columns.

    Returns:
        Markdown; a score that is not defined is shown as n/a.
    """
    columns = [
        (task, metric)
        for task, (_, metrics) in SHOWN.items()
        for metric in metrics
        if any(task in row["results"] for row in rows)
    ]
    header = [name.upper() for name in names] + [f"{SHOWN[task][0]} {metric}".strip() for task, metric in columns]
    body = []
    for row in rows:
        values = [row["results"].get(task, {}).get(metric, math.nan) for task, metric in columns]
        scores = ["n/a" if math.isnan(value) else f"{value / 100:.3f}" for value in values]
        body.append(subset_ticks(row["modalities"], names) + scores)
    return markdown_table(header, body, centered=len(names))


def subset_ticks(subset: Sequence[str], names: Sequence[str]) -> list[str]:
    """A check mark for each modality in a subset, blank for the others."""
    return ["✓" if name in subset else "" for name in names]
