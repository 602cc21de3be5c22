"""Where the visible tokens of a pre-training batch lie: packed side by side, nothing masked or absent among them.

Token rows are [T, D], sample after sample, within a sample modality after modality, within a modality patch after
patch. A modality's stream in a sample is then a run of rows, and so is everything visible of a sample.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor

from imrsf_d2.modeling.tracing import refuse_tracing

__all__ = ["RaggedRows", "VisibleLayout"]


@dataclass(frozen=True)
class RaggedRows:
    """Runs of token rows of different lengths, as a rectangle.

    Attributes:
        index: [S, L] int64, the token row at each place; where a run is shorter, some other row.
        usable: [S, L] bool, True = this place belongs to its run; None if all do.
        places: [R] int64, the places that belong to a run among all S * L; None if all do.
    """

    index: Tensor
    usable: Tensor | None
    places: Tensor | None

    def select(self, values: Tensor) -> Tensor:
        """[S, L, ...] of the runs to [R, ...] of their rows alone, run after run."""
        values = values.flatten(0, 1)
        return values if self.places is None else values[self.places]


class VisibleLayout:
    """Index book-keeping for the visible tokens of one batch, made once and shared by all blocks.

    All of it is moved to the device here: to move an index later on would wait for whatever was queued before it.

    Args:
        visible: [B, M, N] bool on the CPU, where indices are made; True = the encoder sees this patch.
        device: of the tokens.

    Attributes:
        num_images: B. num_modalities: M. num_patches: N. num_tokens: T.
        image, modality, patch: [T] int64, where each token row comes from.
        rows: of each modality its token rows, int64, ascending.
        row_at: [M, B * N] int64, the token row of a modality at a position; 0 where it is not visible.
        positions: sets of modalities -> the positions, of the B * N there are, where just these are visible; int64.
        has_tokens: [B, M] bool, whether a sample has a visible token of a modality.
        used: the modalities with at least one token.
        samples: everything visible of each sample, in the order of the batch.
        streams: every stream that is not empty, those of similar length together.

    Raises:
        ValueError: while PyTorch traces.
    """

    def __init__(self, visible: Tensor, device: torch.device):
        refuse_tracing()
        self.num_images, self.num_modalities, self.num_patches = visible.shape
        image, modality, patch = visible.nonzero().unbind(1)
        self.num_tokens = len(image)
        self.image, self.modality, self.patch = image.to(device), modality.to(device), patch.to(device)
        self.rows = [(modality == m).nonzero().squeeze(1).to(device) for m in range(self.num_modalities)]
        self.row_at = _row_at(visible).to(device)
        self.positions = {pattern: at.to(device) for pattern, at in _positions_by_pattern(visible).items()}
        self.has_tokens = visible.any(dim=2).to(device)
        counts = visible.sum(dim=2).tolist()
        self.used = tuple(m for m in range(self.num_modalities) if any(row[m] for row in counts))
        self.samples = _rectangle(_runs([sum(row) for row in counts]), device)
        self.streams, self._stream_order = self._pack_streams([n for row in counts for n in row], device)

    def in_token_order(self, parts: list[Tensor]) -> Tensor:
        """Bring the rows of `streams`, selected group after group, into the order of the tokens."""
        return torch.cat(parts)[self._stream_order]

    def images_of_rows(self, fusion_only: bool) -> Tensor:
        """The image of each row that a block returns: visible tokens, unless `fusion_only`, then N of each image."""
        fusion = torch.arange(self.num_images, device=self.image.device).repeat_interleave(self.num_patches)
        return fusion if fusion_only else torch.cat([self.image, fusion])

    def _pack_streams(self, lengths: list[int], device: torch.device) -> tuple[list[RaggedRows], Tensor]:
        """Streams of similar length together, so that few places of a rectangle are empty: a factor of 2 at most."""
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


def _rectangle(runs: list[tuple[int, int]], device: torch.device) -> RaggedRows:
    first, length = torch.tensor(runs, dtype=torch.int64).reshape(-1, 2).unbind(1)
    longest = int(length.max()) if len(runs) else 0
    place = torch.arange(longest)
    usable = place < length[:, None]
    index = torch.where(usable, first[:, None] + place, 0).to(device)
    if usable.all():
        return RaggedRows(index, None, None)
    return RaggedRows(index, usable.to(device), usable.flatten().nonzero().squeeze(1).to(device))
