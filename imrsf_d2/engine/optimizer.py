"""The optimizer (learning rate and weight decay of each parameter, gradient clipping over the whole model) and its schedule."""

from __future__ import annotations

import logging

import torch
from detectron2.config import CfgNode
from detectron2.solver import LRScheduler, build_lr_scheduler
from detectron2.solver.build import maybe_add_gradient_clipping
from torch import nn

from imrsf_d2.engine.encoder_place import encoder_name
from imrsf_d2.modeling.vit import MAP_MODULES
from imrsf_d2.utils.errors import InputError

__all__ = ["build_optimizer", "build_scheduler", "parameter_groups"]

logger = logging.getLogger(__name__)

_NORMS = (nn.LayerNorm, nn.GroupNorm, nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm)
#: In the names of learned inputs: tokens, embeddings, and Swin's `relative_position_bias_table`.
_INPUTS = ("token", "embed", "position")
_OPTIMIZERS = {"ADAMW": torch.optim.AdamW, "SGD": torch.optim.SGD}


def parameter_groups(
    model: nn.Module,
    *,
    base_lr: float,
    weight_decay: float,
    weight_decay_norm: float | None = None,
    weight_decay_embed: float | None = None,
    weight_decay_bias: float | None = None,
    backbone_multiplier: float = 1.0,
) -> list[dict]:
    """Sort the trainable parameters by learning rate and weight decay.

    Args:
        base_lr: learning rate of everything outside the encoder.
        weight_decay: of everything the next three do not cover.
        weight_decay_norm: scales and shifts of normalization layers (None: `weight_decay`).
        weight_decay_embed: embedding tables and learned tokens, which are inputs rather than weights (None: as above).
        weight_decay_bias: biases of other layers (None: as above).
        backbone_multiplier: factor on `base_lr` for parameters of the encoder (of all of `model.backbone`, if that is not ours), but
            for those of its `pyramid` and `detail`: a pre-trained encoder comes without the layers that make maps, which start as
            random as an FPN above it and the heads, and need their learning rate.

    Returns:
        One group per distinct (lr, weight decay), in order of first appearance; every parameter in exactly one.
    """
    encoder = f"{encoder_name(model)}."
    maps = tuple(f"{encoder}{name}." for name in MAP_MODULES)
    groups: dict[tuple[float, float], dict] = {}
    seen: set[int] = set()  # a shared parameter belongs to the first module that holds it
    for module_name, module in model.named_modules():
        for leaf, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad or id(parameter) in seen:
                continue
            seen.add(id(parameter))
            name = f"{module_name}.{leaf}".lstrip(".")
            decay = None
            if isinstance(module, _NORMS):
                decay = weight_decay_norm
            elif isinstance(module, nn.Embedding) or any(word in leaf for word in _INPUTS):
                decay = weight_decay_embed
            elif "bias" in leaf:
                decay = weight_decay_bias
            decay = weight_decay if decay is None else decay
            pretrained = name.startswith(encoder) and not name.startswith(maps)
            lr = base_lr * backbone_multiplier if pretrained else base_lr
            groups.setdefault((lr, decay), {"params": [], "lr": lr, "weight_decay": decay})["params"].append(parameter)
    return list(groups.values())


def build_optimizer(cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
    """AdamW (or SGD) over `parameter_groups`, clipping gradients as `SOLVER.CLIP_GRADIENTS` says.

    `CLIP_TYPE: full_model` scales all gradients together so that their joint norm is at most CLIP_VALUE; Detectron2's
    own types treat each parameter by itself.

    Raises:
        ValueError: if `SOLVER.OPTIMIZER` is neither ADAMW nor SGD, or no parameter is trainable.
    """
    solver = cfg.SOLVER
    if solver.OPTIMIZER not in _OPTIMIZERS:
        raise InputError(f"SOLVER.OPTIMIZER is {solver.OPTIMIZER!r}, expected one of {sorted(_OPTIMIZERS)}.")
    groups = parameter_groups(
        model,
        base_lr=solver.BASE_LR,
        weight_decay=solver.WEIGHT_DECAY,
        weight_decay_norm=solver.WEIGHT_DECAY_NORM,
        weight_decay_embed=solver.WEIGHT_DECAY_EMBED,
        weight_decay_bias=solver.WEIGHT_DECAY_BIAS,
        backbone_multiplier=solver.BACKBONE_MULTIPLIER,
    )
    if not groups:
        raise InputError("the model has no trainable parameter: every one of them is frozen.")
    for group in groups:
        logger.debug(
            "%9d parameters: lr %.3g, weight decay %.3g",
            sum(p.numel() for p in group["params"]),
            group["lr"],
            group["weight_decay"],
        )
    frozen = sum(parameter.numel() for parameter in model.parameters() if not parameter.requires_grad)
    if frozen:
        logger.debug("%9d parameters: frozen", frozen)
    extra = {"momentum": solver.MOMENTUM, "nesterov": solver.NESTEROV} if solver.OPTIMIZER == "SGD" else {}
    optimizer = _OPTIMIZERS[solver.OPTIMIZER](groups, lr=solver.BASE_LR, **extra)

    clip = solver.CLIP_GRADIENTS
    if clip.ENABLED and clip.CLIP_TYPE == "full_model":
        if clip.CLIP_VALUE > 0:
            _clip_before_step(optimizer, clip.CLIP_VALUE, clip.NORM_TYPE)
        return optimizer
    return maybe_add_gradient_clipping(cfg, optimizer)


def build_scheduler(cfg: CfgNode, optimizer: torch.optim.Optimizer) -> LRScheduler:
    """Detectron2's schedule of the learning rate, without the `SOLVER.STEPS` that no iteration follows.

    Detectron2 leaves out those above SOLVER.MAX_ITER, but fails on one that equals it.
    """
    solver = cfg.SOLVER
    steps = tuple(step for step in solver.STEPS if step < solver.MAX_ITER)
    late = [str(step) for step in solver.STEPS if step >= solver.MAX_ITER]
    if solver.LR_SCHEDULER_NAME == "WarmupMultiStepLR" and late:
        logger.warning(
            "SOLVER.STEPS has %s, not below SOLVER.MAX_ITER %d: the learning rate will not fall there.",
            ", ".join(late),
            solver.MAX_ITER,
        )
        cfg = cfg.clone()
        cfg.defrost()
        cfg.SOLVER.STEPS = steps
    return build_lr_scheduler(cfg, optimizer)


def _clip_before_step(optimizer: torch.optim.Optimizer, max_norm: float, norm_type: float) -> None:
    """Clip inside `step`, so that mixed precision has already unscaled the gradients."""

    def clip(opt, args, kwargs) -> None:
        torch.nn.utils.clip_grad_norm_([p for group in opt.param_groups for p in group["params"]], max_norm, norm_type)

    optimizer.register_step_pre_hook(clip)
