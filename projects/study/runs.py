"""One run of the study: what its folder holds, and what is left to do."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from detectron2.config import CfgNode
from detectron2.utils.logger import setup_logger

from imrsf_d2.engine.configuration import is_pretraining
from imrsf_d2.engine.resuming import config_changes, train_or_load
from imrsf_d2.engine.stopwatch import Stopwatch
from imrsf_d2.evaluation.report import describe_machine, describe_versions
from imrsf_d2.evaluation.sweep import RESULTS_FILE, sweep_subsets
from imrsf_d2.utils.atomic import write_text

__all__ = ["FINAL_WEIGHTS", "WEIGHTS", "Outcome", "describe_changes", "perform", "read_origin", "read_outcome"]

#: Written last: a folder that has it is a finished run.
RECORD_FILE = "record.json"
#: Written first, by a run that starts from another's weights: the digest of those.
ORIGIN_FILE = "origin.json"
FINAL_WEIGHTS = "model_final.pth"
#: The key that may change in a run that starts from another's weights: their path does when the folder is moved, their
#: digest does not.
WEIGHTS = "MODEL.WEIGHTS"


@dataclass(frozen=True)
class Outcome:
    """What a finished run left.

    Args:
        rows: of `sweep_subsets`, one per subset; none of a pre-training run.
        record: data, iterations, seconds by phase, machine and versions; of a pre-training run also the `losses` (name ->
            its first and its last median over 20 iterations) and the digest of its `weights`.
    """

    rows: list[dict]
    record: Mapping


def describe_changes(cfg: CfgNode, besides: Collection[str] = ()) -> str:
    """How a config differs from the one that the run in its OUTPUT_DIR was made with; empty if it does not.

    Args:
        besides: keys that may differ.
    """
    changes = [f"{key} was {before!r}, is {now!r}" for key, (before, now) in config_changes(cfg, besides).items()]
    rest = [f"and {len(changes) - 3} more"] if len(changes) > 3 else []
    return "; ".join([*changes[:3], *rest])


def read_outcome(folder: Path) -> Outcome | None:
    """What the run in a folder left; None if it is not finished."""
    if not (folder / RECORD_FILE).is_file():
        return None
    record = json.loads((folder / RECORD_FILE).read_text())
    return Outcome([] if "losses" in record else json.loads((folder / RESULTS_FILE).read_text())["rows"], record)


def read_origin(folder: Path) -> str | None:
    """The digest of the weights that the run in a folder started from; None of random ones, or if it was not begun."""
    path = folder / ORIGIN_FILE
    return json.loads(path.read_text())["weights"] if path.is_file() else None


def perform(cfg: CfgNode, config_file: Path, data: Mapping, origin: str | None = None) -> Outcome:
    """Do what is left of a run: train to the end, evaluate every subset, and record that it is finished.

    A pre-training is not evaluated: what its losses were is recorded, and a digest of the weights it ends with.

    Args:
        cfg: with the run's folder as OUTPUT_DIR and its seed as SEED.
        config_file: where it came from.
        data: what the dataset was made from; recorded.
        origin: the digest of MODEL.WEIGHTS, if another run made them.
    """
    folder = Path(cfg.OUTPUT_DIR)
    if origin:
        write_text(folder / ORIGIN_FILE, json.dumps({"weights": origin}))
    with _log_of_one_run():
        stopwatch = Stopwatch(folder / "timings.json")
        model = train_or_load(cfg, config_file, stopwatch, besides=[WEIGHTS] if origin else ())
        if is_pretraining(cfg):
            results = {"losses": _read_losses(folder), "weights": _digest(folder / FINAL_WEIGHTS)}
        else:
            stopwatch.run("evaluation", lambda: sweep_subsets(cfg, model, cfg.DATASETS.TEST[0], output_dir=str(folder)))
            results = {}
    record = {
        **results,
        "data": dict(data),
        "iterations": cfg.SOLVER.MAX_ITER,
        "batch": cfg.SOLVER.IMS_PER_BATCH,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "device": cfg.MODEL.DEVICE,
        "seconds": stopwatch.seconds,
        "machine": describe_machine(),
        "versions": describe_versions(),
    }
    write_text(folder / RECORD_FILE, json.dumps(record, indent=1))
    for checkpoint in folder.glob("model_*.pth"):
        if checkpoint.name != FINAL_WEIGHTS:
            checkpoint.unlink()  # nobody resumes from the middle of a finished run
    return read_outcome(folder)


def _read_losses(folder: Path) -> dict[str, list[float]]:
    """The first and the last value of each loss that a training logged, without its prefix `loss_`."""
    lines = [json.loads(line) for line in (folder / "metrics.json").read_text().splitlines()]
    losses: dict[str, list[float]] = {}
    for line in sorted((line for line in lines if "total_loss" in line), key=lambda line: line["iteration"]):
        for name, value in line.items():
            if name.startswith("loss_") or name == "total_loss":
                losses.setdefault(name.removeprefix("loss_"), []).append(value)
    return {name: [values[0], values[-1]] for name, values in losses.items()}


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


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
