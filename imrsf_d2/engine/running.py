"""What tools/train_net.py does in each process."""

from __future__ import annotations

import argparse
import logging
import os

from detectron2.config import CfgNode
from detectron2.evaluation import verify_results
from detectron2.utils import comm

from imrsf_d2.data.dataset_checks import check_datasets
from imrsf_d2.data.datasets import check_registered
from imrsf_d2.engine.agreement import any_process, check_same_weights
from imrsf_d2.engine.checkpointer import LAST, RANDOM_ENCODER, Checkpointer
from imrsf_d2.engine.configuration import is_pretraining, load_config, setup_run
from imrsf_d2.engine.folder_datasets import check_measured
from imrsf_d2.engine.torchrun import may_be_restarted, was_restarted
from imrsf_d2.engine.trainer import Trainer
from imrsf_d2.evaluation import build_evaluator
from imrsf_d2.utils.errors import InputError
from imrsf_d2.utils.startup import STARTUP

__all__ = ["check_run", "check_predicts", "check_start", "run"]

logger = logging.getLogger(__name__)


def check_run(cfg: CfgNode, eval_only: bool) -> None:
    """Find mistakes in the datasets now, not after days of training or never.

    Raises:
        InputError: if a name is not registered, if scores are expected of no dataset, if sensors of a training run have no
            statistics, if `check_datasets` rejects a dataset, or if the model's predictions are not of the kind that the
            dataset's labels are.
        MissingFileError: if files are missing.
    """
    if not eval_only:
        check_measured(cfg)
    if cfg.TEST.EXPECTED_RESULTS and not cfg.DATASETS.TEST:
        raise InputError(
            f"TEST.EXPECTED_RESULTS is {cfg.TEST.EXPECTED_RESULTS}, but DATASETS.TEST is empty: there will be no scores to "
            'compare with it. Append TEST.EXPECTED_RESULTS "[]", or name a dataset.'
        )
    check_registered([*cfg.DATASETS.TEST, *([] if eval_only else cfg.DATASETS.TRAIN)])
    check_datasets(cfg, training=not eval_only)
    if not eval_only and not is_pretraining(cfg):
        for name in cfg.DATASETS.TEST:  # raises whatever would keep the predictions from being scored
            build_evaluator(cfg, name)


def check_predicts(cfg: CfgNode) -> None:
    """Check that a config's model makes predictions, which can be scored.

    Raises:
        ValueError: if the config is that of a pre-training run.
    """
    if is_pretraining(cfg):
        raise InputError(
            f"there is nothing to score: MODEL.META_ARCHITECTURE is {cfg.MODEL.META_ARCHITECTURE!r}, which "
            "makes no predictions, expected the config of a fine-tuning run, e.g. configs/finetune/dfc2023_instance_gc.yaml."
        )


def check_start(cfg: CfgNode, resume: bool, eval_only: bool) -> None:
    """Check that there are weights to start from, where random ones make no sense.

    Args:
        resume: continue from the last checkpoint of OUTPUT_DIR if there is one.

    Raises:
        ValueError: if an evaluation would score random weights or has nothing to score, or if a training run would
            freeze random ones.
    """
    if eval_only:
        check_predicts(cfg)
    if cfg.MODEL.WEIGHTS or (resume and os.path.isfile(os.path.join(cfg.OUTPUT_DIR, LAST))):
        return
    if eval_only:
        raise InputError(
            "--eval-only would score random weights: append MODEL.WEIGHTS path/to/model_final.pth, or add "
            f"--resume to take the last checkpoint in OUTPUT_DIR ({cfg.OUTPUT_DIR})."
        )
    if cfg.MODEL.IMRSF.FREEZE:
        raise InputError(RANDOM_ENCODER)


def run(args: argparse.Namespace) -> dict:
    """Train, or with `--eval-only` evaluate, and log the results.

    Where torchrun has started the processes again after a failure, training continues from the last checkpoint, as with
    `--resume`.

    Returns:
        The scores of the last evaluation: {task: {metric: value}}, or {dataset: {task: ...}} for several test sets.

    Raises:
        ValueError, FileNotFoundError: see `check_start`, `load_config`, `setup_run`, `Checkpointer.load` and
            `check_same_weights`.
        Interrupted: see `Trainer.train`.
    """
    cfg = load_config(args.config_file, args.opts)
    # A machine that has joined in place of a lost one has not restarted anything itself.
    resume = args.resume or (not args.eval_only and any_process(was_restarted()))
    check_start(cfg, resume, args.eval_only)
    setup_run(cfg, args)
    if resume and not args.resume:
        logger.info("Started again by torchrun: training continues from the last checkpoint.")
    STARTUP.mark("config and device")

    check_run(cfg, args.eval_only)
    STARTUP.mark("data")

    if not args.eval_only:
        trainer = Trainer(cfg, startup=STARTUP)
        trainer.resume_or_load(resume=resume)
        if may_be_restarted() and not resume:
            trainer.checkpointer.forget_last()  # else a restart would continue an earlier training run of this folder
        STARTUP.mark("weights")
        return trainer.train()

    model = Trainer.build_model(cfg)
    checkpointer = Checkpointer(model, cfg.OUTPUT_DIR, require_all=True)
    checkpointer.resume_or_load(cfg.MODEL.WEIGHTS, resume=args.resume)
    check_same_weights(model, f"MODEL.WEIGHTS ({cfg.MODEL.WEIGHTS}) or with --resume OUTPUT_DIR ({cfg.OUTPUT_DIR})")
    results = Trainer.test(cfg, model)
    if comm.is_main_process():
        verify_results(cfg, results)
    return results
