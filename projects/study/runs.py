"""One training run: what its folder holds, and what is left to do."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from detectron2.config import CfgNode
from torch import nn

from imrsf_d2.compat.machine import describe_machine, describe_versions
from imrsf_d2.engine.configuration import is_pretraining, setup_run
from imrsf_d2.engine.resuming import config_changes, train_or_load
from imrsf_d2.engine.stopwatch import Stopwatch
from imrsf_d2.evaluation.per_image import InstanceImages
from imrsf_d2.evaluation.record import SweepRecord
from imrsf_d2.evaluation.sweep import sweep_subsets
from imrsf_d2.utils.atomic import write_text
from imrsf_d2.utils.keys import flat_keys
from projects.study.contributions import Contributions, match_at_all, read_results, write_contributions
from projects.study.outcomes import ORIGIN_FILE, write_record
from projects.study.tested import score_folder

__all__ = [
    "FINAL_WEIGHTS",
    "ORIGIN_FILE",
    "TEST_FOLDER",
    "WEIGHTS",
    "config_digest",
    "describe_changes",
    "perform",
    "read_origin",
]

FINAL_WEIGHTS = "model_final.pth"
#: In a run's folder: its sweep over the test data.
TEST_FOLDER = "test"
#: The key that may change in a run that starts from the weights of another one: moving the folder changes their path, but not
#: their digest.
WEIGHTS = "MODEL.WEIGHTS"


def describe_changes(cfg: CfgNode, besides: Collection[str] = ()) -> str:
    """How a config differs from that of the run in its OUTPUT_DIR; empty if it does not, or if there is no run.

    Args:
        besides: keys that may differ.
    """
    changes = [f"{key} was {before!r}, is {now!r}" for key, (before, now) in config_changes(cfg, besides).items()]
    rest = [f"and {len(changes) - 3} more"] if len(changes) > 3 else []
    return "; ".join([*changes[:3], *rest])


def config_digest(cfg: CfgNode, besides: Collection[str] = ()) -> str:
    """Twelve hex digits that identify a config, without its seed, its OUTPUT_DIR and the keys in `besides`."""
    settings = {key: value for key, value in flat_keys(cfg) if key not in {"SEED", "OUTPUT_DIR", *besides}}
    return hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()[:12]


def read_origin(folder: Path) -> str | None:
    """The digest of the weights that the run in a folder started from; None if they are random or it was not begun."""
    path = folder / ORIGIN_FILE
    return json.loads(path.read_text())["weights"] if path.is_file() else None


def perform(
    cfg: CfgNode,
    config_file: Path,
    data: Mapping,
    origin: str | None = None,
    *,
    roots: tuple[Path, Path | None],
    test_data: Mapping | None = None,
    build: Callable[[], nn.Module] | None = None,
) -> None:
    """Do what is left of a run: train to the end, evaluate every subset, and record that it is finished.

    A pre-training run is not evaluated; its losses and a digest of its final weights are recorded instead.

    Args:
        cfg: its OUTPUT_DIR is the run's folder and its SEED the run's seed.
        config_file: the file that the config was loaded from; logged.
        data: what the dataset was made from; recorded.
        origin: the digest of MODEL.WEIGHTS, if another run made them.
        roots: the root of the training and validation data, and that of the test data if there are any.
        test_data: what these were made from; recorded.
        build: makes the model of a run that is not trained.
    """
    folder = Path(cfg.OUTPUT_DIR)
    training_root, test_root = roots
    os.environ["DETECTRON2_DATASETS"] = str(training_root)
    if origin:
        write_text(folder / ORIGIN_FILE, json.dumps({"weights": origin}))
    stopwatch = Stopwatch(folder / "timings.json")
    if build is None:
        model = train_or_load(cfg, config_file, stopwatch, besides=[WEIGHTS] if origin else ())
    else:
        setup_run(cfg, argparse.Namespace(config_file=os.fspath(config_file), eval_only=True))
        stopwatch.note("training", 0)
        model = build()
    if is_pretraining(cfg):
        results: dict = {"losses": _read_losses(folder), "weights": _digest(folder / FINAL_WEIGHTS)}
    else:
        rows = stopwatch.run("evaluation", lambda: sweep_subsets(cfg, model, cfg.DATASETS.TEST[0], output_dir=str(folder)))
        results = {"validation": rows}
        if test_root is not None:
            os.environ["DETECTRON2_DATASETS"] = str(test_root)
            results["test"] = stopwatch.run("test", lambda: test_subsets(cfg, model, folder / TEST_FOLDER))
            subsets = [tuple(row["modalities"]) for row in results["test"]]
            if len(subsets) > 1:
                results["tested"] = score_folder(folder / TEST_FOLDER, subsets).to_json()
    record = {
        "data": dict(data),
        **({} if test_data is None else {"test_data": dict(test_data)}),
        "iterations": cfg.SOLVER.MAX_ITER,
        "batch": cfg.SOLVER.IMS_PER_BATCH,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "device": cfg.MODEL.DEVICE,
        "seconds": stopwatch.seconds,
        "machine": describe_machine(),
        "versions": describe_versions(),
        **results,
    }
    write_record(folder, record)
    for checkpoint in folder.glob("model_*.pth"):
        if checkpoint.name != FINAL_WEIGHTS:
            checkpoint.unlink()  # nobody resumes a finished run


def test_subsets(cfg: CfgNode, model: nn.Module, folder: Path) -> list[dict]:
    """Evaluate every subset on the test data, and keep what each image contributes to the scores."""
    dataset, record = cfg.DATASETS.TEST[0], SweepRecord(folder)
    rows = sweep_subsets(cfg, model, dataset, output_dir=str(folder), record=record)
    for row in rows:
        images = record.images(row["modalities"])
        if isinstance(images, InstanceImages):
            results = read_results(folder, row["modalities"])
            contributions = match_at_all(dataset, results, cfg.TEST.DETECTIONS_PER_IMAGE)
        else:
            contributions = Contributions((images,))
        write_contributions(folder, row["modalities"], contributions)
    return rows


def _read_losses(folder: Path) -> dict[str, list[float]]:
    """The first and the last value that a training run logged of each loss; names without the prefix `loss_`."""
    lines = [json.loads(line) for line in (folder / "metrics.json").read_text().splitlines()]
    losses: dict[str, list[float]] = {}
    for line in sorted((line for line in lines if "total_loss" in line), key=lambda line: line["iteration"]):
        for name, value in line.items():
            if name.startswith("loss_") or name == "total_loss":
                losses.setdefault(name.removeprefix("loss_"), []).append(value)
    return {name: [values[0], values[-1]] for name, values in losses.items()}


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
