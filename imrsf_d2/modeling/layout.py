"""Which tokens exist in a batch, and where they lie in the packed token tensor.

Streams are packed as [P, N, D], one row per (sample, modality) pair that exists; fusion tokens as [B, N, D]. Samples
are sorted so that those with the same subset of modalities lie side by side: a group's streams are then a plain view
[G, k * N, D] (k modalities, config order) and nothing absent is ever computed, attended or padded.

A sweep looks at one image with several subsets. Streams see only themselves, so they are the same in each: the image
then has one fusion row per subset, and its streams exist once. Why pre-training has another layout: see `runs.py`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from imrsf_d2.modeling.runs import FusionPart, WholeRuns
from imrsf_d2.modeling.subset_groups import SubsetGroup, group_by_subset
from imrsf_d2.modeling.tracing import refuse_tracing

__all__ = ["ImageGroup", "TokenLayout"]


@dataclass(frozen=True)
class ImageGroup:
    """Images that are seen with the same subsets of modalities.

    Attributes:
        images: which; ascending.
        partial: True if one of them lacks some patch of a modality in one of the subsets.
        rows: subset -> the packed rows that show the images with it, in the order of `images`.
        streams: modality -> the streams of the images, likewise; in config order.
    """

    images: tuple[int, ...]
    partial: bool
    rows: dict[tuple[int, ...], list[int]]
    streams: dict[int, slice | list[int]]


class TokenLayout:
    """Index bookkeeping for one batch, made once and shared by all blocks.

    A row is an image seen with some of its modalities. There are F rows in their original order, of which the R distinct
    ones are packed. Without `images`, every row is an image of its own: F = R = B.

    Args:
        present: [F, M, N] bool, True = this patch of this modality is usable in this row.
        images: which image, 0..B - 1, each row shows. Rows of one image differ in the modalities that they leave out
            and in nothing else: they share its streams, and are packed once if they have the same modalities.
        fusion: whether there are fusion tokens.

    Attributes:
        groups: the groups of rows in packed order.
        num_images: B, the images.
        num_fusion: R, the packed rows.
        fusion_length: the fusion tokens of each: N, or 0 without.
        num_pairs: P, the streams.
        num_full_pairs: streams before this one are of full coverage and need no key mask.
        row_image: the image of each packed row; `pair_image`, `pair_modality`: the image and modality of each stream.

    Raises:
        ValueError: while PyTorch traces.
    """

    def __init__(self, present: Tensor, images: Sequence[int] | None = None, fusion: bool = True):
        refuse_tracing()
        self.present = present
        self.num_rows, self.num_modalities, self.num_patches = present.shape
        self.fusion_length = self.num_patches if fusion else 0
        images = range(self.num_rows) if images is None else images
        self.num_images = len(set(images))
        self.groups = []
        rows: list[int] = []
        packed: dict[int, int] = {}
        pairs: dict[tuple[int, int], tuple[int, int]] = {}  # (image, modality) -> (stream, a row that shows it)
        self.num_full_pairs = 0
        for group in group_by_subset(present):
            distinct: dict[int, int] = {}
            for row in group.index:
                distinct.setdefault(images[row], row)
            at = {image: len(rows) + i for i, image in enumerate(distinct)}
            packed.update((row, at[images[row]]) for row in group.index)
            rows += distinct.values()
            for image, row in distinct.items():
                for m in group.subset:
                    pairs.setdefault((image, m), (len(pairs), row))
            if not group.partial:
                self.num_full_pairs = len(pairs)
            self.groups.append(replace(group, index=tuple(distinct.values())))
        self.num_fusion = len(rows)
        self.num_pairs = len(pairs)
        self.row_image = [images[row] for row in rows]
        self.pair_image = [image for image, _ in pairs]
        self.pair_modality = [m for _, m in pairs]
        self._pairs = pairs
        self._packed = [packed[row] for row in range(self.num_rows)]
        self._key_masks: dict[SubsetGroup, Tensor] = {}

    @property
    def num_tokens(self) -> int:
        """P * N, the rows of modality tokens."""
        return self.num_pairs * self.num_patches

    def spans(self) -> Iterator[tuple[SubsetGroup, slice, slice | list[int]]]:
        """Yield (group, its packed rows, its streams). Streams of rows that share them may be an index list."""
        return iter(self._spans)

    @functools.cached_property
    def _spans(self) -> list[tuple[SubsetGroup, slice, slice | list[int]]]:
        spans, row = [], 0
        for group in self.groups:
            rows = slice(row, row + len(group.index))
            row = rows.stop
            pairs = [self._pairs[image, m][0] for image in self.row_image[rows] for m in group.subset]
            spans.append((group, rows, _as_slice(pairs)))
        return spans

    def image_groups(self) -> list[ImageGroup]:
        """The images by the subsets that they are seen with; without shared streams, the groups of rows."""
        seen: dict[int, list[tuple[SubsetGroup, int]]] = {}
        for group, rows, _ in self.spans():
            for row in range(rows.start, rows.stop):
                seen.setdefault(self.row_image[row], []).append((group, row))
        members: dict[tuple, list[int]] = {}
        for image, views in seen.items():
            subsets = tuple(group.subset for group, _ in views)
            members.setdefault((subsets, any(group.partial for group, _ in views)), []).append(image)
        groups = []
        for (subsets, partial), images in members.items():
            of_subset = {subset: [seen[image][i][1] for image in images] for i, subset in enumerate(subsets)}
            streams = {m: _as_slice([self._pairs[image, m][0] for image in images]) for m in sorted(set().union(*subsets))}
            groups.append(ImageGroup(tuple(images), partial, of_subset, streams))
        return groups

    def usable_patches(self, group: ImageGroup) -> Tensor:
        """[k, G, N] bool: the patches that a group's images have of each of its k modalities."""
        rows = [[self._pairs[image, m][1] for image in group.images] for m in group.streams]
        return torch.stack([self.present[of_one, m] for m, of_one in zip(group.streams, rows)])

    def images_of_rows(self, fusion_only: bool) -> Tensor:
        """The image of each token row that a block returns: N of each stream, unless `fusion_only`, and of each row."""
        rows = self.row_image if self.fusion_length else []
        images = rows if fusion_only else [*self.pair_image, *rows]
        return torch.tensor(images, device=self.present.device).repeat_interleave(self.num_patches)

    def in_packed_order(self, rows: list[int], parts: list[Tensor]) -> Tensor:
        """Bring values that were computed group by group into packed order.

        Args:
            rows: the packed row of each value, part after part.
            parts: [S, ...], R values together.

        Returns:
            [R, ...].
        """
        values = torch.cat(parts)
        return _take(values, _inverse(rows))

    def images_with(self, modality: int) -> list[int]:
        """The images that have a stream of a modality, in the order of the streams."""
        return [image for image, m in self._pairs if m == modality]

    def pack(self, tokens: list[Tensor]) -> Tensor:
        """Bring the tokens of all modalities into packed order.

        Args:
            tokens: for each modality that some image has, in config order, [S_m, N, D] over `images_with(m)`.

        Returns:
            [P, N, D].
        """
        by_modality = torch.cat(tokens)
        # `by_modality` lists the pairs modality after modality; sorting the packed pairs the same way inverts that.
        packed_to_modality = sorted(range(self.num_pairs), key=lambda p: (self.pair_modality[p], p))
        return _take(by_modality, _inverse(packed_to_modality))

    def unpack_rows(self, values: Tensor) -> Tensor:
        """[R, ...] in packed order to [F, ...] in the original order of the rows."""
        return _take(values, self._packed)

    def unpack_streams(self, streams: Tensor, modality: int) -> Tensor:
        """One modality's stream in the original order of the rows, zero where the row or the patch lacks it.

        Args:
            streams: [P, N, D] packed.

        Returns:
            [F, N, D].
        """
        full = streams.new_zeros(self.num_rows, *streams.shape[1:])
        images = [self.row_image[at] for at in self._packed]
        have = [
            (row, self._pairs[image, modality][0]) for row, image in enumerate(images) if (image, modality) in self._pairs
        ]
        if have:
            target, source = torch.tensor(have, device=streams.device).unbind(1)
            full = full.index_copy(0, target, streams[source])
        return full.masked_fill(~self.present[:, modality, :, None], 0.0)

    @functools.cached_property
    def partial_stream_mask(self) -> Tensor:
        """[P - num_full_pairs, N] bool: usable keys of the streams in groups of partial coverage."""
        pairs = [(row, m) for (_, m), (_, row) in self._pairs.items()][self.num_full_pairs :]
        row, modality = torch.tensor(pairs, device=self.present.device).unbind(1)
        return self.present[row, modality]

    def stream_parts(self, most: int | None = None) -> Iterator[WholeRuns]:
        """Yield the streams, `most` at a time, those of full coverage first."""
        for first, last in _cut(0, self.num_full_pairs, most):
            yield WholeRuns(last - first, slice(first, last), self.num_patches, None)
        for first, last in _cut(self.num_full_pairs, self.num_pairs, most):
            usable = self.partial_stream_mask[first - self.num_full_pairs : last - self.num_full_pairs]
            yield WholeRuns(last - first, slice(first, last), self.num_patches, usable)

    def fusion_parts(self, most: int | None = None) -> Iterator[FusionPart]:
        """Yield the groups in parts of `most` packed rows."""
        for group, rows, pairs in self.spans():
            mask, steps = self.group_key_mask(group), len(group.subset)
            for first, last in _cut(0, len(group.index), most):
                usable = None if mask is None else mask[first:last]
                streams = WholeRuns(last - first, _part(pairs, first * steps, last * steps), self.num_patches, None)
                yield FusionPart(slice(rows.start + first, rows.start + last), streams, usable)

    def in_token_order(self, parts: list[Tensor]) -> list[Tensor]:
        """Nothing to do: `stream_parts` yields the streams in packed order."""
        return parts

    def group_key_mask(self, group: SubsetGroup) -> Tensor | None:
        """[G, k * N + fusion_length] bool: usable keys of a group, fusion tokens last; None if full coverage."""
        if not group.partial:
            return None
        if group not in self._key_masks:
            usable = self.present[list(group.index)][:, list(group.subset)].flatten(1)
            self._key_masks[group] = torch.cat([usable, usable.new_ones(len(usable), self.fusion_length)], dim=1)
        return self._key_masks[group]


def _as_slice(indices: list[int]) -> slice | list[int]:
    """The same indices as a slice if they are evenly spaced: a view then, where a list would copy."""
    if not indices:
        return slice(0, 0)
    step = indices[1] - indices[0] if len(indices) > 1 else 1
    if step > 0 and indices == list(range(indices[0], indices[-1] + 1, step)):
        return slice(indices[0], indices[-1] + 1, step)
    return indices


def _take(values: Tensor, indices: list[int]) -> Tensor:
    """`values[indices]`, without a copy if that is all of them in order."""
    if indices == list(range(len(values))):
        return values
    return values[torch.tensor(indices, device=values.device)]


def _inverse(order: list[int]) -> list[int]:
    """The permutation that undoes another."""
    return sorted(range(len(order)), key=order.__getitem__)


def _part(indices: slice | list[int], first: int, last: int) -> slice | list[int]:
    """The indices from position `first` up to `last` of such a list or slice."""
    if isinstance(indices, slice):
        step = indices.step or 1
        return slice(indices.start + first * step, min(indices.start + last * step, indices.stop), step)
    return _as_slice(indices[first:last])


def _cut(start: int, stop: int, most: int | None) -> Iterator[tuple[int, int]]:
    """The range in pieces (first, last) of at most so many."""
    step = most or max(stop - start, 1)
    for first in range(start, stop, step):
        yield first, min(first + step, stop)
