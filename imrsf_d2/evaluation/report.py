"""Markdown: the table over all subsets of sensors, and a report that says where its numbers come from."""

from __future__ import annotations

import math
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import imrsf_d2

__all__ = ["describe_machine", "describe_versions", "markdown_table", "subset_table"]


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]], centred: int = 0) -> str:
    """A Markdown table whose source is aligned too.

    Args:
        header: column titles.
        rows: as many cells each.
        centred: this many leading columns are centred, the others aligned to the right.
    """
    widths = [max(3, *(len(row[column]) for row in [header, *rows])) for column in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.center(width) if column < centred else cell.rjust(width)
                                 for column, (cell, width) in enumerate(zip(cells, widths))) + " |"

    rule = "|" + "|".join(f":{'-' * width}:" if column < centred else f"-{'-' * width}:"
                          for column, width in enumerate(widths)) + "|"
    return "\n".join([line(header), rule, *(line(row) for row in rows)])


def subset_table(rows: Sequence[Mapping], names: Sequence[str], tasks: Sequence[str] = ("segm", "bbox"),
                 metrics: Sequence[str] = ("AP", "AP50")) -> str:
    """The paper's Table I: one row per subset, a check mark per sensor it has, then the scores as fractions of 1.

    Args:
        rows: of `sweep_subsets`.
        names: the modalities, in the order of their columns.
        tasks, metrics: which scores; a score that cannot be computed shows as n/a.
    """
    titles = {"segm": "mask", "bbox": "box"}
    header = [name.upper() for name in names]
    header += [f"{titles.get(task, task)} {metric}" for task in tasks for metric in metrics]
    body = []
    for row in rows:
        cells = ["✓" if name in row["modalities"] else "" for name in names]
        for task in tasks:
            for metric in metrics:
                value = row["results"].get(task, {}).get(metric, math.nan)
                cells.append("n/a" if math.isnan(value) else f"{value / 100:.3f}")
        body.append(cells)
    return markdown_table(header, body, centred=len(names))


def describe_machine() -> str:
    """Kind of processor or GPU, and how many cores this process may use."""
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
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
        result = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, timeout=10,
                                cwd=Path(imrsf_d2.__file__).parent, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return f" ({result.stdout.strip()})"
