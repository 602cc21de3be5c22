"""A linear layer that is as fast on any CPU as on those that PyTorch's matrix library was written for.

In float32 on the CPU, PyTorch hands a linear layer to MKL and a convolution to oneDNN. MKL takes kernels of 256 bits on
processors of AMD. From AMD's family 26 (Zen 5) on, kernels of 512 bits are twice as fast, and oneDNN has them: it asks what
the processor supports, not who made it. Elsewhere the two are equally fast in large products, and MKL is faster in small
ones and in backward passes of kernels of 256 bits, so that layers stay PyTorch's own.

The choice depends on the processor and on the size of the product alone, and never on a measurement: a resumed training run
equals one that was never interrupted, and several processes compute what one does, only if all of them round alike.
"""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from imrsf_d2.utils.processor import processor

__all__ = ["Linear", "linear", "onednn_is_faster"]

#: AMD's first family whose processors compute 512 bits at a time; earlier ones split AVX-512 instructions in two.
_ZEN_5 = 26
#: Multiplications of a product from which on half its time with MKL is more than what a convolution costs besides.
_LARGE = 2**24


@cache
def onednn_is_faster() -> bool:
    """Whether large float32 products on this machine's CPU take notably less time with oneDNN than with MKL."""
    cpu = processor()
    return (
        cpu.vendor == "AuthenticAMD"
        and cpu.family >= _ZEN_5
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
        and torch.backends.mkl.is_available()  # other libraries, such as OpenBLAS, do not ask for the maker
        and torch.backends.mkldnn.is_available()
    )


def linear(tokens: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`torch.nn.functional.linear` of [..., inputs] tokens, equal to it up to rounding.

    Where oneDNN is faster, it is a 1 x 1 convolution over R "pixels", which is the same product, and adds the bias on the way.
    """
    if not _through_onednn(tokens, weight):
        return F.linear(tokens, weight, bias)
    rows = tokens.reshape(-1, tokens.shape[-1])
    # PyTorch's convolution runs fewer than 16 images on a single thread, so the rows become 16 images where possible.
    images = 16 if len(rows) % 16 == 0 else 1
    pixels = rows.view(images, -1, 1, rows.shape[-1]).permute(0, 3, 1, 2)  # [16, inputs, R / 16, 1], channels last
    product = F.conv2d(pixels, weight[:, :, None, None], bias).permute(0, 2, 3, 1)
    return product.reshape(*tokens.shape[:-1], len(weight))


def _through_onednn(tokens: Tensor, weight: Tensor) -> bool:
    return (
        not torch.compiler.is_compiling()
        and tokens.device.type == "cpu"
        and tokens.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and bool(torch.backends.mkldnn.enabled)
        and onednn_is_faster()
        and tokens.numel() * len(weight) >= _LARGE
    )


class Linear(nn.Linear):
    """`nn.Linear` by way of `linear`: the same parameters under the same names."""

    def forward(self, tokens: Tensor) -> Tensor:
        return linear(tokens, self.weight, self.bias)
