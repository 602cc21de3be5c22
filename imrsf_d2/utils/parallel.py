"""Work on many files, spread over the machine's cores."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from tqdm import tqdm

__all__ = ["run_jobs", "usable_cores"]


def usable_cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_jobs(job: Callable, items: Sequence, num_workers: int = 0, progress: bool = False, unit: str = "tile") -> list:
    """`[job(item) for item in items]`, in order, in several processes.

    Args:
        job: a picklable function of one item whose result depends on nothing else.
        num_workers: 1 runs in this process; 0 takes all cores this process may use.
        progress: show a bar on the terminal.
        unit: what the bar counts.
    """
    num_workers = min(num_workers or usable_cores(), len(items) or 1)

    def watch(results) -> list:
        return list(tqdm(results, total=len(items), unit=unit, disable=not progress))

    if num_workers == 1:
        return watch(map(job, items))
    # Spawned, not forked: the caller may hold threads (torch, OpenCV) that do not survive a fork.
    with ProcessPoolExecutor(num_workers, mp_context=get_context("spawn")) as pool:
        return watch(pool.map(job, items, chunksize=4))
