"""Which sensor a model listened to: beta of the Bi-LSTM attention (paper, III-B, eq. 3), from the pass that predicts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from imrsf_d2.utils.errors import InputError

__all__ = ["Listener", "weighing_encoder"]

Result = TypeVar("Result")


def weighing_encoder(model: nn.Module) -> Any:
    """The part of a model that weighs its sensors against each other: an `IncompleteMultimodalEncoder` that `check_weighing` lets pass.

    Raises:
        InputError: if there is none, there are several, or it does not weigh them.
    """
    encoders: list[Any] = [part for part in model.modules() if hasattr(part, "check_weighing")]
    if len(encoders) != 1:
        raise InputError(
            f"importance shows the weights of the Bi-LSTM attention, but {type(model).__name__} has {len(encoders)} encoders of this "
            "package, expected one (MODEL.BACKBONE.NAME build_imrsf_vit_backbone, or a pyramid on it)."
        )
    encoders[0].check_weighing()
    return encoders[0]


class Listener:
    """Calls a model and keeps beta of the Bi-LSTM attention meanwhile: the backbone runs once.

    Args:
        model: in evaluation mode when it is called; with a `weighing_encoder`. That has a `patch_size` and a module `bilstm`, which
            is called with streams, fusion tokens and a layout, and gives new tokens and beta, as `BiLSTMAttention` does.

    Attributes:
        patch_px: side of a patch.

    Raises:
        InputError: see `weighing_encoder`.
    """

    def __init__(self, model: nn.Module):
        self.model = model
        encoder = weighing_encoder(model)
        self.patch_px: int = encoder.patch_size
        self._bilstm: nn.Module = encoder.bilstm

    @classmethod
    def if_weighing(cls, model: nn.Module) -> Listener | None:
        """A listener, or None for a model without such weights."""
        try:
            return cls(model)
        except InputError:
            return None

    def __call__(self, inputs: list[dict[str, Any]]) -> tuple[Any, list[np.ndarray]]:
        """The model's outputs for samples with `image` [C + M, H, W], and for each the weights; see `listen`."""
        sizes = [tuple(sample["image"].shape[-2:]) for sample in inputs]
        return self.listen(lambda: self.model(inputs), sizes)

    def listen(self, compute: Callable[[], Result], sizes: Sequence[tuple[int, int]]) -> tuple[Result, list[np.ndarray]]:
        """Do something in which the model is called, once or several times.

        Args:
            compute: does it, with images of one size after padding.
            sizes: (H, W) of each row that the encoder sees, in order, before padding, px.

        Returns:
            What `compute` returns, and for each row [M, Hp, Wp] float32: the weight of each sensor in each patch, which sum to 1 over the
            sensors that a patch has; NaN for those that it lacks. The patches of the last row and column may reach beyond the image.
        """
        heard: list[Tensor] = []

        def keep(module: nn.Module, arguments: tuple, result: tuple[Tensor, Tensor]) -> None:
            layout = arguments[2]
            beta = torch.where(layout.present, layout.unpack_rows(result[1]), torch.nan)
            heard.append(beta.unflatten(2, layout.grid))

        hook = self._bilstm.register_forward_hook(keep)
        try:
            result = compute()
        finally:
            hook.remove()
        beta = torch.cat(heard).float().cpu().numpy()  # after all, so that a GPU is waited for once
        patch = self.patch_px
        return result, [
            own[:, : -(-height // patch), : -(-width // patch)] for own, (height, width) in zip(beta, sizes, strict=True)
        ]
