"""Position embeddings of ViTs from elsewhere, compared with ours, which is computed and never loaded."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from imrsf_d2.modeling.tokens import sincos_position_embedding

__all__ = ["PositionMatch", "compare_positions"]

#: Largest difference of equal embeddings: some files hold 16-bit numbers.
TOLERANCE = 2e-3


@dataclass(frozen=True)
class PositionMatch:
    """How a position embedding relates to ours.

    Attributes:
        how: in words.
        exchanged: True if it is ours with rows and columns exchanged: the blocks have learned to read our columns as rows.
    """

    how: str
    exchanged: bool = False


def compare_positions(positions: Tensor) -> PositionMatch:
    """Compare a position embedding with ours on its own grid.

    Args:
        positions: [1, D, h, w], or [1, tokens, D] with any further tokens before the h x w of a square grid.
    """
    dim = positions.shape[1] if positions.ndim == 4 else positions.shape[-1]
    if positions.ndim == 4:
        height, width = positions.shape[2:]
        table = positions[0].flatten(1).T.float()
    else:
        # The few further tokens are never enough to complete the next larger square.
        height = width = math.isqrt(positions.shape[1])
        table = positions[0, positions.shape[1] - height * width :].float()
    ours = sincos_position_embedding(height, width, dim, torch.device("cpu"), torch.float32)
    if torch.allclose(table, ours, rtol=0.0, atol=TOLERANCE):
        return PositionMatch("the same as ours, which is computed")
    if torch.allclose(table, ours.roll(dim // 2, dims=1), rtol=0.0, atol=TOLERANCE):
        return PositionMatch("ours with rows and columns exchanged; patches are transposed to match", exchanged=True)
    difference = 100.0 * float((table - ours).norm() / ours.norm())
    return PositionMatch(f"dropped: ours is computed, and this one differs from it by {difference:.0f} % of its norm")
