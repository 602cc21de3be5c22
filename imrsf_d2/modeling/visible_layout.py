"""Where the visible tokens of a pre-training batch lie: packed side by side, without masked or absent ones.

Token rows are [T, D], sample after sample, within a sample modality after modality, within a modality patch after
patch. A modality's stream in a sample is then a run of rows, and so are all visible tokens of a sample. Why this is not
`TokenLayout`: see `runs.py`.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterator, Sequence

import torch
from torch import Tensor

from imrsf_d2.modeling.runs import FusionPart, RaggedRuns
from imrsf_d2.modeling.subset_groups import positions_by_pattern
from imrsf_d2.modeling.tracing import refuse_tracing
from imrsf_d2.modeling.transfer import to_device

__all__ = ["VisibleLayout"]


class VisibleLayout:
    """Index bookkeeping for the visible tokens of one batch, made once and shared by all blocks.

    All indices are made on the CPU and go to the device together, while the host goes on.

    Args:
        visible: [B, M, N] bool on the CPU, where indices are made; True = the encoder sees this patch.
        device: of the tokens.

    Attributes:
        num_images: B. num_modalities: M. num_patches and fusion_length: N. num_tokens: T.
        image, modality, patch: [T] int64, where each token row comes from.
        rows: of each modality its token rows, int64, ascending.
        row_at: [M, B * N] int64, the token row of a modality at a position; 0 where it is not visible.
        positions: set of modalities -> those of the B * N positions where exactly these are visible; int64.
        has_tokens: [B, M] bool on the CPU, whether a sample has a visible token of a modality.
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
        counts = visible.sum(dim=2)
        self.has_tokens = counts > 0
        self.used = tuple(m for m in range(self.num_modalities) if bool(self.has_tokens[:, m].any()))
        samples = _rectangle(_runs(counts.sum(dim=1).tolist()))
        streams, stream_order = _pack_streams(counts.flatten().tolist())
        positions = positions_by_pattern(visible.transpose(0, 1).flatten(1))
        indices: dict[Hashable, Tensor] = {
            "image": image,
            "modality": modality,
            "patch": patch,
            "row at": _row_at(visible),
            "stream order": stream_order,
        }
        indices.update((("rows", m), (modality == m).nonzero().squeeze(1)) for m in range(self.num_modalities))
        indices.update((("positions", pattern), at) for pattern, at in positions.items())
        if samples.usable is not None:
            fusion = samples.usable.new_ones(self.num_images, self.num_patches)
            indices["usable by fusion"] = torch.cat([samples.usable, fusion], dim=1)
        rectangles = [samples, *streams]
        indices.update(
            ((key, i), values)
            for i, runs in enumerate(rectangles)
            for key, values in vars(runs).items()
            if values is not None
        )

        at = to_device(indices, device)
        self.image, self.modality, self.patch, self.row_at = at["image"], at["modality"], at["patch"], at["row at"]
        self.rows = [at["rows", m] for m in range(self.num_modalities)]
        self.positions = {pattern: at["positions", pattern] for pattern in positions}
        self.samples, *self._streams = (
            RaggedRuns(at["index", i], at.get(("usable", i)), at.get(("places", i))) for i in range(len(rectangles))
        )
        self._stream_order = at["stream order"]
        self._usable_by_fusion = at.get("usable by fusion")

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
        images = torch.arange(self.num_images, device=self.image.device)
        fusion = images[:, None].expand(-1, self.num_patches).flatten()
        return fusion if fusion_only else torch.cat([self.image, fusion])


def _pack_streams(lengths: Sequence[int]) -> tuple[list[RaggedRuns], Tensor]:
    """Group streams of similar length, so that less than half of a rectangle is empty; and the order that undoes that."""
    groups: dict[int, list[tuple[int, int]]] = {}
    for run in _runs(lengths):
        if run[1]:
            groups.setdefault((run[1] - 1).bit_length(), []).append(run)
    rows = [row for group in groups.values() for first, length in group for row in range(first, first + length)]
    return [_rectangle(group) for group in groups.values()], torch.tensor(rows, dtype=torch.int64).argsort()


def _row_at(visible: Tensor) -> Tensor:
    rows = torch.zeros(visible.shape, dtype=torch.int64)
    rows[visible] = torch.arange(int(visible.sum()))
    return rows.transpose(0, 1).flatten(1)


def _runs(lengths: Sequence[int]) -> list[tuple[int, int]]:
    """(first row, length) of runs that follow each other."""
    return list(zip(itertools.accumulate([0, *lengths[:-1]]), lengths))


def _rectangle(runs: list[tuple[int, int]]) -> RaggedRuns:
    first, length = torch.tensor(runs, dtype=torch.int64).reshape(-1, 2).unbind(1)
    longest = int(length.max()) if len(runs) else 0
    place = torch.arange(longest)
    usable = place < length[:, None]
    index = torch.where(usable, first[:, None] + place, 0)
    if usable.all():
        return RaggedRuns(index, None, None)
    return RaggedRuns(index, usable, usable.flatten().nonzero().squeeze(1))
