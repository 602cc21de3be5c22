"""Indices and flags on their way to the device: many small tensors in one copy, which the host does not wait for.

A copy from ordinary memory waits for all work that the device has been given before. A list as an index, or a tensor that is
made of a list on the device, is such a copy too.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TypeVar

import torch
from torch import Tensor

__all__ = ["to_device"]

Key = TypeVar("Key", bound=Hashable)

#: Bytes; a view as any type must start at a multiple of its size.
_ALIGNMENT = 8


def to_device(tensors: Mapping[Key, Tensor], device: torch.device) -> dict[Key, Tensor]:
    """Copy small tensors to a device, all at once.

    Args:
        tensors: on the CPU, of any types and shapes.
        device: if it is the CPU, nothing is copied.

    Returns:
        The tensors under the same keys, as views of one buffer.
    """
    if device.type == "cpu":
        return dict(tensors)
    sizes = {key: values.numel() * values.element_size() for key, values in tensors.items()}
    starts, total = {}, 0
    for key, size in sizes.items():
        starts[key], total = total, total + -(-size // _ALIGNMENT) * _ALIGNMENT
    # Only from pinned memory does a copy take place while the host goes on.
    packed = torch.empty(total, dtype=torch.uint8, pin_memory=device.type == "cuda")
    for key, values in tensors.items():
        packed[starts[key] : starts[key] + sizes[key]] = values.contiguous().flatten().view(torch.uint8)
    moved = packed.to(device, non_blocking=True)
    return {
        key: moved[starts[key] : starts[key] + sizes[key]].view(values.dtype).view(values.shape)
        for key, values in tensors.items()
    }
