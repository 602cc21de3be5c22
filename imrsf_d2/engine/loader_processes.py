"""The processes of a loader: they outlive signals, and end with the process that started them, however that ends."""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
from collections.abc import Callable
from functools import partial
from multiprocessing.util import Finalize

from torch.utils.data import DataLoader

__all__ = ["undisturbed"]


def undisturbed(loader: DataLoader) -> DataLoader:
    """Keep a loader's processes alive until this one ends them: Ctrl-C and schedulers signal all processes, and an
    iteration that still waits for its samples could not be finished."""
    loader.worker_init_fn = partial(_ignore_signals, loader.worker_init_fn)
    _kill_workers_at_exit(os.getpid())
    return loader


def _ignore_signals(prepare: Callable[[int], None] | None, worker: int) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if prepare is not None:
        prepare(worker)


@functools.cache
def _kill_workers_at_exit(process: int) -> None:
    """Once for each `process`. An error leaves loaders in use; Python then ends daemons by SIGTERM, which these ignore, and
    would wait for them forever. What has a priority comes before that."""
    Finalize(None, _kill_daemons, exitpriority=0)


def _kill_daemons() -> None:
    for child in multiprocessing.active_children():
        if child.daemon:
            child.kill()
