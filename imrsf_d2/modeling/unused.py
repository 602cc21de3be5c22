"""Parameters that a batch does not use."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

__all__ = ["zero_of"]


def zero_of(parameters: Iterable[Tensor], like: Tensor) -> Tensor:
    """A zero that depends on parameters, so that each gets a gradient (of zero).

    Without it, distributed training would hang or fail whenever a process's batch lacks a modality.

    Args:
        parameters: which, and what else is to get one; not looked at unless gradients are recorded.
        like: a tensor of the zero's type and device.
    """
    zero = like.new_zeros(())
    if torch.is_grad_enabled():
        for parameter in parameters:
            zero = zero + 0.0 * parameter.sum()
    return zero
