"""One run of the study: what its folder holds, and what is left to do."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from detectron2.config import CfgNode
from detectron2.utils.logger import setup_logger

from imrsf_d2.atomic import write_text
from imrsf_d2.engine.resuming import config_changes, train_or_load
from imrsf_d2.engine.stopwatch import Stopwatch
from imrsf_d2.evaluation.report import describe_machine, describe_versions
from imrsf_d2.evaluation.sweep import RESULTS_FILE, sweep_subsets

__all__ = ["Outcome", "describe_changes", "perform", "read_outcome"]

#: Written last: a folder that has it is a finished run.
RECORD_FILE = "record.json"


@dataclass(frozen=True)
class Outcome:
    """What a finished run left.

    Args:
        rows: of `sweep_subsets`, one per subset.
        record: data, iterations, seconds by phase, machine and versions.
    """

    rows: list[dict]
    record: Mapping


def describe_changes(cfg: CfgNode) -> str:
    """How a config differs from the one that the run in its OUTPUT_DIR was made with; empty if it does not."""
    changes = [f"{key} was {before!r}, is {now!r}" for key, (before, now) in config_changes(cfg).items()]
    rest = [f"and {len(changes) - 3} more"] if len(changes) > 3 else []
    return "; ".join([*changes[:3], *rest])


def read_outcome(folder: Path) -> Outcome | None:
    """What the run in a folder left; None if it is not finished."""
    if not (folder / RECORD_FILE).is_file():
        return None
    return Outcome(json.loads((folder / RESULTS_FILE).read_text())["rows"],
                   json.loads((folder / RECORD_FILE).read_text()))


def perform(cfg: CfgNode, config_file: Path, data: Mapping) -> Outcome:
    """Do what is left of a run: train to the end, evaluate every subset, and record that it is finished.

    Args:
        cfg: with the run's folder as OUTPUT_DIR and its seed as SEED.
        config_file: where it came from.
        data: what the data set was made from; recorded.
    """
    folder = Path(cfg.OUTPUT_DIR)
    with _log_of_one_run():
        stopwatch = Stopwatch(folder / "timings.json")
        model = train_or_load(cfg, config_file, stopwatch)
        stopwatch.run("evaluation", lambda: sweep_subsets(cfg, model, cfg.DATASETS.TEST[0], output_dir=str(folder)))
    record = {"data": dict(data), "iterations": cfg.SOLVER.MAX_ITER, "batch": cfg.SOLVER.IMS_PER_BATCH,
              "parameters": sum(parameter.numel() for parameter in model.parameters()), "device": cfg.MODEL.DEVICE,
              "seconds": stopwatch.seconds, "machine": describe_machine(), "versions": describe_versions()}
    write_text(folder / RECORD_FILE, json.dumps(record, indent=1))
    for checkpoint in folder.glob("model_[0-9]*.pth"):
        checkpoint.unlink()  # nobody resumes from the middle of a finished run; model_final.pth stays
    return read_outcome(folder)


@contextlib.contextmanager
def _log_of_one_run() -> Iterator[None]:
    """Give the loggers back as they were: Detectron2 adds a log file for each run of a process and takes none away."""
    loggers = [logging.getLogger(name) for name in ("detectron2", "fvcore", "imrsf_d2")]
    before = [list(logger.handlers) for logger in loggers]
    try:
        yield
    finally:
        for logger, handlers in zip(loggers, before):
            logger.handlers[:] = handlers
        setup_logger.cache_clear()  # or the same folder would get no log file again
