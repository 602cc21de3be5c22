"""The demo: synthetic data, a short training run on the CPU, every subset of the sensors, the map of a scene, a report."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog
from torch import nn

from imrsf_d2.compat.machine import describe_machine, describe_versions
from imrsf_d2.engine.configuration import load_config
from imrsf_d2.engine.demo_page import write_demo_page
from imrsf_d2.engine.demo_plan import Plan, make_plan
from imrsf_d2.engine.demo_scene import describe_maps, map_demo_scene
from imrsf_d2.engine.pace import shorten, using_threads
from imrsf_d2.engine.resuming import forget_training, train_or_load
from imrsf_d2.engine.stopwatch import Stopwatch
from imrsf_d2.evaluation.record import SweepRecord
from imrsf_d2.evaluation.scores import MEANINGS, main_score
from imrsf_d2.evaluation.sweep import sweep_subsets
from imrsf_d2.evaluation.tables import markdown_table, subset_table
from imrsf_d2.evaluation.trivial import trivial_results
from imrsf_d2.modalities import ModalitySet, subset_label, subset_title
from imrsf_d2.utils.atomic import write_text
from imrsf_d2.utils.command_line import this_command
from imrsf_d2.visualization import choose_tiles, draw_overview, draw_subset, predict_tiles

__all__ = ["DemoData", "run_demo"]

NUM_PICTURE_TILES = 3


@dataclass(frozen=True)
class DemoData:
    """The synthetic dataset of a demo.

    Args:
        folder: below the demo's data root, as the dataset's registration expects it.
        write: writes the data below a path; False if exactly this data was there already.
        describe: one sentence for the report.
        write_scene: writes a scene of the same kind into a folder, as `write` does; None if there is none to be mapped.
    """

    folder: str
    write: Callable[[Path], bool]
    describe: str
    write_scene: Callable[[Path], bool] | None = None


def run_demo(
    config_file: str | os.PathLike,
    data: DemoData,
    output: str | os.PathLike,
    opts: Sequence[str] = (),
    minutes: float | None = None,
) -> Path:
    """Run the demo, or what is left of it: existing data and a finished training run of the same config are kept.

    The first iterations are timed, to choose the number of threads and, within `minutes`, of iterations.

    Args:
        config_file: a config under configs/demo.
        data: what to write to `<output>/data` and train on.
        output: gets data/, train/, evaluation/, pictures/, scene/, report.md and report.html.
        opts: KEY VALUE overrides of the config.
        minutes: a limit; on a machine too slow for it the training run is shortened. None trains as the config says.

    Returns:
        The path of the report.
    """
    begin = time.perf_counter()
    output = Path(output).resolve()
    # The datasets are registered below this root when the configuration is loaded.
    os.environ["DETECTRON2_DATASETS"] = str(output / "data")
    opts = ["OUTPUT_DIR", str(output / "train"), *opts]
    cfg = load_config(config_file, opts)
    stopwatch = Stopwatch(output / "timings.json")

    print(f"[1/5] Data: {data.describe}", flush=True)
    start = time.perf_counter()
    if data.write(output / "data" / data.folder):
        stopwatch.note("data", time.perf_counter() - start)
        forget_training(cfg.OUTPUT_DIR)
    else:
        print("      already there, kept.", flush=True)

    plan = make_plan(cfg, output / "plan.json", minutes, time.perf_counter() - begin)
    if plan.iterations < cfg.SOLVER.MAX_ITER:
        cfg = load_config(config_file, [*opts, *shorten(cfg, plan.iterations)])
    print(f"[2/5] Training: {cfg.SOLVER.MAX_ITER} iterations of {cfg.SOLVER.IMS_PER_BATCH} tiles; {plan.reason}", flush=True)
    with using_threads(plan.threads):
        return _train_and_show(cfg, config_file, data, output, stopwatch, plan)


def _train_and_show(
    cfg: CfgNode, config_file: str | os.PathLike, data: DemoData, output: Path, stopwatch: Stopwatch, plan: Plan
) -> Path:
    """All that follows the plan."""
    model = train_or_load(cfg, config_file, stopwatch)
    names = ModalitySet.from_config(cfg)
    print(f"[3/5] Evaluation on all {len(names.subsets())} subsets of {', '.join(names.names)}", flush=True)
    dataset = cfg.DATASETS.TEST[0]
    scores = str(output / "evaluation")
    with tempfile.TemporaryDirectory() as folder:  # scored anew each time, so that no scores of another model are kept
        record = SweepRecord(folder)
        rows = stopwatch.run("evaluation", lambda: sweep_subsets(cfg, model, dataset, output_dir=scores, record=record))
        print("[4/5] Pictures", flush=True)
        stopwatch.run("pictures", lambda: _draw(cfg, model, rows, output / "pictures"))
        page = output / "report.html"
        stopwatch.run("page", lambda: write_demo_page(page, cfg, model, rows, record))
    section = _scene(cfg, model, data, output, stopwatch)
    report = output / "report.md"
    blind, trivial = trivial_results(dataset)
    table = subset_table([*rows, {"modalities": [], "results": trivial}], names.names)
    table += f"\n\nThe last row looks at no sensor: {blind}."
    write_text(report, _report(cfg, model, data, rows, table, section, stopwatch.seconds, plan))
    print(f"\n{table}\n\nReport: {report}\nPage:   {page}", flush=True)
    return report


def _scene(cfg: CfgNode, model: nn.Module, data: DemoData, output: Path, stopwatch: Stopwatch) -> str:
    """Map the scene, if there is one; the report's section on it."""
    if data.write_scene is None:
        print("[5/5] Report", flush=True)
        return ""
    print("[5/5] Map of a scene, and report", flush=True)
    folder, write = output / "data" / "scene", data.write_scene
    if not stopwatch.run("scene data", lambda: write(folder)):
        print("      the scene is already there, kept.", flush=True)
    maps = stopwatch.run("scene maps", lambda: map_demo_scene(cfg, model, folder, output / "scene"))
    return describe_maps(maps, ModalitySet.from_config(cfg).names, output)


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
        draw_subset(
            folder / f"{subset_label(subset)}.png",
            by_subset[subset],
            modalities,
            subset,
            f"{subset_title(subset)}   ({captions[subset]} on the validation tiles)",
        )
    draw_overview(
        folder / "overview.png", by_subset, modalities, captions, "The same model with every subset of its sensors"
    )


def _report(
    cfg: CfgNode,
    model: nn.Module,
    data: DemoData,
    rows: list[dict],
    table: str,
    section: str,
    seconds: dict[str, float],
    plan: Plan,
) -> str:
    """The Markdown of report.md; `section` is that of the scene."""
    names = ModalitySet.from_config(cfg).names
    parameters = sum(p.numel() for p in model.parameters()) / 1e6
    phases = [[phase, f"{value:.0f}"] for phase, value in seconds.items()]
    pictures = [
        f"### {subset_title(row['modalities'])}\n\n"
        f"![{subset_label(row['modalities'])}](pictures/{subset_label(row['modalities'])}.png)"
        for row in rows
    ]
    return "\n".join(
        [
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
            "[report.html](report.html) is a page to switch the sensors on and off.",
            "",
            "![all subsets](pictures/overview.png)",
            "",
            *([section, ""] if section else []),
            "## How it was made",
            "",
            f"- Command: `{this_command()}`",
            f"- Model: {parameters:.1f} M parameters, patches of {cfg.MODEL.IMRSF.PATCH_SIZE} px, "
            f"{cfg.MODEL.IMRSF.DEPTH} blocks of width {cfg.MODEL.IMRSF.EMBED_DIM}",
            f"- Training: {cfg.SOLVER.MAX_ITER} iterations of {cfg.SOLVER.IMS_PER_BATCH} tiles from random weights, "
            f"seed {cfg.SEED}; the full configuration is train/config.yaml",
            f"- Pace: {plan.reason}",
            f"- Machine: {describe_machine()}; device {cfg.MODEL.DEVICE}",
            f"- Versions: {describe_versions()}",
            "",
            markdown_table(["phase", "seconds"], [*phases, ["total", f"{sum(seconds.values()):.0f}"]], centered=1),
            "",
            "A phase that was kept from an earlier run shows the time it took then.",
            "",
            "## Pictures",
            "",
            "\n\n".join(pictures),
            "",
        ]
    )
