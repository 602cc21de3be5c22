"""How long a new process waits for its imports."""

from __future__ import annotations

import subprocess
import sys
from functools import partial

from projects.benchmarks.cases import Case
from projects.benchmarks.results import Result
from projects.benchmarks.timing import measure_together

__all__ = ["benchmark_cold_start"]

#: What is imported, least first; torch and detectron2 for comparison, as nothing that computes can do without.
IMPORTS = (
    "sys",
    "imrsf_d2",
    "imrsf_d2.modeling",
    "imrsf_d2.modalities",
    "torch",
    "imrsf_d2.modeling.encoder",
    "detectron2.config",
    "imrsf_d2.config",
    "imrsf_d2.modeling.backbone",
    "imrsf_d2.engine.running",
)


def benchmark_cold_start(case: Case, repeats: int = 5) -> list[Result]:
    """A new interpreter for each import; `case` changes nothing."""
    works = {f"import {name}": partial(_import, name) for name in IMPORTS}
    return [
        Result(
            "Cold start",
            timings=measure_together(works, repeats),
            notes=["A new interpreter each, with its start and end; files in the operating system's cache."],
        )
    ]


def _import(name: str) -> None:
    subprocess.run([sys.executable, "-W", "ignore", "-c", f"import {name}"], check=True, capture_output=True)
