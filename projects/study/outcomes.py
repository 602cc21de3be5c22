"""What a finished run leaves: its record, from which alone reports are made."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from imrsf_d2.utils.atomic import write_text
from projects.study.tested import TestedRun

__all__ = ["ORIGIN_FILE", "RECORD_FILE", "Outcome", "read_outcome", "write_record"]

#: Written last: a folder with this file holds a finished run. A copy of this and of the run's config says all that reports need.
RECORD_FILE = "record.json"
#: Written first, by a run that starts from the weights of another one: the digest of those weights.
ORIGIN_FILE = "origin.json"


@dataclass(frozen=True)
class Outcome:
    """The results of a finished run.

    Args:
        record: data, iterations, seconds by phase, machine and versions. Of a run that is evaluated, `validation` and, if there are
            test data, `test`: the rows of `sweep_subsets`; and `tested`, of `TestedRun.to_json`, if it knows more than one sensor. Of
            a pre-training run, `losses` (name -> its median over the first 20 iterations and over the last 20) and the digest of its
            `weights`.
    """

    record: Mapping

    @property
    def rows(self) -> Sequence[dict]:
        """One per subset, on the validation data; none of a pre-training run."""
        return self.record.get("validation", ())

    @property
    def test_rows(self) -> Sequence[dict]:
        """Likewise on the test data; none if there are none."""
        return self.record.get("test", ())

    @cached_property
    def tested(self) -> TestedRun | None:
        """Its test, in the measures of the fair study."""
        return TestedRun.from_json(self.record["tested"]) if "tested" in self.record else None


def read_outcome(folder: Path) -> Outcome | None:
    """The outcome of the run in a folder; None if it is not finished."""
    path = folder / RECORD_FILE
    return Outcome(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None


def write_record(folder: Path, record: Mapping) -> None:
    """Say that the run in a folder is finished. Lists of numbers take a line each."""
    write_text(folder / RECORD_FILE, _text(record, "") + "\n")


def _text(value: object, indent: str) -> str:
    if not isinstance(value, Mapping) and not (isinstance(value, list) and value and isinstance(value[0], Mapping)):
        return json.dumps(value)
    inner = indent + " "
    if isinstance(value, Mapping):
        parts, ends = [f"{json.dumps(key)}: {_text(own, inner)}" for key, own in value.items()], "{}"
    else:
        parts, ends = [_text(own, inner) for own in value], "[]"
    separator = f",\n{inner}"
    return f"{ends[0]}\n{inner}{separator.join(parts)}\n{indent}{ends[1]}" if parts else ends
