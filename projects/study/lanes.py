"""Several training runs side by side, each in a process of its own with one thread."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from imrsf_d2.utils.errors import InputError
from projects.study.plan import Run

__all__ = ["Lanes", "UnfinishedError"]

#: Seconds between two looks at the processes.
PAUSE = 0.5


class UnfinishedError(InputError):
    """Some runs ended with an error; the others are finished."""


class Lanes:
    """A number of lanes; each takes the next run whose turn it is.

    On a few cores this is faster than a run on all of them, whose threads wait for each other.

    Args:
        count: of lanes.
        command: of a run, which does it and nothing else.
        log: of a run, where its process writes.
    """

    def __init__(self, count: int, command: Callable[[Run], Sequence[str]], log: Callable[[Run], Path]):
        self.count, self.command, self.log = count, command, log

    def work(self, runs: Sequence[Run]) -> None:
        """Do all runs; one that needs another of them waits for it. What is not finished when this is left is stopped.

        Raises:
            UnfinishedError: at the end, if a process ended with an error; the runs that need its run were left out.
        """
        waiting = list(runs)
        failed: set[Run] = set()
        active: dict[Run, subprocess.Popen] = {}
        try:
            while waiting or active:
                for run in [run for run in waiting if failed & set(run.needs)]:
                    waiting.remove(run)
                    failed.add(run)
                ready = [run for run in waiting if not {*waiting, *active} & set(run.needs)]
                for run in ready[: self.count - len(active)]:
                    waiting.remove(run)
                    active[run] = self._start(run)
                    print(f"{run.name}: running ({len(waiting)} wait)", flush=True)
                time.sleep(PAUSE)
                for run, process in list(active.items()):
                    if process.poll() is not None:
                        del active[run]
                        if process.returncode:
                            failed.add(run)
                        print(f"{run.name}: {'ended with an error' if process.returncode else 'finished'}", flush=True)
        finally:
            for process in active.values():
                process.terminate()  # a training run then writes a checkpoint
            for process in active.values():
                process.wait()
        if failed:
            logs = ", ".join(str(self.log(run)) for run in failed)
            raise UnfinishedError(f"{len(failed)} runs are not finished, see {logs}. The same command goes on with them.")

    def _start(self, run: Run) -> subprocess.Popen:
        log = self.log(run)
        log.parent.mkdir(parents=True, exist_ok=True)
        threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        with log.open("ab") as file:
            return subprocess.Popen(
                self.command(run), stdin=subprocess.DEVNULL, stdout=file, stderr=file, env={**os.environ, **threads}
            )
