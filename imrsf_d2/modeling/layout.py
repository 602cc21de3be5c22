"""Which tokens exist in a batch, and where they lie in the packed token tensor.

Streams are packed as [P, N, D], one row per (sample, modality) pair that exists; fusion tokens as [B, N, D]. Samples
are sorted so that those with the same subset of modalities lie side by side: a group's streams are then a plain view
[G, k * N, D] (k modalities, config order) and nothing absent is ever computed, attended or padded.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["SubsetGroup", "TokenLayout", "group_by_subset"]


@dataclass(frozen=True)
class SubsetGroup:
    """Samples of a batch that have the same modalities.

    Attributes:
        subset: indices of the modalities they have, in config order; may be empty.
        partial: True if one of these modalities lacks some patch in one of these samples.
        index: positions of the samples in the batch as it came, ascending.
    """

    subset: tuple[int, ...]
    partial: bool
    index: tuple[int, ...]


def group_by_subset(present: Tensor) -> list[SubsetGroup]:
    """Group the samples of a batch by which modalities they have, so that no absent token is ever computed.

    Args:
        present: [B, M, N] bool, True = this patch of this modality is usable.

    Returns:
        One group per distinct (subset, partial), groups of full coverage first, else in order of first appearance;
        the `index` tuples partition range(B).

    Raises:
        ValueError: if `present` is not a 3-D bool tensor.
    """
    if present.dtype != torch.bool or present.ndim != 3:
        raise ValueError(f"present is {present.dtype} {list(present.shape)}, expected torch.bool [B, M, N].")
    some = present.any(dim=2)
    # One transfer of a small tensor: with full coverage, the only point where the host waits for the GPU.
    table = torch.stack([some, some & ~present.all(dim=2)]).cpu().tolist()
    members: dict[tuple[bool, tuple[int, ...]], list[int]] = {}
    for sample, (has, lacks) in enumerate(zip(*table)):
        subset = tuple(m for m, here in enumerate(has) if here)
        members.setdefault((any(lacks), subset), []).append(sample)
    ordered = sorted(members.items(), key=lambda item: item[0][0])
    return [SubsetGroup(subset, partial, tuple(index)) for (partial, subset), index in ordered]


class TokenLayout:
    """Index book-keeping for one batch, made once and shared by all blocks.

    Args:
        present: [B, M, N] bool, True = this patch of this modality is usable.

    Attributes:
        groups: the sample groups in packed order.
        order: [B] long, batch position of each packed sample; None if nothing moved.
        pair_sample, pair_modality: the packed sample position and the modality of each of the P streams.
        num_full_pairs: streams before this one lie in groups of full coverage and need no key mask.
    """

    def __init__(self, present: Tensor):
        self.present = present
        self.batch_size, self.num_modalities, self.num_patches = present.shape
        self.groups = group_by_subset(present)
        order = [sample for group in self.groups for sample in group.index]
        self.order = None if order == list(range(len(order))) else torch.tensor(order, device=present.device)
        pairs = []
        self.num_full_pairs = 0
        for group, samples, _ in self.spans():
            pairs += [(sample, m) for sample in range(samples.start, samples.stop) for m in group.subset]
            if not group.partial:
                self.num_full_pairs = len(pairs)
        self.pair_sample = [sample for sample, _ in pairs]
        self.pair_modality = [m for _, m in pairs]
        self.num_pairs = len(pairs)
        self._order = order
        self._key_masks: dict[SubsetGroup, Tensor] = {}

    def spans(self):
        """Yield (group, slice of its packed samples, slice of its packed streams)."""
        sample = pair = 0
        for group in self.groups:
            samples = slice(sample, sample + len(group.index))
            pairs = slice(pair, pair + len(group.index) * len(group.subset))
            sample, pair = samples.stop, pairs.stop
            yield group, samples, pairs

    def samples_with(self, modality: int) -> list[int]:
        """Batch positions of the samples that have a modality, in packed order."""
        return [self._order[s] for s, m in zip(self.pair_sample, self.pair_modality) if m == modality]

    def pack(self, tokens: list[Tensor]) -> Tensor:
        """Bring the tokens of all modalities into packed order.

        Args:
            tokens: for each modality that some sample has, in config order, [S_m, N, D] over `samples_with(m)`.

        Returns:
            [P, N, D].
        """
        by_modality = torch.cat(tokens)
        # `by_modality` lists the pairs modality after modality; sorting the packed pairs the same way inverts that.
        packed_to_modality = sorted(range(self.num_pairs), key=lambda p: (self.pair_modality[p], p))
        source = [0] * self.num_pairs
        for row, pair in enumerate(packed_to_modality):
            source[pair] = row
        if source == list(range(self.num_pairs)):
            return by_modality
        return by_modality[torch.tensor(source, device=by_modality.device)]

    def pack_samples(self, values: Tensor) -> Tensor:
        """[B, ...] from batch order to packed order."""
        return values if self.order is None else values[self.order]

    def unpack_samples(self, values: Tensor) -> Tensor:
        """[B, ...] from packed order back to batch order."""
        return values if self.order is None else values[self._inverse_order]

    @functools.cached_property
    def _inverse_order(self) -> Tensor:
        return torch.argsort(self.order)

    def unpack_streams(self, streams: Tensor, modality: int) -> Tensor:
        """One modality's stream in batch order, zero where the sample or the patch lacks it.

        Args:
            streams: [P, N, D] packed.

        Returns:
            [B, N, D].
        """
        pairs = [p for p, m in enumerate(self.pair_modality) if m == modality]
        full = streams.new_zeros(self.batch_size, *streams.shape[1:])
        if pairs:
            target = torch.tensor(self.samples_with(modality), device=streams.device)
            full = full.index_copy(0, target, streams[torch.tensor(pairs, device=streams.device)])
        return full.masked_fill(~self.present[:, modality, :, None], 0.0)

    @functools.cached_property
    def partial_stream_mask(self) -> Tensor:
        """[P - num_full_pairs, N] bool: usable keys of the streams in groups of partial coverage."""
        rows = [(self._order[s], m) for s, m in zip(self.pair_sample, self.pair_modality)][self.num_full_pairs:]
        sample, modality = torch.tensor(rows, device=self.present.device).unbind(1)
        return self.present[sample, modality]

    def group_mask(self, group: SubsetGroup) -> Tensor:
        """[G, k, N] bool: usable patches of a group's samples and modalities."""
        return self.present[list(group.index)][:, list(group.subset)]

    def group_key_mask(self, group: SubsetGroup) -> Tensor | None:
        """[G, (k + 1) * N] bool: usable keys of a group's fusion queries, fusion tokens last; None if coverage is full."""
        if not group.partial:
            return None
        if group not in self._key_masks:
            usable = self.group_mask(group).flatten(1)
            self._key_masks[group] = torch.cat([usable, usable.new_ones(len(usable), self.num_patches)], dim=1)
        return self._key_masks[group]
