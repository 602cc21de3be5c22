"""A linear layer that is as fast on any CPU as on those that PyTorch's matrix library was written for."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Linear", "linear"]


def linear(tokens: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`torch.nn.functional.linear` of [..., inputs] tokens, equal to it up to rounding.

    In float32 on the CPU, PyTorch hands a linear layer to MKL and a convolution to oneDNN. MKL takes its slower kernels
    on processors of other makers (half the speed on an AMD EPYC, forward and backward), while oneDNN only asks what the
    processor supports. A 1 x 1 convolution over R "pixels" is the same product, and adds the bias on the way.
    """
    if not _through_onednn(tokens):
        return F.linear(tokens, weight, bias)
    rows = tokens.reshape(-1, tokens.shape[-1])
    # PyTorch's convolution runs fewer than 16 images on a single thread, so the rows become 16 images where possible.
    images = 16 if len(rows) % 16 == 0 else 1
    pixels = rows.view(images, -1, 1, rows.shape[-1]).permute(0, 3, 1, 2)  # [16, inputs, R / 16, 1], channels last
    product = F.conv2d(pixels, weight[:, :, None, None], bias).permute(0, 2, 3, 1)
    return product.reshape(*tokens.shape[:-1], len(weight))


def _through_onednn(tokens: Tensor) -> bool:
    return (
        not torch.compiler.is_compiling()
        and tokens.device.type == "cpu"
        and tokens.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and torch.backends.mkldnn.is_available()
        and bool(torch.backends.mkldnn.enabled)
        and tokens.numel() > 0
    )


class Linear(nn.Linear):
    """`nn.Linear` by way of `linear`: the same parameters under the same names."""

    def forward(self, tokens: Tensor) -> Tensor:
        return linear(tokens, self.weight, self.bias)
