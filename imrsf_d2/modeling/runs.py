"""What attention asks of a token layout: which token rows attend together, as rectangles.

`TokenLayout` holds what a batch has and nothing else, so the rectangles are of different sizes; `FixedLayout` holds one of every
patch of every modality, for exporters, and masks what is missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["FusionPart", "Layout", "Runs", "StreamPart", "padded_runs", "pick"]


def pick(values: Tensor, rows: Tensor) -> Tensor:
    """`values[rows]`, some of them repeatedly, with gradients that are the same in every run.

    On a CPU, several threads add up the gradient of an index in any order; that of an embedding is added up in one.

    Args:
        values: [T, ...].
        rows: [...] int64.
    """
    if not values.requires_grad:
        return values[rows]
    return F.embedding(rows, values.flatten(1)).unflatten(-1, values.shape[1:])


@dataclass(frozen=True)
class Runs:
    """S runs of token rows, seen as a rectangle [S, L].

    Attributes:
        num_runs, length: S and L, the length of the longest run.
        rows: adjacent rows of all runs, one run after the other, which are then equally long: a view. Or [S, L] int64, the row at
            each place; where a run is shorter, its first row again.
        usable: [S, L] bool, True = this place may be attended; None if all may.
        places: int64, the places that belong to a run among all S * L; None if all do.
        lengths: of each run; None if all are L.
    """

    num_runs: int
    length: int
    rows: slice | Tensor
    usable: Tensor | None = None
    places: Tensor | None = None
    lengths: Sequence[int] | None = None

    def tensors(self) -> dict[str, Tensor]:
        """The indices and flags by the names of their attributes."""
        return {name: values for name, values in vars(self).items() if isinstance(values, Tensor)}

    def with_tensors(self, moved: Mapping[str, Tensor]) -> Runs:
        """The same runs with what `tensors` gives on another device."""
        rows = moved.get("rows", self.rows)
        return replace(self, rows=rows, usable=moved.get("usable"), places=moved.get("places"))

    def take(self, values: Tensor, first: int = 0) -> Tensor:
        """[S, L, ...] of the runs.

        Args:
            values: [rows, ...] of the token rows from row `first` on.
        """
        if isinstance(self.rows, slice):
            chosen = values[self.rows.start - first : self.rows.stop - first]
            return chosen.unflatten(0, (self.num_runs, self.length))
        return pick(values, self.rows - first if first else self.rows)

    def select(self, values: Tensor) -> Tensor:
        """[S, L, ...] back to the token rows of the runs alone, run after run."""
        values = values.flatten(0, 1)
        return values if self.places is None else values[self.places]

    def cut(self, most: int | None) -> Iterator[tuple[slice, Runs]]:
        """Yield the runs in parts of at most so many, each with the numbers of its runs; all at once if None."""
        if most is None or most >= self.num_runs:
            yield slice(0, self.num_runs), self
            return
        for first in range(0, self.num_runs, most):
            part = slice(first, min(first + most, self.num_runs))
            yield part, self._part(part)

    def _part(self, part: slice) -> Runs:
        number = part.stop - part.start
        if isinstance(self.rows, slice):
            start = self.rows.start + part.start * self.length
            rows: slice | Tensor = slice(start, start + number * self.length)
        else:
            rows = self.rows[part]
        usable = None if self.usable is None else self.usable[part]
        if self.places is None or self.lengths is None:
            return Runs(number, self.length, rows, usable)
        before, own = sum(self.lengths[: part.start]), sum(self.lengths[part])
        places = self.places[before : before + own] - part.start * self.length
        return Runs(number, self.length, rows, usable, places, self.lengths[part])


def padded_runs(runs: Sequence[Tensor]) -> Runs:
    """Runs of these token rows, those that are shorter filled up.

    Args:
        runs: [L_s] int64 on the CPU, none of them empty.
    """
    lengths = [len(run) for run in runs]
    rows = torch.nn.utils.rnn.pad_sequence(list(runs), batch_first=True, padding_value=-1)
    usable, (number, longest) = rows >= 0, rows.shape
    if usable.all():
        return Runs(number, longest, rows)
    # A place that is filled up takes part in nothing, but reads some row: one of its own part, wherever runs are cut.
    filled = torch.where(usable, rows, rows[:, :1])
    return Runs(number, longest, filled, usable, usable.flatten().nonzero().squeeze(1), lengths)


class StreamPart(NamedTuple):
    """Streams that attend in one call, each to itself.

    Attributes:
        rows: their token rows, which are adjacent.
        runs: the streams.
    """

    rows: slice
    runs: Runs


class FusionPart(NamedTuple):
    """Fusion queries that are computed together, and what they see.

    Attributes:
        rows: the G packed rows of fusion tokens.
        streams: the modality tokens of these rows, as G runs.
        usable: [G, L + N] bool, True = this key may be attended, fusion tokens last; None if all may.
    """

    rows: slice
    streams: Runs
    usable: Tensor | None


class Layout(Protocol):
    """Where the tokens of a batch lie: T rows of modality tokens, then the fusion tokens of each packed row.

    These are N for each, one at every position (`fusion_length`); or none at all, if features are read out from the modality
    tokens.
    """

    num_images: int
    num_patches: int
    fusion_length: int
    num_tokens: int

    def stream_parts(self) -> Iterator[StreamPart]:
        """Yield every stream once, in the order of the tokens."""

    def fusion_parts(self) -> Iterator[FusionPart]:
        """Yield all packed rows, and so all fusion queries, in order."""

    def in_token_order(self, parts: list[Tensor]) -> list[Tensor]:
        """Bring what `select` returns for each of `fusion_parts` into pieces that follow the order of the tokens.

        Only if no two packed rows share a stream.
        """

    def images_of_rows(self, fusion_only: bool) -> Tensor:
        """The image of each row that a block returns: all of them, or those of the fusion tokens."""
