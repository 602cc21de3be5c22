"""The masks that are kept of what a model finds, as bits: an eighth of what would have to leave a GPU and travel between processes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

__all__ = ["pack_masks", "pack_on_device"]


def pack_masks(masks: Sequence[torch.Tensor], chosen: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Some of the masks of each window, as bits: see `FoundMasks`.

    Args:
        masks: [n, H, W] of each window, as the model gives them, on one device: a pixel belongs to the object above 0.5.
        chosen: their indices, in the order in which they are wanted.
    """
    if masks[0].device.type != "cpu":
        return pack_on_device(masks, chosen)
    # One by one, so that little is copied.
    packed = [np.empty((len(indices), m.shape[1], -(-m.shape[2] // 8)), np.uint8) for m, indices in zip(masks, chosen)]
    for some, indices, bits in zip(masks, chosen, packed):
        for mask, index in zip(bits, indices.tolist()):
            mask[:] = np.packbits((some[index] > 0.5).numpy(), axis=-1)
    return packed


def pack_on_device(masks: Sequence[torch.Tensor], chosen: Sequence[np.ndarray]) -> list[np.ndarray]:
    """As `pack_masks`, for a GPU: there and back once, as each time is a wait."""
    ends = np.cumsum([len(indices) for indices in chosen])[:-1]
    indices = torch.from_numpy(np.concatenate(chosen)).to(masks[0].device).tensor_split(ends.tolist())
    bits = torch.cat([_pack_bits(some[mine] > 0.5) for some, mine in zip(masks, indices)])
    return np.split(bits.cpu().numpy(), ends)


def _pack_bits(pixels: torch.Tensor) -> torch.Tensor:
    """[..., W] bool to [..., ceil(W / 8)] uint8, as `numpy.packbits` does along the last axis."""
    padded = nn.functional.pad(pixels.to(torch.uint8), (0, -pixels.shape[-1] % 8))
    shifts = torch.arange(7, -1, -1, device=pixels.device).to(torch.uint8)
    return (padded.unflatten(-1, (-1, 8)) << shifts).sum(dim=-1, dtype=torch.uint8)
