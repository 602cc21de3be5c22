"""What tools/train_net.py does in each process, and how this and other tools start their processes."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
from collections.abc import Callable, Iterator

import torch
from detectron2.config import CfgNode
from detectron2.engine import launch
from detectron2.evaluation import verify_results
from detectron2.utils import comm
from torch.multiprocessing import ProcessRaisedException

from imrsf_d2.data.dataset_checks import check_datasets
from imrsf_d2.data.datasets import check_registered
from imrsf_d2.engine.checkpointer import RANDOM_ENCODER, Checkpointer
from imrsf_d2.engine.configuration import is_pretraining, load_config, setup_run
from imrsf_d2.engine.trainer import Trainer
from imrsf_d2.errors import InputError
from imrsf_d2.evaluation import build_evaluator
from imrsf_d2.parallel import usable_cores

__all__ = ["check_data_sets", "check_predicts", "check_start", "launch_run", "run"]

logger = logging.getLogger(__name__)

#: What other processes raise on bad input, which their messages explain without a traceback.
EXPECTED_ERRORS = ("ValueError", "FileNotFoundError", "RasterError", "SizeError", "UpstreamError")


def launch_run(args: argparse.Namespace, work: Callable[[argparse.Namespace], object] | None = None) -> None:
    """Start `work` in one process per GPU, or in this process if there is but one.

    Args:
        args: of Detectron2's `default_argument_parser`; with MODEL.DEVICE cpu, `num_gpus` is the number of processes
            that share the machine's cores.
        work: a function of a module's top level, which gets `args`; None for `run`.

    Raises:
        FileNotFoundError, ValueError: see `load_config`, `setup_run` and `Checkpointer.load`.
    """
    cfg = load_config(args.config_file, args.opts)  # a mistake in the config is reported once, before processes start
    processes, on_cpu = args.num_gpus, torch.device(cfg.MODEL.DEVICE).type == "cpu"
    most = usable_cores() if on_cpu else torch.cuda.device_count()
    if processes > max(1, most):
        what = "processors for MODEL.DEVICE cpu" if on_cpu else "GPUs"
        raise InputError(f"--num-gpus is {processes}, this machine has {most} {what}.")
    # Detectron2 joins the processes by NCCL, which knows no CPU tensors, wherever it sees a GPU.
    share = {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": str(most // processes)} if on_cpu and processes > 1 else {}
    with _environment(share):
        try:
            launch(_work_in_process, processes, num_machines=args.num_machines, machine_rank=args.machine_rank,
                   dist_url=args.dist_url, args=(work or run, args))
        except ProcessRaisedException as error:
            # Of another process' error nothing arrives but the text of its traceback: the last line says what it was.
            kind, _, message = str(error).strip().rpartition("\n")[2].partition(": ")
            if kind.rpartition(".")[2] in EXPECTED_ERRORS:
                raise InputError(message) from error
            raise


def _work_in_process(work: Callable[[argparse.Namespace], object], args: argparse.Namespace) -> None:
    """Do the work of one process, and leave the others in order."""
    work(args)
    if torch.distributed.is_initialized():
        # Detectron2 leaves the group to the end of the interpreter, where its threads, still running, abort the process.
        comm.synchronize()
        torch.distributed.destroy_process_group()


@contextlib.contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Set environment variables for the processes started meanwhile."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def check_data_sets(cfg: CfgNode, eval_only: bool) -> None:
    """See that a mistake in the data sets does not come up only after a training of days, or never.

    Raises:
        InputError: if a name is not registered, on what `check_datasets` refuses, and if the model does not give what
            predictions are compared with.
        MissingFileError: if files are missing.
    """
    check_registered([*cfg.DATASETS.TEST, *([] if eval_only else cfg.DATASETS.TRAIN)])
    check_datasets(cfg, training=not eval_only)
    if not eval_only and not is_pretraining(cfg):
        for name in cfg.DATASETS.TEST:  # whatever keeps the predictions from being scored comes up here
            build_evaluator(cfg, name)


def check_predicts(cfg: CfgNode) -> None:
    """See that a config's model predicts something that could be scored.

    Raises:
        ValueError: if it is a pre-training's.
    """
    if is_pretraining(cfg):
        raise InputError(f"there is nothing to score: MODEL.META_ARCHITECTURE is {cfg.MODEL.META_ARCHITECTURE!r}, which "
                         "makes no predictions, expected the config of a fine-tuning, e.g. one in configs/finetune.")


def check_start(cfg: CfgNode, resume: bool, eval_only: bool) -> None:
    """See that there are weights to start from where random ones would make no sense.

    Args:
        resume: continue from the last checkpoint of OUTPUT_DIR if there is one.

    Raises:
        ValueError: if an evaluation would score random weights or has nothing to score, or if a training would keep
            random ones as they are.
    """
    if eval_only:
        check_predicts(cfg)
    if cfg.MODEL.WEIGHTS or (resume and os.path.isfile(os.path.join(cfg.OUTPUT_DIR, "last_checkpoint"))):
        return
    if eval_only:
        raise InputError("--eval-only would score random weights: append MODEL.WEIGHTS path/to/model_final.pth, or add "
                         f"--resume to take the last checkpoint in OUTPUT_DIR ({cfg.OUTPUT_DIR}).")
    if cfg.MODEL.IMRSF.FREEZE:
        raise InputError(RANDOM_ENCODER)


def run(args: argparse.Namespace) -> dict:
    """Train, or with `--eval-only` evaluate, and log the results.

    Returns:
        The scores of the last evaluation: {task: {metric: value}}, or {data set: {task: ...}} for several test sets.

    Raises:
        ValueError: see `check_start`; and as `launch_run`.
    """
    cfg = load_config(args.config_file, args.opts)
    check_start(cfg, args.resume, args.eval_only)
    setup_run(cfg, args)

    check_data_sets(cfg, args.eval_only)

    if not args.eval_only:
        trainer = Trainer(cfg)
        trainer.resume_or_load(resume=args.resume)
        return trainer.train()

    model = Trainer.build_model(cfg)
    checkpointer = Checkpointer(model, cfg.OUTPUT_DIR, require_all=True)
    checkpointer.resume_or_load(cfg.MODEL.WEIGHTS, resume=args.resume)
    results = Trainer.test(cfg, model)
    if comm.is_main_process():
        verify_results(cfg, results)
    return results
