"""Which tokens a batch has, and in which order they lie: bookkeeping on the CPU, from which `TokenLayout` makes its indices.

Token rows are those of whole streams, N each; then those of streams that lack patches, short ones first, which hold usable
patches alone. Rows of fusion tokens follow. Samples that lack no patch are sorted by their modalities, so that the streams of
those that have the same lie side by side; the others are sorted by the number of their tokens.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from imrsf_d2.modeling.subset_groups import SubsetGroup, group_by_subset

__all__ = ["Stream", "TokenOrder", "similar_lengths"]


class Stream(NamedTuple):
    """The tokens of one modality of one image.

    Attributes:
        image, modality: which.
        row: an original row that shows it.
        length: its tokens.
    """

    image: int
    modality: int
    row: int
    length: int


class TokenOrder:
    """The order of the tokens of a batch; for rows and images see `TokenLayout`.

    Args:
        present: [F, M, N] bool on the CPU.
        images: of each row.

    Attributes:
        groups: packed rows of full coverage, by their modalities; `index` is of original rows.
        rows: the original row of each packed one. row_image, row_subset: its image, and the modalities that it has.
        num_whole_rows: the rows of `groups`; the others follow.
        packed: the packed row of each original one.
        streams: in the order of their tokens. starts: their first token rows, and the number T of all.
        num_whole: the streams of N tokens; the others follow.
        stream_of: (image, modality) -> number of the stream.
    """

    def __init__(self, present: Tensor, images: Sequence[int]):
        self.present, self.images = present, images
        self.groups: list[SubsetGroup] = []
        of_row: dict[int, tuple[int, ...]] = {}
        same: dict[int, int] = {}  # original row -> the first that shows the same
        partial: list[int] = []
        for group in group_by_subset(present):
            distinct: dict[int, int] = {}
            for row in group.index:
                same[row] = distinct.setdefault(images[row], row)
            of_row.update((row, group.subset) for row in distinct.values())
            if group.partial:
                partial += distinct.values()
            else:
                self.groups.append(SubsetGroup(group.subset, False, tuple(distinct.values())))
        lengths = present.sum(dim=2).tolist()
        whole = [row for group in self.groups for row in group.index]
        self.rows = whole + sorted(partial, key=lambda row: sum(lengths[row]))
        self.num_whole_rows = len(whole)
        self.row_image = [images[row] for row in self.rows]
        self.row_subset = [of_row[row] for row in self.rows]
        at = {row: number for number, row in enumerate(self.rows)}
        self.packed = [at[same[row]] for row in range(len(present))]

        num_patches = present.shape[2]
        found = {(images[row], m): Stream(images[row], m, row, lengths[row][m]) for row in self.rows for m in of_row[row]}
        # Sorted by length below N alone: whole streams stay in the order of their groups.
        self.streams = sorted(found.values(), key=lambda stream: (stream.length < num_patches, stream.length))
        self.num_whole = sum(stream.length == num_patches for stream in self.streams)
        self.starts = list(itertools.accumulate((stream.length for stream in self.streams), initial=0))
        self.stream_of = {(stream.image, stream.modality): number for number, stream in enumerate(self.streams)}

    @cached_property
    def places(self) -> tuple[Tensor, Tensor, Tensor]:
        """Image, modality and patch of each token row, [T] int64."""
        lengths = torch.tensor([stream.length for stream in self.streams], dtype=torch.int64)
        image, modality, row = (
            torch.tensor(values, dtype=torch.int64)
            for values in ([getattr(s, name) for s in self.streams] for name in ("image", "modality", "row"))
        )
        short = self.present[row[self.num_whole :], modality[self.num_whole :]]
        whole = torch.arange(self.present.shape[2]).repeat(self.num_whole)
        patch = torch.cat([whole, short.nonzero()[:, 1]])
        return image.repeat_interleave(lengths), modality.repeat_interleave(lengths), patch

    @cached_property
    def table(self) -> Tensor:
        """[B, M, N] int64, the token row of each patch; 0 where there is none."""
        table = torch.zeros(max(self.images) + 1, *self.present.shape[1:], dtype=torch.int64)
        table[self.places] = torch.arange(self.starts[-1])
        return table

    def tokens_of_row(self, row: int) -> Tensor:
        """All token rows of a packed row, modality after modality, int64."""
        return self.table[self.row_image[row]][self.present[self.rows[row]]]


def similar_lengths(lengths: Sequence[int], alone: int) -> Iterator[tuple[int, int]]:
    """Ranges (first, last) of ascending lengths that are computed together: equal ones, or in short ones up to twice the shortest.

    Args:
        alone: from this length on, only equal ones.
    """
    first = 0
    for _, group in itertools.groupby(lengths, lambda n: (n >= alone, n if n >= alone else (n - 1).bit_length())):
        last = first + len(list(group))
        yield first, last
        first = last
