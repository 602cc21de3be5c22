"""The result of a benchmark: measured values and their targets, as Markdown and as JSON."""

from __future__ import annotations

import operator
import statistics
from dataclasses import asdict, dataclass, field

from imrsf_d2.evaluation.tables import markdown_table
from projects.benchmarks.timing import Measurement

__all__ = ["Line", "Result", "SIGNS"]

#: Sign of a target -> whether a value meets it.
SIGNS = {"<=": operator.le, ">=": operator.ge}


@dataclass(frozen=True)
class Line:
    """One measured value.

    Args:
        what: what was measured.
        values: one number per repetition.
        target: what the median should reach, or None if there is no target.
        sign: "<=" or ">=": how a value that meets the target compares with it.
        unit: written after the numbers.
    """

    what: str
    values: tuple[float, ...]
    target: float | None = None
    sign: str = "<="
    unit: str = ""

    @property
    def median(self) -> float:
        """Median over the repetitions."""
        return statistics.median(self.values)

    @property
    def met(self) -> bool | None:
        """Whether the median meets the target; None without a target."""
        return None if self.target is None else SIGNS[self.sign](self.median, self.target)

    def cells(self) -> list[str]:
        """A row of the table: what was measured, target, median and range, whether the target is met."""
        target = "" if self.target is None else f"{self.sign} {self.target:.2f}{self.unit}"
        spread = f" ({min(self.values):.2f} to {max(self.values):.2f})" if len(self.values) > 1 else ""
        met = {None: "", True: "yes", False: "no"}[self.met]
        return [self.what, target, f"{self.median:.2f}{self.unit}{spread}", met]


@dataclass
class Result:
    """The result of one benchmark.

    Args:
        title: its heading.
        lines: values and targets.
        timings: what was timed -> durations.
        notes: how it was measured, and why something was left out.
    """

    title: str
    lines: list[Line] = field(default_factory=list)
    timings: dict[str, Measurement] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def as_markdown(self) -> str:
        """Heading, notes and tables."""
        parts = [f"## {self.title}", *self.notes]
        if self.lines:
            parts.append(markdown_table(["what", "target", "measured", "met"], [line.cells() for line in self.lines]))
        if self.timings:
            rows = [[what, _duration(timed)] for what, timed in self.timings.items()]
            parts.append(markdown_table(["timed", "median (fastest to slowest)"], rows))
        return "\n\n".join(parts)

    def as_json(self) -> dict:
        """The same as a dictionary for JSON."""
        lines = [asdict(line) | {"median": line.median, "met": line.met} for line in self.lines]
        timings = {what: list(timed.seconds) for what, timed in self.timings.items()}
        return {"title": self.title, "lines": lines, "seconds": timings, "notes": self.notes}


def _duration(timed: Measurement) -> str:
    if timed.median < 1:
        return f"{timed.in_ms()} ms"
    return f"{timed.median:.2f} ({timed.spread[0]:.2f} to {timed.spread[1]:.2f}) s"
