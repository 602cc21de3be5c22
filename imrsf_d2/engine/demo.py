"""The demo: synthetic data, a short training on the CPU, every subset of the sensors, a report with pictures."""

from __future__ import annotations

import argparse
import json
import logging
import os
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog
from torch import nn

from imrsf_d2.atomic import write_text
from imrsf_d2.engine.checkpointer import Checkpointer
from imrsf_d2.engine.configuration import load_config, setup_run
from imrsf_d2.engine.trainer import Trainer
from imrsf_d2.evaluation.report import (
    MEANINGS,
    describe_machine,
    describe_versions,
    main_score,
    markdown_table,
    subset_table,
)
from imrsf_d2.evaluation.sweep import sweep_subsets
from imrsf_d2.evaluation.trivial import trivial_results
from imrsf_d2.modalities import ModalitySet, subset_label, subset_title
from imrsf_d2.visualization import choose_tiles, draw_overview, draw_subset, predict_tiles

__all__ = ["DemoData", "run_demo"]

logger = logging.getLogger(__name__)

NUM_PICTURE_TILES = 3


@dataclass(frozen=True)
class DemoData:
    """The synthetic data set of a demo.

    Args:
        folder: below the demo's data root, as the data set's registration expects it.
        write: writes the data below a path; False if exactly this data was there already.
        describe: one sentence for the report.
    """

    folder: str
    write: Callable[[Path], bool]
    describe: str


class _Stopwatch:
    """Wall-clock seconds of each phase, kept in a file so that a resumed demo still knows how long its start took."""

    def __init__(self, path: Path):
        self._path = path
        self.seconds: dict[str, float] = json.loads(path.read_text()) if path.is_file() else {}

    def note(self, phase: str, seconds: float) -> None:
        """Set the time of a phase; 0 forgets it."""
        self.seconds[phase] = seconds
        if not seconds:
            del self.seconds[phase]
        write_text(self._path, json.dumps(self.seconds, indent=1))

    def run(self, phase: str, work: Callable, add: bool = False):
        """Call `work` and note its time; `add` continues an interrupted phase. A failure is noted too."""
        start, before = time.perf_counter(), self.seconds.get(phase, 0.0) if add else 0.0
        try:
            return work()
        finally:
            self.note(phase, before + time.perf_counter() - start)


def run_demo(config_file: str | os.PathLike, data: DemoData, output: str | os.PathLike,
             opts: Sequence[str] = ()) -> Path:
    """Run the demo, or what is left of it: existing data and a finished training of the same config are kept.

    Args:
        config_file: a config under configs/demo.
        data: what to write to `<output>/data` and train on.
        output: gets data/, train/, evaluation/, pictures/ and report.md.
        opts: KEY VALUE overrides of the config.

    Returns:
        The path of the report.
    """
    output = Path(output).resolve()
    # The data sets are registered below this root when the configuration is loaded.
    os.environ["DETECTRON2_DATASETS"] = str(output / "data")
    cfg = load_config(config_file, ["OUTPUT_DIR", str(output / "train"), *opts])
    stopwatch = _Stopwatch(output / "timings.json")

    print(f"[1/4] Data: {data.describe}", flush=True)
    start = time.perf_counter()
    if data.write(output / "data" / data.folder):
        stopwatch.note("data", time.perf_counter() - start)
        _forget_training(Path(cfg.OUTPUT_DIR))
    else:
        print("      already there, kept.", flush=True)

    print(f"[2/4] Training: {cfg.SOLVER.MAX_ITER} iterations of {cfg.SOLVER.IMS_PER_BATCH} tiles", flush=True)
    model = _trained_model(cfg, config_file, stopwatch)

    names = ModalitySet.from_config(cfg)
    print(f"[3/4] Evaluation on all {len(names.subsets())} subsets of {', '.join(names.names)}", flush=True)
    dataset = cfg.DATASETS.TEST[0]
    scores = str(output / "evaluation")
    rows = stopwatch.run("evaluation", lambda: sweep_subsets(cfg, model, dataset, output_dir=scores))

    print("[4/4] Pictures and report", flush=True)
    stopwatch.run("pictures", lambda: _draw(cfg, model, rows, output / "pictures"))
    report = output / "report.md"
    blind, trivial = trivial_results(dataset)
    table = subset_table([*rows, {"modalities": [], "results": trivial}], names.names)
    table += f"\n\nThe last row looks at no sensor: {blind}."
    write_text(report, _report(cfg, model, data, rows, table, stopwatch.seconds))
    print(f"\n{table}\n\nReport: {report}", flush=True)
    return report


def _forget_training(folder: Path) -> None:
    """Make the next training in `folder` start afresh (checkpoints stay until they are overwritten)."""
    for name in ("last_checkpoint", "config.yaml", "metrics.json"):
        (folder / name).unlink(missing_ok=True)


def _trained_model(cfg: CfgNode, config_file: str | os.PathLike, stopwatch: _Stopwatch) -> nn.Module:
    """Train, resume, or take the finished model of the same config."""
    folder = Path(cfg.OUTPUT_DIR)
    same = (folder / "config.yaml").is_file() and (folder / "config.yaml").read_text() == cfg.dump()
    if not same:
        _forget_training(folder)
    setup_run(cfg, argparse.Namespace(config_file=os.fspath(config_file), eval_only=False))
    last = folder / "last_checkpoint"
    if last.is_file() and last.read_text().strip() == "model_final.pth":
        print("      finished earlier with this config, kept.", flush=True)
        model = Trainer.build_model(cfg)
        Checkpointer(model, cfg.OUTPUT_DIR).resume_or_load("", resume=True)
        return model
    if not last.is_file():
        stopwatch.note("training", 0)
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=True)
    stopwatch.run("training", trainer.train, add=True)
    return trainer.model


def _draw(cfg: CfgNode, model: nn.Module, rows: list[dict], folder: Path) -> None:
    """One picture per subset, and an overview of the tiles under all of them."""
    modalities, dataset = ModalitySet.from_config(cfg), cfg.DATASETS.TEST[0]
    positions = choose_tiles(DatasetCatalog.get(dataset), NUM_PICTURE_TILES)
    by_subset, captions = {}, {}
    for row in rows:
        subset = tuple(row["modalities"])
        by_subset[subset] = predict_tiles(cfg, model, dataset, positions, subset)
        _, metric, value = main_score(row["results"])
        captions[subset] = f"{metric} {value / 100:.2f}"
        draw_subset(folder / f"{subset_label(subset)}.png", by_subset[subset], modalities, subset,
                    f"{subset_title(subset)}   ({captions[subset]} on the validation tiles)")
    draw_overview(folder / "overview.png", by_subset, modalities, captions,
                  "The same model with every subset of its sensors")


def _report(cfg: CfgNode, model: nn.Module, data: DemoData, rows: list[dict], table: str,
            seconds: dict[str, float]) -> str:
    """The Markdown of report.md."""
    names = ModalitySet.from_config(cfg).names
    parameters = sum(p.numel() for p in model.parameters()) / 1e6
    phases = [[phase, f"{value:.0f}"] for phase, value in seconds.items()]
    pictures = [f"### {subset_title(row['modalities'])}\n\n"
                f"![{subset_label(row['modalities'])}](pictures/{subset_label(row['modalities'])}.png)" for row in rows]
    return "\n".join([
        "# One model, any sensor missing",
        "",
        f"Trained once with random sensors left out, then evaluated with each subset of {', '.join(names)}. A check "
        "mark is a sensor that the model was given.",
        "",
        table,
        "",
        MEANINGS[main_score(rows[0]["results"])[0]],
        "",
        f"**Data.** {data.describe} Synthetic: these numbers show that the method works here, and say nothing about "
        "scores on real imagery; do not compare them with published ones.",
        "",
        "![all subsets](pictures/overview.png)",
        "",
        "## How it was made",
        "",
        f"- Command: `python {shlex.join([os.path.relpath(sys.argv[0]), *sys.argv[1:]])}`",
        f"- Model: {parameters:.1f} M parameters, patches of {cfg.MODEL.IMRSF.PATCH_SIZE} px, "
        f"{cfg.MODEL.IMRSF.DEPTH} blocks of width {cfg.MODEL.IMRSF.EMBED_DIM}",
        f"- Training: {cfg.SOLVER.MAX_ITER} iterations of {cfg.SOLVER.IMS_PER_BATCH} tiles from random weights, "
        f"seed {cfg.SEED}; the full configuration is train/config.yaml",
        f"- Machine: {describe_machine()}; device {cfg.MODEL.DEVICE}",
        f"- Versions: {describe_versions()}",
        "",
        markdown_table(["phase", "seconds"], [*phases, ["total", f"{sum(seconds.values()):.0f}"]], centred=1),
        "",
        "A phase that was kept from an earlier run shows the time it took then.",
        "",
        "## Pictures",
        "",
        "\n\n".join(pictures),
        "",
    ])
