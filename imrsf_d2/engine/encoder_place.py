"""Where our encoder lies in a model: it is the backbone itself, or below the backbone's feature pyramid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from imrsf_d2.modeling.encoder import IncompleteMultimodalEncoder

__all__ = ["at_encoder", "encoder_name", "tell_views"]

#: A parameter that every encoder has, and nothing else.
_MARK = ".fusion_tokens"
#: What DistributedDataParallel puts before the names of a model.
_PARALLEL = "module."


def encoder_name(model: nn.Module) -> str:
    """The name of a model's encoder, such as "backbone" or "backbone.bottom_up"; "backbone" if it has none of ours."""
    names = (name for name, part in model.named_modules() if isinstance(part, IncompleteMultimodalEncoder))
    return next(names, "backbone")


def tell_views(model: nn.Module, views: Sequence[str]) -> None:
    """Tell a model's encoder, if it is ours, that training batches hold views of the same images whose streams it may share.

    Args:
        views: see INPUT.MODALITY_DROPOUT.VIEWS; streams can be shared if the first is complete.
    """
    encoder = dict(model.named_modules()).get(encoder_name(model))
    if isinstance(encoder, IncompleteMultimodalEncoder):
        encoder.views = len(views) if views[0] == "complete" else 1


def at_encoder(weights: dict[str, Any], model: nn.Module) -> dict[str, Any]:
    """Weights with those of an encoder under the name that it has in a model.

    So a pre-training run, a converted checkpoint or a Mask2Former gives its encoder to a Mask R-CNN, and the other way round.

    Args:
        weights: of a whole model, by name.
        model: to be given them.
    """
    here = encoder_name(model)
    there = next((name.removesuffix(_MARK) for name in weights if name.endswith(_MARK)), here)
    if there.startswith(_PARALLEL):  # of all names, which Detectron2 removes
        here = f"{_PARALLEL}{here}"
    if there == here:
        return weights
    moved: Any = type(weights)()
    for name, value in weights.items():
        moved[f"{here}{name.removeprefix(there)}" if name.startswith(f"{there}.") else name] = value
    if hasattr(weights, "_metadata"):
        moved._metadata = weights._metadata  # versions of PyTorch's modules
    return moved
