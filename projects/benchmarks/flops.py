"""Floating-point operations of matrix products and attention as they are executed (a multiply-add counts as two)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

__all__ = ["count_flops"]

#: PyTorch 2.4 does not count attention on the CPU.
CPU_ATTENTION = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: lambda query, key, value, *args, **kwargs: sdpa_flop_count(
        query, key, value
    )
}


@torch.inference_mode(False)  # in which PyTorch 2.4 counts nothing
@torch.no_grad()
def count_flops(work: Callable[[], object]) -> int:
    """Run `work` once without gradients; PyTorch's counter counts matrix products and attention."""
    with FlopCounterMode(display=False, custom_mapping=CPU_ATTENTION) as counter:
        work()
    return counter.get_total_flops()
