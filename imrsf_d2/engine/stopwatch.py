"""How long each phase of a piece of work took, interruptions included."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from imrsf_d2.utils.atomic import write_text

__all__ = ["Stopwatch"]

Result = TypeVar("Result")


class Stopwatch:
    """Wall-clock seconds of each phase, kept in a file so that resumed work still knows how long its start took.

    Args:
        path: the JSON file; read if it exists.
    """

    def __init__(self, path: Path):
        self._path = path
        self.seconds: dict[str, float] = json.loads(path.read_text()) if path.is_file() else {}

    def note(self, phase: str, seconds: float) -> None:
        """Set the time of a phase; 0 forgets it."""
        self.seconds[phase] = seconds
        if not seconds:
            del self.seconds[phase]
        write_text(self._path, json.dumps(self.seconds, indent=1))

    def run(self, phase: str, work: Callable[[], Result], add: bool = False) -> Result:
        """Call `work` and note its time; `add` continues an interrupted phase. A failure is noted too."""
        start, before = time.perf_counter(), self.seconds.get(phase, 0.0) if add else 0.0
        try:
            return work()
        finally:
            self.note(phase, before + time.perf_counter() - start)
