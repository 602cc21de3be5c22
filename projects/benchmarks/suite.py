"""All benchmarks of the model by name, and a description of the run that made the numbers."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable

import torch

from imrsf_d2.compat.machine import describe_machine, describe_versions
from projects.benchmarks.backbone import benchmark_backbone
from projects.benchmarks.cases import QUICK, VIT_B
from projects.benchmarks.cold_start import benchmark_cold_start
from projects.benchmarks.compilation import benchmark_compilation
from projects.benchmarks.evaluation import benchmark_evaluation
from projects.benchmarks.memory import benchmark_memory
from projects.benchmarks.mixed_precision import benchmark_gpu
from projects.benchmarks.results import Result
from projects.benchmarks.sweep import benchmark_sweep
from projects.benchmarks.train_step import benchmark_train_step

__all__ = ["BENCHMARKS", "describe_run", "run_benchmark"]

BENCHMARKS = {
    "backbone": benchmark_backbone,
    "train-step": benchmark_train_step,
    "sweep": benchmark_sweep,
    "memory": benchmark_memory,
    "gpu": benchmark_gpu,
    "compile": benchmark_compilation,
    "evaluation": benchmark_evaluation,
    "cold-start": benchmark_cold_start,
}


def run_benchmark(what: str, quick: bool = False, repeats: int | None = None, device: str = "cpu") -> Iterable[Result]:
    """Run one benchmark; yields each result as soon as it is there.

    Args:
        what: a key of BENCHMARKS.
        quick: use a tiny model to see that the benchmark works; its numbers are meaningless.
        repeats: timed rounds; None means the benchmark's default.
        device: "cpu" or "cuda", where the model runs; "gpu" always takes the GPU.
    """
    case = (QUICK if quick else VIT_B).with_(device=device)
    return BENCHMARKS[what](case, **({"repeats": repeats} if repeats else {}))


def describe_run() -> dict[str, str]:
    """Machine, versions, number of threads, load of the machine at the start, and date."""
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    return {
        "machine": describe_machine(),
        "versions": describe_versions(),
        "load": f"{torch.get_num_threads()} threads, load average before the run {load}",
        "date": time.strftime("%Y-%m-%d"),
    }
