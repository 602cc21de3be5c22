"""Losses that several processes compute together as one process would compute them on the whole batch.

Distributed training averages the processes' gradients. A loss is written so that this average is the gradient of the
loss of the whole batch, and the average of its values is that loss.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor

__all__ = ["gather_flags", "gather_rows", "mean_of_all", "of_whole_batch"]


def mean_of_all(total: Tensor, count: Tensor) -> Tensor:
    """Means over the terms of all processes, with the gradients of this process's terms.

    Args:
        total: [n] sums over this process's terms.
        count: [n] numbers of these terms; without gradient.

    Returns:
        [n]: their sums over the mean number of terms of a process, so that the mean over processes is the mean of all
        terms; 0 if no process has any.
    """
    size = _world_size()
    if size > 1:
        count = count.clone()
        dist.all_reduce(count)
        count = count / size
    return total / count.clamp(min=1.0 / size)


def gather_rows(values: Tensor) -> Tensor:
    """The rows of all processes, in the order of the processes; only those of this process carry gradients.

    Args:
        values: [B, ...], of the same shape in every process.

    Returns:
        [W * B, ...].
    """
    if _world_size() == 1:
        return values
    parts = [torch.empty_like(values) for _ in range(_world_size())]
    dist.all_gather(parts, values.detach().contiguous())
    parts[dist.get_rank()] = values
    return torch.cat(parts)


def gather_flags(flags: Tensor, device: torch.device) -> Tensor:
    """Flags of all processes, which Python reads: they stay on the CPU, and only several processes wait for the device.

    Args:
        flags: [B, ...] bool on the CPU, of the same shape in every process.
        device: where processes exchange tensors.

    Returns:
        [W * B, ...] on the CPU.
    """
    return flags if _world_size() == 1 else gather_rows(flags.to(device)).cpu()


def of_whole_batch(loss: Tensor) -> Tensor:
    """Prepare a loss that every process computes on the whole batch (by `gather_rows`) for the averaging of gradients.

    Each process has the gradients of its own rows. They have to be summed, and averaging divides the sum by the number of
    processes: the gradient is multiplied by that number here.
    """
    return loss.detach() + _world_size() * (loss - loss.detach())


def _world_size() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
