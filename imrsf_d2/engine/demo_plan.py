"""How many iterations a demo trains, and with how many threads: chosen once, kept for a demo that is continued."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path

from detectron2.config import CfgNode

from imrsf_d2.engine.pace import Pace, affordable_iterations, measure_pace, thread_choices
from imrsf_d2.utils.atomic import write_text
from imrsf_d2.utils.keys import flat_keys

__all__ = ["Plan", "make_plan"]

#: Share of a demo's time that remains for evaluation and pictures, and in case the machine gets busier.
_RESERVE = 0.15


@dataclasses.dataclass(frozen=True)
class Plan:
    """Args:
    threads: that PyTorch computes with.
    iterations: of the training run.
    reason: a sentence: how fast the machine is, and what follows from that.
    """

    threads: int
    iterations: int
    reason: str


def make_plan(
    cfg: CfgNode,
    path: Path,
    minutes: float | None,
    spent: float = 0.0,
    measure: Callable[[CfgNode, list[int]], Pace] = measure_pace,
    clock: Callable[[], float] = time.perf_counter,
) -> Plan:
    """Time the first iterations and choose; or take the choice that was made for the same config and limit.

    Args:
        cfg: the demo's config with its full schedule; its data exist.
        path: the JSON file that keeps the plan.
        minutes: limit of the whole demo; None leaves the schedule as it is.
        spent: seconds of it that are gone already.
        measure: see `measure_pace`.
        clock: seconds since some moment.
    """
    basis = {"minutes": minutes, "config": _without_places(cfg)}
    if path.is_file():
        kept = json.loads(path.read_text())
        if kept["basis"] == basis:
            return Plan(**kept["plan"])
    start = clock()
    pace = measure(cfg, thread_choices(cfg))
    planned = cfg.SOLVER.MAX_ITER
    iterations, reason = planned, f"{pace}."
    if minutes is not None:
        left = minutes * 60 * (1 - _RESERVE) - spent - (clock() - start)
        iterations = affordable_iterations(pace.best, left, planned)
        if iterations < planned:
            fits = iterations * pace.best <= left
            aim = f"to end within {minutes:g} minutes" if fits else "the fewest that show anything"
            reason += f" Shortened from {planned} to {iterations} iterations, {aim}."
    plan = Plan(pace.threads, iterations, reason)
    write_text(path, json.dumps({"basis": basis, "plan": dataclasses.asdict(plan)}, indent=1))
    return plan


def _without_places(cfg: CfgNode) -> dict[str, str]:
    return {key: repr(value) for key, value in flat_keys(cfg) if key != "OUTPUT_DIR"}
