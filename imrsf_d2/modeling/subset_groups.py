"""Which samples of a batch have the same modalities: they are computed together, and what they lack is not computed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from imrsf_d2.utils.errors import InputError

__all__ = ["SubsetGroup", "group_by_subset", "positions_by_pattern"]


@dataclass(frozen=True)
class SubsetGroup:
    """Samples of a batch that have the same modalities.

    Attributes:
        subset: indices of the modalities they have, in config order; may be empty.
        partial: True if one of these modalities lacks some patch in one of these samples.
        index: positions of the samples in the original batch, ascending (of the rows, if images are seen repeatedly).
    """

    subset: tuple[int, ...]
    partial: bool
    index: tuple[int, ...]


def group_by_subset(present: Tensor) -> list[SubsetGroup]:
    """Group the samples of a batch by which modalities they have, so that no absent token is ever computed.

    Args:
        present: [B, M, N] bool on the CPU, True = this patch of this modality is usable.

    Returns:
        One group per distinct (subset, partial), groups of full coverage first, then in order of first appearance;
        the `index` tuples partition range(B).

    Raises:
        ValueError: if `present` is not a 3-D bool tensor.
    """
    if present.dtype != torch.bool or present.ndim != 3:
        raise InputError(f"present is {present.dtype} {list(present.shape)}, expected torch.bool [B, M, N].")
    some = present.any(dim=2)
    table = torch.stack([some, some & ~present.all(dim=2)]).tolist()
    members: dict[tuple[bool, tuple[int, ...]], list[int]] = {}
    for sample, (has, lacks) in enumerate(zip(*table)):
        subset = tuple(m for m, here in enumerate(has) if here)
        members.setdefault((any(lacks), subset), []).append(sample)
    ordered = sorted(members.items(), key=lambda item: item[0][0])
    return [SubsetGroup(subset, partial, tuple(index)) for (partial, subset), index in ordered]


def positions_by_pattern(usable: Tensor) -> dict[tuple[int, ...], Tensor]:
    """Group positions by the modalities that are usable there.

    Args:
        usable: [M, n] bool on the CPU.

    Returns:
        Each combination of 0..M - 1 that occurs -> the positions where exactly these are usable, int64, ascending.
    """
    modalities = range(len(usable))
    code = (usable.long() << torch.arange(len(usable))[:, None]).sum(dim=0)
    return {
        tuple(m for m in modalities if pattern >> m & 1): (code == pattern).nonzero().squeeze(1)
        for pattern in code.unique().tolist()
    }
