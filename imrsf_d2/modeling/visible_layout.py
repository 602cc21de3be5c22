"""Where the visible tokens of a pre-training batch lie: packed side by side, without masked or absent ones.

Token rows are [T, D], sample after sample, within a sample modality after modality, within a modality patch after
patch. A modality's stream in a sample is then a run of rows, and so are all visible tokens of a sample. Why this is not
`TokenLayout`: see `runs.py`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor

from imrsf_d2.modeling.runs import FusionPart, RaggedRuns
from imrsf_d2.modeling.tracing import refuse_tracing

__all__ = ["VisibleLayout"]


class VisibleLayout:
    """Index bookkeeping for the visible tokens of one batch, made once and shared by all blocks.

    Everything is moved to the device here: moving an index later would wait for all work queued before it.

    Args:
        visible: [B, M, N] bool on the CPU, where indices are made; True = the encoder sees this patch.
        device: of the tokens.

    Attributes:
        num_images: B. num_modalities: M. num_patches and fusion_length: N. num_tokens: T.
        image, modality, patch: [T] int64, where each token row comes from.
        rows: of each modality its token rows, int64, ascending.
        row_at: [M, B * N] int64, the token row of a modality at a position; 0 where it is not visible.
        positions: set of modalities -> those of the B * N positions where exactly these are visible; int64.
        has_tokens: [B, M] bool, whether a sample has a visible token of a modality.
        used: the modalities with at least one token.
        samples: all visible tokens of each sample, in the order of the batch.

    Raises:
        ValueError: while PyTorch traces.
    """

    def __init__(self, visible: Tensor, device: torch.device):
        refuse_tracing()
        self.num_images, self.num_modalities, self.num_patches = visible.shape
        image, modality, patch = visible.nonzero().unbind(1)
        self.fusion_length = self.num_patches
        self.num_tokens = len(image)
        self.image, self.modality, self.patch = image.to(device), modality.to(device), patch.to(device)
        self.rows = [(modality == m).nonzero().squeeze(1).to(device) for m in range(self.num_modalities)]
        self.row_at = _row_at(visible).to(device)
        self.positions = {pattern: at.to(device) for pattern, at in _positions_by_pattern(visible).items()}
        self.has_tokens = visible.any(dim=2).to(device)
        counts = visible.sum(dim=2).tolist()
        self.used = tuple(m for m in range(self.num_modalities) if any(row[m] for row in counts))
        self.samples = _rectangle(_runs([sum(row) for row in counts]), device)
        usable = self.samples.usable
        if usable is not None:
            usable = torch.cat([usable, usable.new_ones(self.num_images, self.num_patches)], dim=1)
        self._usable_by_fusion = usable
        self._streams, self._stream_order = self._pack_streams([n for row in counts for n in row], device)

    def stream_parts(self) -> Iterator[RaggedRuns]:
        """Yield the streams that are not empty, those of similar length together."""
        return iter(self._streams)

    def fusion_parts(self) -> Iterator[FusionPart]:
        """Yield the fusion tokens of all samples at once."""
        yield FusionPart(slice(0, self.num_images), self.samples, self._usable_by_fusion)

    def in_token_order(self, parts: list[Tensor]) -> list[Tensor]:
        """Bring the rows of `stream_parts` into the order of the tokens."""
        return [torch.cat(parts)[self._stream_order]] if parts else []

    def images_of_rows(self, fusion_only: bool) -> Tensor:
        """The image of each row that a block returns: visible tokens, unless `fusion_only`, then N of each image."""
        fusion = torch.arange(self.num_images, device=self.image.device).repeat_interleave(self.num_patches)
        return fusion if fusion_only else torch.cat([self.image, fusion])

    def _pack_streams(self, lengths: list[int], device: torch.device) -> tuple[list[RaggedRuns], Tensor]:
        """Group streams of similar length, so that less than half of a rectangle is empty."""
        runs = [run for run in _runs(lengths) if run[1]]
        groups: dict[int, list[tuple[int, int]]] = {}
        for run in runs:
            groups.setdefault((run[1] - 1).bit_length(), []).append(run)
        rows = [row for group in groups.values() for first, length in group for row in range(first, first + length)]
        order = torch.tensor(rows, dtype=torch.int64).argsort()
        return [_rectangle(group, device) for group in groups.values()], order.to(device)


def _row_at(visible: Tensor) -> Tensor:
    rows = torch.zeros(visible.shape, dtype=torch.int64)
    rows[visible] = torch.arange(int(visible.sum()))
    return rows.transpose(0, 1).flatten(1)


def _positions_by_pattern(visible: Tensor) -> dict[tuple[int, ...], Tensor]:
    modalities = range(visible.shape[1])
    code = (visible.long() << torch.arange(len(modalities))[:, None]).sum(dim=1).flatten()
    return {
        tuple(m for m in modalities if pattern >> m & 1): (code == pattern).nonzero().squeeze(1)
        for pattern in code.unique().tolist()
    }


def _runs(lengths: list[int]) -> list[tuple[int, int]]:
    """(first row, length) of runs that follow each other."""
    return list(zip(itertools.accumulate([0, *lengths[:-1]]), lengths))


def _rectangle(runs: list[tuple[int, int]], device: torch.device) -> RaggedRuns:
    first, length = torch.tensor(runs, dtype=torch.int64).reshape(-1, 2).unbind(1)
    longest = int(length.max()) if len(runs) else 0
    place = torch.arange(longest)
    usable = place < length[:, None]
    index = torch.where(usable, first[:, None] + place, 0).to(device)
    if usable.all():
        return RaggedRuns(index, None, None)
    return RaggedRuns(index, usable.to(device), usable.flatten().nonzero().squeeze(1).to(device))
