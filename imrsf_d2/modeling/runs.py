"""What attention asks of a token layout: which token rows attend together, as rectangles.

There are two layouts, and one attention for both. `TokenLayout` holds whole streams: its rectangles are views, cut out by
slices, and a patch that a sample lacks is computed and masked. `VisibleLayout` holds single tokens: its rectangles are
gathered through an index, and no hidden patch is computed.

Neither is as fast as the other where the other is used. Measured on a ViT-B without Bi-LSTM, three modalities of 256 x
256 px (N = 256), forward and backward on one CPU core: as single tokens, a supervised batch of 4 takes 1.1 times as long
with complete input and 1.2 times with mixed subsets (1 block), because every block copies queries, keys and values into
rectangles. As whole streams, pre-training with 256 of 768 patches visible takes 1.8 times as long (3 blocks), because the
hidden patches are computed, too. Single tokens also could not be overwritten in place, as inference does part by part.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from torch import Tensor

__all__ = ["FusionPart", "Layout", "RaggedRuns", "Runs", "WholeRuns"]


class Runs(Protocol):
    """S runs of token rows, seen as a rectangle [S, L]."""

    @property
    def usable(self) -> Tensor | None:
        """[S, L] bool, True = this place may be attended; None if all may."""

    def take(self, values: Tensor) -> Tensor:
        """[T, ...] values of all token rows to [S, L, ...] of the runs."""

    def select(self, values: Tensor) -> Tensor:
        """[S, L, ...] back to the token rows of the runs alone, run after run."""


@dataclass(frozen=True)
class WholeRuns:
    """Runs of whole streams, N token rows each: views wherever the streams are evenly spaced.

    Attributes:
        num_runs: S.
        streams: the streams, `len(streams) / S` in each run, one run after the other.
        num_patches: N.
        usable: see `Runs`.
    """

    num_runs: int
    streams: slice | Tensor
    num_patches: int
    usable: Tensor | None

    def take(self, values: Tensor) -> Tensor:
        chosen = values.unflatten(0, (-1, self.num_patches))[self.streams]
        if not len(chosen):
            return values.new_empty(self.num_runs, 0, *values.shape[1:])
        return chosen.unflatten(0, (self.num_runs, -1)).flatten(1, 2)

    def select(self, values: Tensor) -> Tensor:
        return values.flatten(0, 1)


@dataclass(frozen=True)
class RaggedRuns:
    """Runs of different lengths.

    Attributes:
        index: [S, L] int64, the token row at each place; where a run is shorter, some other row.
        usable: [S, L] bool, True = this place belongs to its run; None if all do.
        places: [R] int64, the places that belong to a run among all S * L; None if all do.
    """

    index: Tensor
    usable: Tensor | None
    places: Tensor | None

    def take(self, values: Tensor) -> Tensor:
        return values[self.index]

    def select(self, values: Tensor) -> Tensor:
        values = values.flatten(0, 1)
        return values if self.places is None else values[self.places]


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

    @property
    def num_tokens(self) -> int:
        """T."""

    def stream_parts(self) -> Iterator[Runs]:
        """Yield every stream once, those together that attend in one call, each to itself."""

    def fusion_parts(self) -> Iterator[FusionPart]:
        """Yield all packed rows, and so all fusion queries, in order."""

    def in_token_order(self, parts: list[Tensor]) -> list[Tensor]:
        """Bring what `select` returns for each of `stream_parts` into pieces that follow the order of the tokens."""

    def images_of_rows(self, fusion_only: bool) -> Tensor:
        """The image of each row that a block returns: all of them, or those of the fusion tokens."""
