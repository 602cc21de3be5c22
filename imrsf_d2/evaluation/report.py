"""Markdown: the table over all subsets of sensors, and a report that says where its numbers come from."""

from __future__ import annotations

import math
import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import imrsf_d2
from imrsf_d2.utils.errors import InputError
from imrsf_d2.utils.parallel import usable_cores

__all__ = [
    "MEANINGS",
    "describe_machine",
    "describe_versions",
    "main_score",
    "markdown_table",
    "subset_table",
    "subset_ticks",
]


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


def describe_machine() -> str:
    """Kind of processor or GPU, and how many cores this process may use."""
    import torch

    cores = usable_cores()
    text = f"{_cpu_model()}, {cores} core{'s' * (cores != 1)}"
    if torch.cuda.is_available():
        text += f", {torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
    return text


def describe_versions(packages: Sequence[str] = ("torch", "torchvision", "numpy", "pycocotools")) -> str:
    """Versions that numbers may depend on, ours first."""
    parts = [f"imrsf_d2 {imrsf_d2.__version__}{_commit()}", f"Python {platform.python_version()}"]
    for package in packages:
        try:
            parts.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(parts)


def _cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _commit() -> str:
    """The source's commit, where it is a git checkout."""
    try:
        result = subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            capture_output=True,
            text=True,
            timeout=10,
            cwd=Path(imrsf_d2.__file__).parent,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return f" ({result.stdout.strip()})"
