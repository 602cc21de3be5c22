"""Reads a config from a YAML file and KEY VALUE pairs, and prepares a process for a run of it."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Sequence

import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.projects.deeplab import add_deeplab_config
from detectron2.utils import comm
from detectron2.utils.collect_env import collect_env_info
from detectron2.utils.env import seed_all_rng

from imrsf_d2.compat.upstream import verify_op
from imrsf_d2.config import PRETRAINING, add_imrsf_config, finalize_config
from imrsf_d2.data.heads import is_rcnn
from imrsf_d2.engine.agreement import check_same_config
from imrsf_d2.engine.config_files import find_config, read_config
from imrsf_d2.engine.config_values import like_declared, override_values
from imrsf_d2.engine.folder_datasets import adopt_datasets
from imrsf_d2.registration import register
from imrsf_d2.utils.atomic import write_text
from imrsf_d2.utils.console import log_to
from imrsf_d2.utils.errors import InputError
from imrsf_d2.utils.precision import check_precision

__all__ = ["CONFIG_FILE", "check_device", "default_config", "is_pretraining", "load_config", "setup_run"]

logger = logging.getLogger(__name__)

#: Where a run's resolved config is written, below its OUTPUT_DIR.
CONFIG_FILE = "config.yaml"


def default_config() -> CfgNode:
    """All keys with their defaults: Detectron2's, Mask2Former's and ours; everything of ours is registered."""
    register()
    from mask2former.config import add_maskformer2_config

    cfg = get_cfg()
    add_deeplab_config(cfg)
    add_maskformer2_config(cfg)
    add_imrsf_config(cfg)
    return cfg


def load_config(config_file: str | os.PathLike, opts: Sequence[str] = (), need_data: bool = True) -> CfgNode:
    """Read a config, and register the datasets that it names by their `dataset.yaml` (see `adopt_datasets`).

    Args:
        config_file: YAML file, whose `_BASE_` is read first, or the name of one of ours (see `find_config`); so may the
            `_BASE_` be.
        opts: alternating keys and values that override it, e.g. `["SOLVER.IMS_PER_BATCH", "2"]`.
        need_data: False if its datasets are not read, and so need not be there.

    Returns:
        The frozen config, with all derived keys filled in.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: on an unknown key, a value of the wrong type or out of range, or a contradiction between keys.
    """
    config_file = find_config(config_file)
    cfg = default_config()
    try:
        cfg.merge_from_other_cfg(CfgNode(like_declared(cfg, read_config(config_file))))
    except InputError:
        raise
    except (KeyError, AssertionError, ValueError) as error:
        raise InputError(f"{config_file}: {_message(error)}") from error
    if swallowed := [word for word in opts if word.startswith("--")]:
        raise InputError(f"{swallowed[0]} comes after KEY VALUE pairs, expected all options before them.")
    if len(opts) % 2:
        raise InputError(f"overrides come as KEY VALUE pairs, got {len(opts)} words: {' '.join(opts)!r}.")
    try:
        has_modalities = bool(cfg.MODEL.IMRSF.MODALITIES)
        overrides = override_values(cfg, opts)
        cfg.merge_from_list(overrides)
        adopt_datasets(cfg, overrides, has_modalities, need_data)
    except InputError:
        raise
    except (KeyError, AssertionError, ValueError) as error:
        raise InputError(f"KEY VALUE override: {_message(error)}") from error
    finalize_config(cfg)
    cfg.freeze()
    return cfg


def is_pretraining(cfg: CfgNode) -> bool:
    """Whether the config's model learns without labels, and so has neither a head nor a score."""
    return cfg.MODEL.META_ARCHITECTURE == PRETRAINING


def check_device(cfg: CfgNode) -> None:
    """Check that this machine has the config's device, and that it supports its precision.

    Raises:
        ValueError: if not; the message says what to set instead.
    """
    if cfg.MODEL.DEVICE.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(
            f"MODEL.DEVICE is {cfg.MODEL.DEVICE!r}, but torch {torch.__version__} finds no GPU here; "
            "append MODEL.DEVICE cpu to the command to run on the CPU."
        )
    check_precision(cfg)


def setup_run(cfg: CfgNode, args: argparse.Namespace) -> None:
    """Prepare this process for a run, as Detectron2's `default_setup` does: log, seed, output folder with the full config.

    Args:
        cfg: finished by `load_config`.
        args: the command line; logged. With its `eval_only`, CUDNN_BENCHMARK is ignored.

    Raises:
        ValueError: if the config asks for a GPU that this machine does not have, or a precision it cannot compute in, or
            is not that of the run's other processes; if nothing can be written to its OUTPUT_DIR.
        UpstreamError: if the compiled attention op fails on the config's device.
    """
    check_same_config(cfg)
    check_device(cfg)
    rank = comm.get_rank()
    try:
        log = log_to(cfg.OUTPUT_DIR, rank)
    except OSError as error:
        raise InputError(f"OUTPUT_DIR is {cfg.OUTPUT_DIR!r}, where nothing can be written: {error.strerror}.") from error
    logger.info("Log: %s (with the config, the model and all versions)", log)
    logger.debug("Rank of current process: %d. World size: %d", rank, comm.get_world_size())
    logger.debug("Environment:\n%s", _environment())
    logger.debug("Command line arguments: %s", args)
    logger.debug("Full config, also in %s:\n%s", CONFIG_FILE, cfg.dump())
    if comm.is_main_process():
        write_text(os.path.join(cfg.OUTPUT_DIR, CONFIG_FILE), cfg.dump())
    seed_all_rng(None if cfg.SEED < 0 else cfg.SEED + rank)
    if not getattr(args, "eval_only", False):  # choosing kernels takes longer than a small test set
        torch.backends.cudnn.benchmark = cfg.CUDNN_BENCHMARK
    op = ""
    has_decoder = not is_pretraining(cfg) and not is_rcnn(cfg)
    if has_decoder and cfg.MODEL.SEM_SEG_HEAD.PIXEL_DECODER_NAME == "MSDeformAttnPixelDecoder":
        op = f"; MSDeformAttn op: {verify_op(cfg.MODEL.DEVICE)}"
    logger.info("Device: %s%s", _device(cfg), op)


def _environment() -> str:
    """Detectron2's table of versions, without the line that torch prints where CUDA is installed and there is no GPU."""
    torch_logger = logging.getLogger("torch.utils.cpp_extension")
    level = torch_logger.level
    torch_logger.setLevel(logging.ERROR)
    try:
        return collect_env_info()
    finally:
        torch_logger.setLevel(level)


def _device(cfg: CfgNode) -> str:
    """E.g. "cuda, NVIDIA H100 80GB HBM3; 2 processes"."""
    device = torch.device(cfg.MODEL.DEVICE)
    threads = torch.get_num_threads()
    kind = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{threads} thread{'s' * (threads != 1)}"
    processes = f"; {comm.get_world_size()} processes" if comm.get_world_size() > 1 else ""
    return f"{cfg.MODEL.DEVICE}, {kind}{processes}"


def _message(error: Exception) -> str:
    # str(KeyError) is the repr of its message.
    return str(error.args[0]) if error.args else repr(error)
