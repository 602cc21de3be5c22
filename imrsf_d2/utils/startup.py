"""How long a command takes until its work begins, and what the time goes into."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["STARTUP", "Startup"]


class Startup:
    """Wall-clock seconds of the phases before the first iteration.

    Args:
        clock: seconds since some moment.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter):
        self._clock = clock
        self._last = clock()
        self.seconds: dict[str, float] = {}

    def mark(self, phase: str) -> None:
        """Count the time since the last mark, at first since this object was made, as time of a phase."""
        now = self._clock()
        self.seconds[phase] = self.seconds.get(phase, 0.0) + now - self._last
        self._last = now

    def __str__(self) -> str:
        """E.g. "9.8 s: imports 5.1, data 0.4, model 1.2"."""
        parts = ", ".join(f"{phase} {seconds:.1f}" for phase, seconds in self.seconds.items())
        return f"{sum(self.seconds.values()):.1f} s: {parts}"


#: Of this process; its clock starts when a command's module is imported.
STARTUP = Startup()
