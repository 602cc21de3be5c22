"""MaskFormer's scores of classes as probabilities."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["class_probabilities"]


def class_probabilities(scores: Tensor) -> Tensor:
    """Share out one among the classes of each pixel.

    Args:
        scores: [K, H, W], sums over queries, which add up to anything.

    Returns:
        [K, H, W] float32 at least, which add up to 1, or to 0 where no class has a score.
    """
    scores = scores if scores.dtype == torch.float64 else scores.float()
    scores = scores.clamp(min=0)
    return scores / scores.sum(dim=0, keepdim=True).clamp(min=torch.finfo(scores.dtype).tiny)
