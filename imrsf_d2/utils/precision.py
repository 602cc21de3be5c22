"""The config's mixed precision, the same in training and evaluation."""

from __future__ import annotations

import torch
from detectron2.config import CfgNode

from imrsf_d2.utils.errors import InputError

__all__ = ["DTYPES", "autocast", "check_precision", "grad_scaler"]

#: The values of SOLVER.AMP.PRECISION.
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def autocast(cfg: CfgNode) -> torch.autocast:
    """A context in which the model computes as `SOLVER.AMP` says; weights, gradients and optimizer stay float32."""
    amp = cfg.SOLVER.AMP
    return torch.autocast(_device_type(cfg), dtype=DTYPES[amp.PRECISION], enabled=amp.ENABLED)


def grad_scaler(cfg: CfgNode) -> torch.amp.GradScaler | None:
    """Keeps the gradients of fp16 from vanishing; bf16, whose exponents reach as far as float32's, needs none."""
    amp = cfg.SOLVER.AMP
    return torch.amp.GradScaler(_device_type(cfg)) if amp.ENABLED and amp.PRECISION == "fp16" else None


def check_precision(cfg: CfgNode) -> None:
    """Check that this machine supports the config's precision.

    Raises:
        ValueError: if it does not; the message says what to set instead.
    """
    amp, device = cfg.SOLVER.AMP, _device_type(cfg)
    if not amp.ENABLED:
        return
    if amp.PRECISION == "fp16" and device == "cpu":
        raise InputError(
            "SOLVER.AMP.PRECISION is 'fp16' and MODEL.DEVICE 'cpu', where it would gain nothing over bf16 and lose range; "
            "append SOLVER.AMP.PRECISION bf16, or SOLVER.AMP.ENABLED False for float32."
        )
    # PyTorch reports support on older GPUs too, where it computes in float32 and rounds.
    if amp.PRECISION == "bf16" and device == "cuda" and torch.cuda.get_device_capability() < (8, 0):
        raise InputError(
            f"SOLVER.AMP.PRECISION is 'bf16', which {torch.cuda.get_device_name()} does not support; "
            "append SOLVER.AMP.PRECISION fp16."
        )


def _device_type(cfg: CfgNode) -> str:
    return torch.device(cfg.MODEL.DEVICE).type
