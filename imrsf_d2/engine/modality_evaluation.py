"""The command of the sweep: checks, evaluation in one or more processes, report."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.utils import comm

from imrsf_d2.checkpoint.files import neighbors
from imrsf_d2.data.loaders import read_test_samples
from imrsf_d2.engine.agreement import check_same, check_same_weights
from imrsf_d2.engine.checkpointer import Checkpointer
from imrsf_d2.engine.configuration import load_config, setup_run
from imrsf_d2.engine.descriptions import describe_classes
from imrsf_d2.engine.launching import launch_run
from imrsf_d2.engine.machines import check_machines
from imrsf_d2.engine.modality_files import PAGE, write_importance_maps, write_sweep
from imrsf_d2.engine.running import check_predicts, check_run
from imrsf_d2.engine.torchrun import all_processes, is_first_process
from imrsf_d2.engine.trainer import Trainer
from imrsf_d2.evaluation.coverage import Coverage
from imrsf_d2.evaluation.record import SweepRecord, sweep_identity
from imrsf_d2.evaluation.summary import summarize
from imrsf_d2.evaluation.sweep import sweep_subsets
from imrsf_d2.evaluation.sweep_report import same_scores, score_table
from imrsf_d2.modalities import ModalitySet
from imrsf_d2.modeling.gather import check_weighing
from imrsf_d2.utils.errors import InputError, MissingFileError
from imrsf_d2.utils.listening import weighing_encoder
from imrsf_d2.utils.locks import sole_user
from imrsf_d2.visualization.pages.tiles import keep_tiles, kept_tiles, no_tiles

__all__ = ["SweepOutput", "evaluate_modalities", "read_subsets"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SweepOutput:
    """What a sweep came to.

    Args:
        report: path of the report.
        page: path of the page.
        table: the scores of all subsets, as Markdown.
    """

    report: Path
    page: Path
    table: str


def evaluate_modalities(args: argparse.Namespace) -> SweepOutput | None:
    """Evaluate a model with subsets of its modalities; subsets that an interrupted run finished are kept.

    Args:
        args: config_file, opts (KEY VALUE overrides), output (folder), subsets (text as for `read_subsets`, or None for
            all), subsets_per_pass, num_gpus (on the CPU, processes; None for one, or those of torchrun), num_machines,
            machine_rank, dist_url (where those of several machines meet), machine_timeout (s), resamples and seed (of the
            bootstrap), tiles (how many the page shows), importance (whether to write maps) and importance_images (of how
            many images).

    Returns:
        The report, which the first process writes, and its first table; None in the other processes.

    Raises:
        ValueError, OSError: see `load_config`, `setup_run`, `Checkpointer.load`, `SweepRecord.claim` and the readers of
            datasets; also if an argument is out of range, there are no weights or no labels, or importance maps are
            requested of a model without Bi-LSTM attention.
    """
    processes = all_processes(args.num_gpus, args.num_machines)
    check_machines(args)
    first = is_first_process(args.machine_rank)
    for option, least in (("resamples", 0), ("seed", 0), ("subsets_per_pass", 0), ("tiles", 0), ("importance_images", 1)):
        if getattr(args, option) < least:
            raise InputError(f"--{option.replace('_', '-')} is {getattr(args, option)}, expected {least} or more.")
    # The log and the config are written to the folder of the scores, not to that of the training run.
    opts = [*args.opts, "OUTPUT_DIR", args.output]
    cfg = load_config(args.config_file, opts)
    check_predicts(cfg)
    wanted = read_subsets(args.subsets, ModalitySet.from_config(cfg))
    dataset = _dataset(cfg)
    _check_weights(cfg)
    if args.importance:
        check_weighing(cfg.MODEL.IMRSF.GATHER)
    samples = read_test_samples(cfg, dataset)
    coverage = Coverage.of_samples(dataset, samples, ModalitySet.from_config(cfg))
    subsets = coverage.choose(wanted, "--subsets")
    record = SweepRecord(args.output)
    # Another sweep could claim the folder before a subset is finished, and would take the scores of this one for its own.
    with sole_user(Path(args.output)) if first else contextlib.nullcontext():
        if first:
            record.claim(sweep_identity(cfg, dataset, samples))
        # Those of an interrupted run, or of one that an older version finished, may be missing.
        tiles_missing = args.tiles > 0 and kept_tiles(args.output, subsets, args.tiles) is None
        if args.importance or tiles_missing or not all(record.has(subset) for subset in subsets):
            launch_run(
                argparse.Namespace(
                    config_file=args.config_file,
                    opts=opts,
                    num_gpus=args.num_gpus,
                    num_machines=args.num_machines,
                    machine_rank=args.machine_rank,
                    dist_url=args.dist_url,
                    machine_timeout=args.machine_timeout,
                    eval_only=True,
                    subsets=subsets,
                    subsets_per_pass=args.subsets_per_pass,
                    importance_images=args.importance_images if args.importance else 0,
                    tiles=args.tiles if tiles_missing else 0,
                ),
                _evaluate,
            )
        return _finish(cfg, coverage, record, subsets, args, processes) if first else None


def read_subsets(text: str | None, modalities: ModalitySet) -> list[tuple[str, ...]] | None:
    """Parse the subsets to evaluate.

    Args:
        text: e.g. "rgb+dsm,sar"; None for all, which is returned as None.
        modalities: those that may be named.

    Returns:
        The names of each subset, in the order of `modalities`.

    Raises:
        ValueError: if a subset is empty or repeated, or names an unknown modality or the same one twice.
    """
    if text is None:
        return None
    subsets = []
    for part in text.split(","):
        if not part.strip():
            raise InputError(
                f"--subsets is {text!r}, which has an empty subset, expected modalities joined by + and subsets "
                f"separated by commas, e.g. {'+'.join(modalities.names)},{modalities.names[0]}."
            )
        subset = modalities.check_subset((name.strip() for name in part.split("+")), "--subsets")
        if subset in subsets:
            raise InputError(f"--subsets names {'+'.join(subset)} twice.")
        subsets.append(subset)
    return subsets


def _dataset(cfg: CfgNode) -> str:
    """The dataset to evaluate on, checked."""
    names = list(cfg.DATASETS.TEST)
    if len(names) != 1:
        raise InputError(
            f"DATASETS.TEST names {len(names)} datasets {names}, expected exactly one: append DATASETS.TEST \"('name',)\"."
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
        raise MissingFileError(
            f"MODEL.WEIGHTS is {path!r}, but there is no such file: append MODEL.WEIGHTS path/to/model_final.pth."
            f"{neighbors(path)}"
        )


def _evaluate(args: argparse.Namespace) -> None:
    """The work of each process."""
    cfg = load_config(args.config_file, args.opts)
    setup_run(cfg, args)
    model = Trainer.build_model(cfg)
    if args.importance_images:
        weighing_encoder(model)  # or an error, before a sweep of hours
    Checkpointer(model, require_all=True).load(cfg.MODEL.WEIGHTS)
    check_same_weights(model, f"MODEL.WEIGHTS ({cfg.MODEL.WEIGHTS})")
    record = SweepRecord(cfg.OUTPUT_DIR)
    check_same(
        "the number of subsets that are already finished",
        sum(record.has(subset) for subset in args.subsets),
        f"Each process reads them in --output ({os.path.abspath(cfg.OUTPUT_DIR)}): name a folder that all machines share.",
    )
    (dataset,) = cfg.DATASETS.TEST
    logger.info("Classes of %s: %s", dataset, describe_classes(dataset))
    sweep_subsets(cfg, model, dataset, args.subsets, cfg.OUTPUT_DIR, record=record, subsets_per_pass=args.subsets_per_pass)
    if args.tiles and comm.is_main_process():
        keep_tiles(cfg.OUTPUT_DIR, cfg, model, dataset, DatasetCatalog.get(dataset), args.subsets, args.tiles)
    if args.importance_images and comm.is_main_process():
        write_importance_maps(cfg.OUTPUT_DIR, cfg, model, dataset, args.importance_images)


def _finish(
    cfg: CfgNode,
    coverage: Coverage,
    record: SweepRecord,
    subsets: Sequence[tuple[str, ...]],
    args: argparse.Namespace,
    processes: int,
) -> SweepOutput:
    """Derive everything from the recorded subsets, and write it."""
    coverage = coverage.with_data({name: ids for subset in subsets for name, ids in record.sensors(subset).items()})
    names, dataset = coverage.existing, coverage.dataset
    # Without a single valid pixel in all of its files, a sensor adds nothing to any subset.
    subsets = [subset for subset in subsets if set(subset) <= set(names)]
    if not subsets:
        raise InputError(
            f"no tile of {dataset!r} has a valid pixel of the sensors to evaluate "
            f"({', '.join(coverage.empty)}): there is nothing to report."
        )
    rows = [record.row(subset) for subset in subsets]
    images = {subset: record.images(subset) for subset in subsets}
    logger.info("Bootstrap: %d resamples of %d subsets", args.resamples, len(subsets))
    summary = summarize(
        names, rows, images, MetadataCatalog.get(dataset).get("stuff_classes", ()), args.resamples, args.seed, coverage
    )
    if same := same_scores(rows, summary):
        logger.warning("%s", same.strip("*"))
    tiles = (kept_tiles(record.folder, subsets, args.tiles) if args.tiles else None) or no_tiles(summary.num_images)
    report = write_sweep(record.folder, cfg, dataset, rows, summary, images, tiles, processes, args.importance)
    return SweepOutput(report, record.folder / PAGE, score_table(rows, summary))
