"""What the machine's own matrix product reaches, at the sizes of a ViT: the yardstick for everything else."""

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
    """The four linear layers of a ViT block as bare products: no bias, no activation, nothing kept.

    Args:
        case: its D (MLP of 4 D) and device.
        rows: tokens of the batch.
        repeats: passes a call.
        product: of tokens [R, inputs] and weight [outputs, inputs]; default: what PyTorch takes for a linear layer.

    Returns:
        A call to time, and its floating-point operations.
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
