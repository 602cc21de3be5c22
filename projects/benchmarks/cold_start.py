"""Time that a new process takes for its imports."""

from __future__ import annotations

import subprocess
import sys
from functools import partial

from projects.benchmarks.cases import Case
from projects.benchmarks.results import Result
from projects.benchmarks.timing import measure_together

__all__ = ["benchmark_cold_start"]

#: From the lightest import to the heaviest; torch and detectron2 for comparison, because every computation needs them.
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
    """One new interpreter per import; `case` has no effect."""
    works = {f"import {name}": partial(_import, name) for name in IMPORTS}
    return [
        Result(
            "Cold start",
            timings=measure_together(works, repeats),
            notes=[
                "One new interpreter per import, its start and exit included; files are in the operating system's cache."
            ],
        )
    ]


def _import(name: str) -> None:
    subprocess.run([sys.executable, "-W", "ignore", "-c", f"import {name}"], check=True, capture_output=True)
