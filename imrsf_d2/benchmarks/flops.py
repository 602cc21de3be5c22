"""Floating-point operations of matrix products and attention, as they run (a multiply-add is two)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

__all__ = ["count_flops"]


@torch.no_grad()
def count_flops(work: Callable[[], object]) -> int:
    """Run something once, without gradients, and count what PyTorch's own counter knows: products and attention."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()
