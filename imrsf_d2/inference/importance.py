"""Which sensor the model listened to: beta of the Bi-LSTM attention (paper, III-B, eq. 3), from the pass that predicts."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from imrsf_d2.utils.atomic import write_atomically
from imrsf_d2.utils.parts import find_part

__all__ = ["Listener", "load_importance", "save_importance"]


class Listener:
    """Calls a model and keeps beta of the Bi-LSTM attention meanwhile: the backbone runs once.

    Args:
        model: a part of it has a `patch_size` and a module `bilstm` that is called with streams, fusion tokens and a layout,
            and gives new tokens and beta, as `BiLSTMAttention` does.
    """

    def __init__(self, model: nn.Module):
        self.model = model
        encoder: Any = find_part(model, "patch_size", "bilstm")
        self.patch_px: int = encoder.patch_size
        self._bilstm: nn.Module = encoder.bilstm

    def __call__(self, inputs: list[dict[str, Any]]) -> tuple[Any, list[np.ndarray]]:
        """The model's outputs for square images of one size, and for each image [M, n, n] float32: the weight of each
        sensor in each patch, which sum to 1 over the sensors that a patch has; NaN for those that it lacks."""
        heard: list[Tensor] = []

        def keep(module: nn.Module, arguments: tuple, result: tuple[Tensor, Tensor]) -> None:
            layout = arguments[2]
            heard.append(torch.where(layout.present, layout.unpack_rows(result[1]), torch.nan))

        hook = self._bilstm.register_forward_hook(keep)
        try:
            outputs = self.model(inputs)
        finally:
            hook.remove()
        beta = torch.cat(heard).float().cpu()
        side = math.isqrt(beta.shape[2])  # of the padded image, in patches
        patches = -(-inputs[0]["image"].shape[-1] // self.patch_px)
        return outputs, list(beta.unflatten(2, (side, side))[:, :, :patches, :patches].numpy())


def save_importance(path: str | os.PathLike, found: Mapping[int, np.ndarray]) -> None:
    """Write the weights [M, n, n] of some windows, by their index, complete or not at all."""
    windows = sorted(found)
    numbers = np.array(windows, dtype=np.int64)
    beta = np.array([found[i] for i in windows], dtype=np.float32)
    write_atomically(path, lambda file: np.savez_compressed(file, allow_pickle=False, window=numbers, beta=beta))


def load_importance(path: str | os.PathLike) -> dict[int, np.ndarray]:
    """What `save_importance` wrote."""
    with np.load(path) as file:
        return dict(zip(file["window"].tolist(), file["beta"]))
