"""What tools/evaluate_modalities.py does: every subset of a model's sensors, a report, charts, importance maps."""

from __future__ import annotations

import argparse
import logging
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.modeling import build_model
from detectron2.utils import comm
from torch import nn

from imrsf_d2.compat.machine import describe_machine, describe_versions
from imrsf_d2.data.loaders import read_test_samples
from imrsf_d2.engine.agreement import check_same_weights
from imrsf_d2.engine.checkpointer import Checkpointer
from imrsf_d2.engine.configuration import load_config, setup_run
from imrsf_d2.engine.launching import launch_run
from imrsf_d2.engine.running import check_predicts, check_run
from imrsf_d2.engine.torchrun import all_processes, is_first_process
from imrsf_d2.evaluation.bootstrap import LEVEL
from imrsf_d2.evaluation.coverage import Coverage
from imrsf_d2.evaluation.importance import check_importance, importance_maps, write_importance
from imrsf_d2.evaluation.modality_report import class_scores, sweep_csv, sweep_json, sweep_markdown
from imrsf_d2.evaluation.record import SweepRecord, sweep_identity
from imrsf_d2.evaluation.report import main_score
from imrsf_d2.evaluation.summary import Estimate, Summary, summarize
from imrsf_d2.evaluation.sweep import RESULTS_FILE, sweep_subsets
from imrsf_d2.modalities import ModalitySet, subset_title
from imrsf_d2.utils.atomic import write_text
from imrsf_d2.utils.errors import InputError, MissingFileError
from imrsf_d2.visualization import choose_tiles
from imrsf_d2.visualization.charts import draw_bars, draw_heat_map
from imrsf_d2.visualization.importance import draw_importance

__all__ = ["evaluate_modalities", "read_subsets"]

logger = logging.getLogger(__name__)

REPORT, SHEET = "modalities.md", "modalities.csv"
IMPORTANCE = "importance"


def evaluate_modalities(args: argparse.Namespace) -> Path:
    """Evaluate a model with subsets of its modalities, or with those of them that an interrupted call left over.

    Args:
        args: config_file, opts (KEY VALUE changes), output (folder), subsets (text as for `read_subsets`, or None for
            all), subsets_per_pass, num_gpus (on the CPU, processes; None for one, or those of torchrun), resamples and
            seed (of the bootstrap), importance (whether to write maps) and importance_images (of how many images).

    Returns:
        The path of the report, which the first process writes.

    Raises:
        ValueError, OSError: on what `load_config`, `setup_run`, `Checkpointer.load`, `SweepRecord.claim` and the
            readers of datasets refuse; and if an argument is out of range, there are no weights or labels, or
            importance maps are asked for of a model without Bi-LSTM attention.
    """
    processes = all_processes(args.num_gpus)
    for option, least in (("resamples", 0), ("seed", 0), ("subsets_per_pass", 0), ("importance_images", 1)):
        if getattr(args, option) < least:
            raise InputError(f"--{option.replace('_', '-')} is {getattr(args, option)}, expected {least} or more.")
    # The log and the config are written beside the scores, not into the folder of the training.
    opts = [*args.opts, "OUTPUT_DIR", args.output]
    cfg = load_config(args.config_file, opts)
    check_predicts(cfg)
    subsets = read_subsets(args.subsets, ModalitySet.from_config(cfg))
    dataset = _dataset(cfg)
    _check_weights(cfg)
    if args.importance and not cfg.MODEL.IMRSF.BILSTM:
        raise InputError("--importance shows the weights of the Bi-LSTM attention, but MODEL.IMRSF.BILSTM is False.")
    samples = read_test_samples(cfg, dataset)
    coverage = Coverage.of_samples(dataset, samples, ModalitySet.from_config(cfg))
    subsets = coverage.choose(subsets, "--subsets")
    record = SweepRecord(args.output)
    if is_first_process():
        record.claim(sweep_identity(cfg, dataset, samples))
    if args.importance or any(record.row(subset) is None for subset in subsets):
        launch_run(
            argparse.Namespace(
                config_file=args.config_file,
                opts=opts,
                num_gpus=args.num_gpus,
                num_machines=1,
                machine_rank=0,
                dist_url="auto",
                eval_only=True,
                subsets=subsets,
                subsets_per_pass=args.subsets_per_pass,
                importance_images=args.importance_images if args.importance else 0,
            ),
            _evaluate,
        )
    if not is_first_process():
        return record.folder / REPORT
    return _write_report(cfg, coverage, record, subsets, args, processes)


def read_subsets(text: str | None, modalities: ModalitySet) -> list[tuple[str, ...]] | None:
    """Read a choice of subsets.

    Args:
        text: e.g. "rgb+dsm,sar"; None, which is returned as it is, for all of the sensors that the dataset has.

    Raises:
        ValueError: if a subset is empty, named twice, or names an unknown modality or one twice.
    """
    if text is None:
        return None
    subsets = []
    for part in text.split(","):
        if not part.strip():
            raise InputError(
                f"--subsets is {text!r}, which has an empty subset, expected modalities joined by + and "
                f"subsets by commas, e.g. {'+'.join(modalities.names)},{modalities.names[0]}."
            )
        subset = modalities.check_subset((name.strip() for name in part.split("+")), "--subsets")
        if subset in subsets:
            raise InputError(f"--subsets names {'+'.join(subset)} twice.")
        subsets.append(subset)
    return subsets


def _dataset(cfg: CfgNode) -> str:
    """The one dataset to evaluate on."""
    names = list(cfg.DATASETS.TEST)
    if len(names) != 1:
        raise InputError(
            f"DATASETS.TEST names {len(names)} datasets {names}, expected one: append DATASETS.TEST \"('name',)\"."
        )
    check_run(cfg, eval_only=True)
    return names[0]


def _check_weights(cfg: CfgNode) -> None:
    path = cfg.MODEL.WEIGHTS
    if not path:
        raise InputError(
            "MODEL.WEIGHTS is empty, which would score random weights: append MODEL.WEIGHTS path/to/model_final.pth."
        )
    if "://" not in path and not os.path.isfile(path):
        raise MissingFileError(f"no checkpoint {path!r}. It is named by MODEL.WEIGHTS.")


def _evaluate(args: argparse.Namespace) -> None:
    """What each process does."""
    cfg = load_config(args.config_file, args.opts)
    setup_run(cfg, args)
    model = build_model(cfg)
    if args.importance_images:
        check_importance(model)
    Checkpointer(model, require_all=True).load(cfg.MODEL.WEIGHTS)
    check_same_weights(model, f"MODEL.WEIGHTS ({cfg.MODEL.WEIGHTS})")
    (dataset,) = cfg.DATASETS.TEST
    sweep_subsets(
        cfg,
        model,
        dataset,
        args.subsets,
        cfg.OUTPUT_DIR,
        record=SweepRecord(cfg.OUTPUT_DIR),
        subsets_per_pass=args.subsets_per_pass,
    )
    if args.importance_images and comm.is_main_process():
        _write_importance(cfg, model, dataset, args.importance_images)


def _write_importance(cfg: CfgNode, model: nn.Module, dataset: str, number: int) -> None:
    folder = Path(cfg.OUTPUT_DIR) / IMPORTANCE
    samples = read_test_samples(cfg, dataset)
    chosen = [samples[position] for position in choose_tiles(samples, number)]
    for done, item in enumerate(importance_maps(cfg, model, chosen), start=1):
        write_importance(folder, item)
        draw_importance(folder / f"{item.name}.png", item, ModalitySet.from_config(cfg))
        logger.info("Importance maps: %d of %d images.", done, len(chosen))


def _write_report(
    cfg: CfgNode,
    coverage: Coverage,
    record: SweepRecord,
    subsets: Sequence[tuple[str, ...]],
    args: argparse.Namespace,
    processes: int,
) -> Path:
    coverage = coverage.with_data({name: ids for subset in subsets for name, ids in record.sensors(subset).items()})
    names, dataset = coverage.existing, coverage.dataset
    # Of a sensor without a single valid pixel in all of its files, no row could differ from one without it.
    subsets = [subset for subset in subsets if set(subset) <= set(names)]
    if not subsets:
        raise InputError(
            f"no tile of {dataset!r} has a valid pixel of the sensors to evaluate "
            f"({', '.join(coverage.empty)}): there is nothing to report."
        )
    rows = [record.row(subset) for subset in subsets]
    images = {subset: record.images(subset) for subset in subsets}
    logger.info("Bootstrap: %d resamples of %d subsets.", args.resamples, len(subsets))
    summary = summarize(
        names, rows, images, MetadataCatalog.get(dataset).get("stuff_classes", ()), args.resamples, args.seed, coverage
    )
    folder = record.folder
    pictures = _draw_charts(folder, rows, summary, f"{summary.metric} on {dataset}")
    if args.importance:
        pictures |= {path.stem: f"{IMPORTANCE}/{path.name}" for path in sorted((folder / IMPORTANCE).glob("*.png"))}
    made_with = [
        f"Command: `python {shlex.join([os.path.relpath(sys.argv[0]), *sys.argv[1:]])}`",
        f"Weights: {cfg.MODEL.WEIGHTS}",
        f"Data: {dataset}, {summary.num_images} images",
        f"Machine: {describe_machine()}; device {cfg.MODEL.DEVICE}, {processes} "
        f"process{'es' * (processes != 1)}; {sum(row['seconds'] for row in rows):.0f} s for the subsets",
        f"Versions: {describe_versions()}",
        f"Every score: [{RESULTS_FILE}]({RESULTS_FILE}) and [{SHEET}]({SHEET}), there in percent",
    ]
    write_text(folder / RESULTS_FILE, sweep_json(dataset, cfg.MODEL.WEIGHTS, rows, summary))
    write_text(folder / SHEET, sweep_csv(rows, names, summary.covered))
    write_text(folder / REPORT, sweep_markdown(rows, summary, pictures, made_with))
    return folder / REPORT


def _draw_charts(folder: Path, rows: Sequence[Mapping], summary: Summary, heading: str) -> dict[str, str]:
    """Title -> file name of each chart; where there is none, the title says why and the file name is empty."""
    pictures, whiskers = {}, f" (whiskers: {LEVEL:.0%} intervals over images)" if summary.resamples else ""
    number = summary.num_images
    titles = {subset: subset_title(subset) for subset in summary.scores}
    tiles = summary.covered.images
    labels = [
        title if tiles[subset] == number else f"{title}\nin {tiles[subset]} of {number} tiles"
        for subset, title in titles.items()
    ]
    partial = {
        place: _fraction(summary.covered.scores[subset]) for place, subset in enumerate(titles) if tiles[subset] < number
    }
    blind = summary.blind, main_score(summary.blind_results)[2] / 100
    draw_bars(
        folder / "subsets.png",
        labels,
        [_fraction(score) for score in summary.scores.values()],
        heading,
        summary.metric + whiskers,
        blind,
        partial,
        ("all tiles", "tiles that have any of the sensors"),
    )
    pictures[heading] = "subsets.png"
    if summary.losses:
        title = f"{heading}: loss when one sensor is missing"
        if summary.complete_images < number:
            title += f"\non the {summary.complete_images} of {number} tiles that have all"
        draw_bars(
            folder / "losses.png",
            [f"without {name.upper()}" for name in summary.losses],
            [_fraction(loss) for loss in summary.losses.values()],
            title,
            f"{summary.metric} lost{whiskers}",
        )
        pictures["What is lost when one sensor is missing"] = "losses.png"
    elif not summary.complete_images:
        pictures["No chart of losses: no tile has every sensor."] = ""
    else:
        pictures["No chart of losses: that needs the complete input, and the ones that lack one sensor."] = ""
    metric, by_class = class_scores(rows)
    if by_class:
        values = np.array(list(by_class.values()), dtype=float) / 100
        draw_heat_map(folder / "classes.png", list(by_class), list(titles.values()), values, f"{metric} of each class")
        pictures[f"{metric} of each class"] = "classes.png"
    else:
        pictures["No chart by class: the dataset has one class."] = ""
    return pictures


def _fraction(percent: Estimate) -> Estimate:
    return Estimate(*(value / 100 for value in (percent.value, percent.low, percent.high)))
