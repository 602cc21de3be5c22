"""How fast this machine trains, and a schedule that ends in time on a slow one."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import statistics
import time
from collections.abc import Callable, Iterator, Sequence

import torch
from detectron2.config import CfgNode
from detectron2.utils.events import EventStorage

from imrsf_d2.data.loaders import build_train_loader
from imrsf_d2.data.views import views_of
from imrsf_d2.engine.averaging import weight_average
from imrsf_d2.engine.encoder_place import tell_views
from imrsf_d2.engine.loop import TrainingLoop
from imrsf_d2.engine.optimizer import build_optimizer
from imrsf_d2.engine.trainer import Trainer
from imrsf_d2.utils.parallel import usable_cores

__all__ = ["Pace", "affordable_iterations", "measure_pace", "shorten", "thread_choices", "using_threads"]

#: Iterations that are timed for each number of threads, after one to warm up.
_TIMED = 4
#: A model that saw less shows nothing.
_FEWEST_ITERATIONS = 100


@dataclasses.dataclass(frozen=True)
class Pace:
    """Seconds that an iteration takes.

    Args:
        seconds: number of PyTorch's threads -> seconds an iteration.
    """

    seconds: dict[int, float]

    @property
    def threads(self) -> int:
        """The number of threads that is fastest."""
        return min(self.seconds, key=lambda threads: self.seconds[threads])

    @property
    def best(self) -> float:
        """Seconds an iteration with that many."""
        return self.seconds[self.threads]

    def __str__(self) -> str:
        """E.g. "0.31 s an iteration with 2 threads (0.45 s with 1)"."""
        others = [f"{value:.2f} s with {threads}" for threads, value in self.seconds.items() if threads != self.threads]
        text = f"{self.best:.2f} s an iteration with {self.threads} thread{'s' * (self.threads != 1)}"
        return text + (f" ({', '.join(others)})" if others else "")


def thread_choices(cfg: CfgNode) -> list[int]:
    """The numbers of threads worth trying: one and all, or, on a GPU, as many as there are now."""
    now = torch.get_num_threads()
    if torch.device(cfg.MODEL.DEVICE).type != "cpu":
        return [now]
    # OMP_NUM_THREADS may have asked for fewer than there are cores.
    return sorted({1, min(now, usable_cores())})


def measure_pace(cfg: CfgNode, threads: Sequence[int], clock: Callable[[], float] = time.perf_counter) -> Pace:
    """Time iterations of a config's training on its own data, with a model that is thrown away.

    On a busy machine more threads can be slower: they wait for one another.

    Args:
        cfg: finished by `load_config`; nothing is written to its OUTPUT_DIR.
        threads: numbers of threads to try, all on the same batches, in turn.
        clock: seconds since some moment.

    Returns:
        The median over a few iterations for each number of threads. Random numbers are drawn afterwards as if nothing
        had been measured.
    """
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices), EventStorage():
        model = Trainer.build_model(cfg)
        tell_views(model, views_of(cfg))
        loader = iter(build_train_loader(cfg))
        batches = list(itertools.islice(loader, _TIMED + 1))
        del loader  # and its processes
        steps = [batch for batch in batches for _ in threads]
        loop = TrainingLoop.from_config(cfg, model, steps, build_optimizer(cfg, model), weight_average(cfg, model))
        model.train()
        seconds: dict[int, list[float]] = {count: [] for count in threads}
        for _ in batches:
            for count in threads:
                with using_threads(count):
                    start = clock()
                    loop.run_step()
                    seconds[count].append(clock() - start)
    return Pace({count: statistics.median(values[1:]) for count, values in seconds.items()})


def affordable_iterations(seconds_per_iteration: float, seconds: float, planned: int) -> int:
    """The number of iterations that fit into a time: at most the planned ones, and as many as a model needs at least."""
    return min(planned, max(int(seconds / seconds_per_iteration), _FEWEST_ITERATIONS))


def shorten(cfg: CfgNode, iterations: int) -> list[str]:
    """KEY VALUE overrides that give a config fewer iterations, its warm-up and steps in proportion."""
    solver = cfg.SOLVER
    share = iterations / solver.MAX_ITER
    steps = tuple(dict.fromkeys(max(round(step * share), 1) for step in solver.STEPS))
    changes = {
        "SOLVER.MAX_ITER": iterations,
        "SOLVER.STEPS": steps,
        "SOLVER.WARMUP_ITERS": round(solver.WARMUP_ITERS * share),
    }
    return [str(word) for pair in changes.items() for word in pair]


@contextlib.contextmanager
def using_threads(count: int) -> Iterator[None]:
    """Let PyTorch compute with so many threads meanwhile."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
