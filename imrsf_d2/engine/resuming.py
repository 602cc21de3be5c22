"""Training runs that are started, continued or kept, depending on what their folder holds."""

from __future__ import annotations

import argparse
import os
from collections.abc import Collection
from pathlib import Path

import yaml
from detectron2.config import CfgNode
from torch import nn

from imrsf_d2.engine.checkpointer import LAST, Checkpointer
from imrsf_d2.engine.configuration import CONFIG_FILE, default_config, setup_run
from imrsf_d2.engine.stopwatch import Stopwatch
from imrsf_d2.engine.trainer import Trainer
from imrsf_d2.utils.keys import flat_keys

__all__ = ["config_changes", "forget_training", "train_or_load"]


def config_changes(cfg: CfgNode, besides: Collection[str] = ()) -> dict[str, tuple]:
    """Compare a config with the one that the training run in its OUTPUT_DIR was started with.

    Args:
        besides: keys that may differ.

    Returns:
        key -> (value then, value now) for each key that differs, except OUTPUT_DIR (a moved folder holds the same
        training run). A key that did not exist then counts as its default; one that no longer exists is None. Empty if
        nothing differs or no training run was started.
    """
    path = Path(cfg.OUTPUT_DIR) / CONFIG_FILE
    if not path.is_file():
        return {}
    # Both through YAML, which makes lists of tuples.
    defaults, before, now = (
        dict(flat_keys(yaml.safe_load(text) or {})) for text in (default_config().dump(), path.read_text(), cfg.dump())
    )
    before = defaults | before
    keys = sorted({*before, *now} - {"OUTPUT_DIR", *besides})
    return {key: (before.get(key), now.get(key)) for key in keys if before.get(key) != now.get(key)}


def forget_training(folder: str | os.PathLike) -> None:
    """Make the next training run in `folder` start afresh (checkpoints stay until they are overwritten)."""
    for name in (LAST, CONFIG_FILE, "metrics.json"):
        (Path(folder) / name).unlink(missing_ok=True)


def train_or_load(
    cfg: CfgNode, config_file: str | os.PathLike, stopwatch: Stopwatch, besides: Collection[str] = ()
) -> nn.Module:
    """Train, resume, or load the finished model of the same config; after a change of the config, start afresh.

    Args:
        config_file: where the config came from; logged.
        stopwatch: its phase `training` gets the total time, also of a training run that was interrupted.
        besides: keys whose change does not start the training run afresh.

    Raises:
        ValueError, FileNotFoundError, UpstreamError: see `setup_run` and `Checkpointer.load`.
    """
    folder = Path(cfg.OUTPUT_DIR)
    if config_changes(cfg, besides) or not (folder / CONFIG_FILE).is_file():
        forget_training(folder)
    setup_run(cfg, argparse.Namespace(config_file=os.fspath(config_file), eval_only=False))
    last = folder / LAST
    if last.is_file() and last.read_text().strip() == "model_final.pth":
        print("      finished earlier with this config, kept.", flush=True)
        model = Trainer.build_model(cfg)
        Checkpointer(model, cfg.OUTPUT_DIR).resume_or_load("", resume=True)
        return model
    if not last.is_file():
        stopwatch.note("training", 0)
    trainer = Trainer(cfg, go_on="the same command goes on from here")
    trainer.resume_or_load(resume=True)
    stopwatch.run("training", trainer.train, add=True)
    return trainer.model
