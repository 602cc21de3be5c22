"""Repeated measurements and their statistics."""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

__all__ = ["Measurement", "measure", "measure_together"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Measurement:
    """Seconds per call over several repetitions.

    Args:
        seconds: one number per repetition.
    """

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Median over the repetitions, in seconds."""
        return statistics.median(self.seconds)

    @property
    def spread(self) -> tuple[float, float]:
        """The fastest and the slowest repetition, in seconds."""
        return min(self.seconds), max(self.seconds)

    def in_ms(self, per: int = 1) -> str:
        """Median and range as `3.21 (3.10 to 3.54)`, in ms per item if a call handles `per` items."""
        return f"{self.median / per * 1e3:.2f} ({self.spread[0] / per * 1e3:.2f} to {self.spread[1] / per * 1e3:.2f})"

    def rate(self, items: int) -> str:
        """Items per second as `120 (98 to 131)` if a call handles `items`."""
        return f"{items / self.median:.0f} ({items / self.spread[1]:.0f} to {items / self.spread[0]:.0f})"

    def over(self, other: Measurement, factor: float = 1.0) -> tuple[float, ...]:
        """`factor` * ours / theirs for each repetition of two functions that were measured together."""
        return tuple(factor * ours / theirs for ours, theirs in zip(self.seconds, other.seconds, strict=True))


def measure(
    work: Callable[[], object], repeats: int, warm_up: int = 1, synchronize: Callable[[], object] = lambda: None
) -> Measurement:
    """Time a function several times.

    Args:
        work: the function to time.
        repeats: timed calls.
        warm_up: untimed calls before these, for caches and lazy initialization.
        synchronize: waits until an accelerator has finished the work in its queue.
    """
    return measure_together({"work": work}, repeats, warm_up, synchronize)["work"]


def measure_together(
    works: Mapping[str, Callable[[], object]],
    repeats: int,
    warm_up: int = 1,
    synchronize: Callable[[], object] = lambda: None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Measurement]:
    """Time several functions in turn, so that other load on the machine affects all of them alike.

    Args:
        works: name -> function to time; every second round runs them in reverse order, against drift.
        repeats: timed rounds.
        warm_up, synchronize: as in `measure`.
        clock: seconds; `time.process_time` for the CPU time of this process, on a machine that does much else.

    Returns:
        name -> one duration per round.
    """
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for repeat in range(warm_up + repeats):
        round_start = time.perf_counter()
        for name in list(works)[:: -1 if repeat % 2 else 1]:
            synchronize()
            start = clock()
            works[name]()
            synchronize()
            if repeat >= warm_up:
                seconds[name].append(clock() - start)
        logger.info("Round %d of %d took %.0f s", repeat + 1, warm_up + repeats, time.perf_counter() - round_start)
    return {name: Measurement(tuple(durations)) for name, durations in seconds.items()}
