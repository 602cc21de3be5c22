"""Which tokens exist in a batch, and where they lie in the packed token tensor.

Streams are packed as [P, N, D], one row per (sample, modality) pair that exists; fusion tokens as [B, N, D]. Samples
are sorted so that those with the same subset of modalities lie side by side: a group's streams are then a plain view
[G, k * N, D] (k modalities, config order) and nothing absent is ever computed, attended or padded.

A sweep looks at one image with several subsets. Streams see only themselves, so they are the same in each: the image
then has one fusion row per subset, and its streams exist once. Why pre-training has another layout: see `runs.py`.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from imrsf_d2.modeling.runs import FusionPart, WholeRuns
from imrsf_d2.modeling.subset_groups import SubsetGroup, group_by_subset, positions_by_pattern
from imrsf_d2.modeling.tracing import refuse_tracing
from imrsf_d2.modeling.transfer import to_device

__all__ = ["ImageGroup", "TokenLayout"]


@dataclass(frozen=True)
class ImageGroup:
    """Images that are seen with the same subsets of modalities.

    Attributes:
        images: which; ascending.
        partial: True if one of them lacks some patch of a modality in one of the subsets.
        rows: subset -> the packed rows that show the images with it, in the order of `images`.
        streams: modality -> the streams of the images, likewise; in config order.
        positions: set of modalities -> those of the images' G * N positions that have exactly these; int64. Empty unless partial.
    """

    images: tuple[int, ...]
    partial: bool
    rows: dict[tuple[int, ...], list[int]]
    streams: dict[int, slice | Tensor]
    positions: dict[tuple[int, ...], Tensor]


class TokenLayout:
    """Index bookkeeping for one batch, made once and shared by all blocks.

    Which patches are present is read once, and all indices go to the device together: the host waits for it here, to read,
    and nowhere else.

    A row is an image seen with some of its modalities. There are F rows in their original order, of which the R distinct
    ones are packed. Without `images`, every row is an image of its own: F = R = B.

    Args:
        present: [F, M, N] bool, True = this patch of this modality is usable in this row.
        images: which image, 0..B - 1, each row shows. Rows of one image differ in the modalities that they leave out
            and in nothing else: they share its streams, and are packed once if they have the same modalities.
        fusion: whether there are fusion tokens.

    Attributes:
        groups: the groups of rows in packed order.
        image_groups: the images by the subsets that they are seen with; without shared streams, the groups of rows.
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
        host = present.cpu()
        for group in group_by_subset(host):
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
        self._spans = self._find_spans()
        image_groups = self._group_images(host)
        self._at = to_device(self._indices(host, rows, image_groups), present.device)
        self.image_groups = [
            replace(
                group,
                streams={m: self._at.get(("streams", i, m), at) for m, at in group.streams.items()},
                positions={pattern: self._at["positions", i, pattern] for pattern in group.positions},
            )
            for i, group in enumerate(image_groups)
        ]

    @property
    def num_tokens(self) -> int:
        """P * N, the rows of modality tokens."""
        return self.num_pairs * self.num_patches

    def spans(self) -> Iterator[tuple[SubsetGroup, slice, slice | Tensor]]:
        """Yield (group, its packed rows, its streams). Streams of rows that share them may be indices."""
        for i, (group, rows, pairs) in enumerate(self._spans):
            yield group, rows, pairs if isinstance(pairs, slice) else self._at["span", i]

    def _find_spans(self) -> list[tuple[SubsetGroup, slice, slice | list[int]]]:
        spans, row = [], 0
        for group in self.groups:
            rows = slice(row, row + len(group.index))
            row = rows.stop
            pairs = [self._pairs[image, m][0] for image in self.row_image[rows] for m in group.subset]
            spans.append((group, rows, _as_slice(pairs)))
        return spans

    def _group_images(self, present: Tensor) -> list[ImageGroup]:
        """`image_groups` on the CPU, their streams as tensors unless they are evenly spaced."""
        seen: dict[int, list[tuple[SubsetGroup, int]]] = {}
        for group, rows, _ in self._spans:
            for row in range(rows.start, rows.stop):
                seen.setdefault(self.row_image[row], []).append((group, row))
        members: dict[tuple, list[int]] = {}
        for image, views in seen.items():
            subsets = tuple(group.subset for group, _ in views)
            members.setdefault((subsets, any(group.partial for group, _ in views)), []).append(image)
        groups = []
        for (subsets, partial), images in members.items():
            of_subset = {subset: [seen[image][i][1] for image in images] for i, subset in enumerate(subsets)}
            modalities = sorted(set().union(*subsets))
            pairs = {m: [self._pairs[image, m] for image in images] for m in modalities}
            streams = {m: _as_index([stream for stream, _ in of_modality]) for m, of_modality in pairs.items()}
            positions = {}
            if partial:
                usable = torch.stack([present[[row for _, row in pairs[m]], m] for m in modalities])
                positions = {
                    tuple(modalities[i] for i in pattern): at
                    for pattern, at in positions_by_pattern(usable.flatten(1)).items()
                }
            groups.append(ImageGroup(tuple(images), partial, of_subset, streams, positions))
        return groups

    def _indices(self, present: Tensor, rows: list[int], image_groups: list[ImageGroup]) -> dict[Hashable, Tensor]:
        """All that the device is told about the batch, on the CPU. Orders that change nothing are left out."""
        gathered = [row for group in image_groups for of_subset in group.rows.values() for row in of_subset]
        orders: dict[Hashable, list[int]] = {
            "rows": rows,
            "unpack": self._packed,
            "gathered": _inverse(gathered),
            # Tokens are embedded modality after modality; sorting the packed pairs the same way inverts that.
            "pack": _inverse(sorted(range(self.num_pairs), key=lambda p: (self.pair_modality[p], p))),
        }
        lists = {key: order for key, order in orders.items() if order != list(range(len(order)))}
        lists["images of rows"] = self.pair_image + (self.row_image if self.fusion_length else [])
        for m in range(self.num_modalities):
            if (images := self.images_with(m)) != list(range(self.num_images)):
                lists["images", m] = images
            have = [
                (row, self._pairs[image, m][0])
                for row, image in enumerate(self.row_image[at] for at in self._packed)
                if (image, m) in self._pairs
            ]
            lists["rows with", m], lists["streams of", m] = [row for row, _ in have], [stream for _, stream in have]
        lists.update((("span", i), pairs) for i, (_, _, pairs) in enumerate(self._spans) if isinstance(pairs, list))
        indices: dict[Hashable, Tensor] = {key: torch.tensor(values, dtype=torch.int64) for key, values in lists.items()}
        for i, image_group in enumerate(image_groups):
            indices.update((("streams", i, m), at) for m, at in image_group.streams.items() if isinstance(at, Tensor))
            indices.update((("positions", i, pattern), at) for pattern, at in image_group.positions.items())
        for group in self.groups:
            if group.partial:
                usable = present[list(group.index)][:, list(group.subset)].flatten(1)
                indices[group] = torch.cat([usable, usable.new_ones(len(usable), self.fusion_length)], dim=1)
        partial = [(row, m) for (_, m), (_, row) in self._pairs.items()][self.num_full_pairs :]
        if partial:
            of_row, of_modality = torch.tensor(partial).unbind(1)
            indices["partial streams"] = present[of_row, of_modality]
        return indices

    def images_of_rows(self, fusion_only: bool) -> Tensor:
        """The image of each token row that a block returns: N of each stream, unless `fusion_only`, and of each row."""
        images = self._at["images of rows"][self.num_pairs if fusion_only else 0 :]
        return images[:, None].expand(-1, self.num_patches).flatten()

    @property
    def present_in_packed_order(self) -> Tensor:
        """[R, M, N]: `present` of each packed row."""
        return self._take(self.present, "rows")

    def in_packed_order(self, parts: list[Tensor]) -> Tensor:
        """Bring values that were computed for the rows of each of `image_groups` into packed order.

        Args:
            parts: [S, ...], for each group and each of its subsets; R values together.

        Returns:
            [R, ...].
        """
        return self._take(torch.cat(parts), "gathered")

    def images_with(self, modality: int) -> list[int]:
        """The images that have a stream of a modality, in the order of the streams."""
        return [image for image, m in self._pairs if m == modality]

    def index_of_images_with(self, modality: int) -> slice | Tensor:
        """Likewise as an index on the device; a slice if these are all images of the batch."""
        # Picking every image of a complete batch would copy it for nothing.
        return self._at.get(("images", modality), slice(None))

    def pack(self, tokens: list[Tensor]) -> Tensor:
        """Bring the tokens of all modalities into packed order.

        Args:
            tokens: for each modality that some image has, in config order, [S_m, N, D] over `images_with(m)`.

        Returns:
            [P, N, D].
        """
        return self._take(torch.cat(tokens), "pack")

    def unpack_rows(self, values: Tensor) -> Tensor:
        """[R, ...] in packed order to [F, ...] in the original order of the rows."""
        return self._take(values, "unpack")

    def unpack_streams(self, streams: Tensor, modality: int) -> Tensor:
        """One modality's stream in the original order of the rows, zero where the row or the patch lacks it.

        Args:
            streams: [P, N, D] packed.

        Returns:
            [F, N, D].
        """
        full = streams.new_zeros(self.num_rows, *streams.shape[1:])
        target, source = self._at["rows with", modality], self._at["streams of", modality]
        if len(target):
            full = full.index_copy(0, target, streams[source])
        return full.masked_fill(~self.present[:, modality, :, None], 0.0)

    def _take(self, values: Tensor, order: str) -> Tensor:
        """The values in another order; as they are, and no copy, if it is theirs."""
        return values[self._at[order]] if order in self._at else values

    def stream_parts(self, most: int | None = None) -> Iterator[WholeRuns]:
        """Yield the streams, `most` at a time, those of full coverage first."""
        for first, last in _cut(0, self.num_full_pairs, most):
            yield WholeRuns(last - first, slice(first, last), self.num_patches, None)
        for first, last in _cut(self.num_full_pairs, self.num_pairs, most):
            usable = self._at["partial streams"][first - self.num_full_pairs : last - self.num_full_pairs]
            yield WholeRuns(last - first, slice(first, last), self.num_patches, usable)

    def fusion_parts(self, most: int | None = None) -> Iterator[FusionPart]:
        """Yield the groups in parts of `most` packed rows."""
        for i, (group, rows, pairs) in enumerate(self._spans):
            mask, steps, at = self.group_key_mask(group), len(group.subset), self._at.get(("span", i))
            for first, last in _cut(0, len(group.index), most):
                usable = None if mask is None else mask[first:last]
                streams = WholeRuns(last - first, _part(pairs, at, first * steps, last * steps), self.num_patches, None)
                yield FusionPart(slice(rows.start + first, rows.start + last), streams, usable)

    def in_token_order(self, parts: list[Tensor]) -> list[Tensor]:
        """Nothing to do: `stream_parts` yields the streams in packed order."""
        return parts

    def group_key_mask(self, group: SubsetGroup) -> Tensor | None:
        """[G, k * N + fusion_length] bool: usable keys of a group, fusion tokens last; None if full coverage."""
        return self._at.get(group)


def _as_slice(indices: list[int]) -> slice | list[int]:
    """The same indices as a slice if they are evenly spaced: a view then, where a list would copy."""
    if not indices:
        return slice(0, 0)
    step = indices[1] - indices[0] if len(indices) > 1 else 1
    if step > 0 and indices == list(range(indices[0], indices[-1] + 1, step)):
        return slice(indices[0], indices[-1] + 1, step)
    return indices


def _as_index(indices: list[int]) -> slice | Tensor:
    """Likewise, but a tensor instead of a list."""
    evenly = _as_slice(indices)
    return evenly if isinstance(evenly, slice) else torch.tensor(evenly)


def _inverse(order: list[int]) -> list[int]:
    """The permutation that undoes another."""
    return sorted(range(len(order)), key=order.__getitem__)


def _part(indices: slice | list[int], at: Tensor | None, first: int, last: int) -> slice | Tensor:
    """The indices from position `first` up to `last` of a slice, or of a list that is on the device as `at`."""
    if isinstance(indices, slice):
        step = indices.step or 1
        return slice(indices.start + first * step, min(indices.start + last * step, indices.stop), step)
    part = _as_slice(indices[first:last])
    if isinstance(part, slice):
        return part
    assert at is not None
    return at[first:last]


def _cut(start: int, stop: int, most: int | None) -> Iterator[tuple[int, int]]:
    """The range in pieces (first, last) of at most so many."""
    step = most or max(stop - start, 1)
    for first in range(start, stop, step):
        yield first, min(first + step, stop)
