"""The rate of plain matrix products at the sizes of a ViT, which the model's speed is compared with."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from projects.benchmarks.cases import Case

__all__ = ["matrix_products"]


def matrix_products(
    case: Case,
    rows: int,
    repeats: int = 1,
    dtype: torch.dtype = torch.float32,
    product: Callable[[Tensor, Tensor], Tensor] = F.linear,
) -> tuple[Callable[[], None], int]:
    """The four linear layers of a ViT block as bare products, without bias or activation; results are discarded.

    Args:
        case: gives D (the MLP is 4 D wide) and the device.
        rows: number of tokens R in the batch.
        repeats: passes per call.
        product: multiplies tokens [R, inputs] and a weight [outputs, inputs]; default: PyTorch's linear layer.

    Returns:
        The function to time, and its number of floating-point operations.
    """
    dim = case.embed_dim
    generator = torch.Generator().manual_seed(0)
    operands, flops = [], 0
    for inputs, outputs in [(dim, 3 * dim), (dim, dim), (dim, 4 * dim), (4 * dim, dim)]:
        tokens = torch.randn(rows, inputs, generator=generator).to(case.device, dtype)
        weight = torch.randn(outputs, inputs, generator=generator).to(case.device, dtype)
        operands.append((tokens, weight))
        flops += 2 * rows * inputs * outputs

    def run() -> None:
        for _ in range(repeats):
            for tokens, weight in operands:
                product(tokens, weight)

    return run, repeats * flops
