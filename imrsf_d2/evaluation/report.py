"""Markdown: the table over all subsets of sensors, and a report that says where its numbers come from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from imrsf_d2.utils.errors import InputError

__all__ = ["MEANINGS", "main_score", "markdown_table", "subset_table", "subset_ticks"]


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]], centerd: int = 0) -> str:
    """A Markdown table whose source is aligned too.

    Args:
        header: column titles.
        rows: as many cells each.
        centerd: this many leading columns are centerd, the others aligned to the right.
    """
    widths = [max(3, *(len(row[column]) for row in [header, *rows])) for column in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        return (
            "| "
            + " | ".join(
                cell.center(width) if column < centerd else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(cells, widths))
            )
            + " |"
        )

    rule = (
        "|"
        + "|".join(f":{'-' * width}:" if column < centerd else f"-{'-' * width}:" for column, width in enumerate(widths))
        + "|"
    )
    return "\n".join([line(header), rule, *(line(row) for row in rows)])


#: The scores shown of each task, the one that sums it up first, and how a column names the task.
SHOWN = {"segm": ("mask", ("AP50", "AP")), "bbox": ("box", ("AP50", "AP")), "sem_seg": ("", ("mIoU", "mACC", "pACC"))}
MEANINGS = {
    "segm": "Scores are COCO averages over the evaluated tiles, from 0 to 1: `AP50` at an intersection over union of 0.50, "
    "`AP` over thresholds from 0.50 to 0.95; `mask` of the instance masks, `box` of the boxes around them.",
    "sem_seg": "Scores are from 0 to 1, over all labeled pixels of the evaluated tiles together: `mIoU` is the mean "
    "intersection over union and `mACC` the mean recall of the classes that occur, `pACC` the share of right "
    "pixels.",
}


def main_score(results: Mapping) -> tuple[str, str, float]:
    """The score that sums up an evaluation: (task, metric, value in percent).

    Args:
        results: of an evaluator, {task: {metric: value}}.

    Raises:
        ValueError: if there is no task that we know.
    """
    for task, (_, metrics) in SHOWN.items():
        if task in results:
            return task, metrics[0], results[task][metrics[0]]
    raise InputError(f"results have the tasks {list(results)}, expected one of {list(SHOWN)}.")


def subset_table(rows: Sequence[Mapping], names: Sequence[str]) -> str:
    """The paper's Tables I and II: one row per subset, a check mark per sensor it has, then scores as fractions of 1.

    Args:
        rows: of `sweep_subsets`.
        names: the modalities, in the order of their columns.

    Returns:
        Markdown; a score that cannot be computed shows as n/a.
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
        body.append(
            subset_ticks(row["modalities"], names)
            + ["n/a" if math.isnan(value) else f"{value / 100:.3f}" for value in values]
        )
    return markdown_table(header, body, centerd=len(names))


def subset_ticks(subset: Sequence[str], names: Sequence[str]) -> list[str]:
    """A check mark for each modality that a subset has, blank for the others."""
    return ["✓" if name in subset else "" for name in names]
