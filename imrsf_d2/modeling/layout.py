"""Which tokens exist in a batch, and where they lie in the packed token tensor.

Modality tokens are packed as [T, D], stream after stream, and only those of usable patches: nothing absent is computed, attended
or padded. Streams that lack no patch come first, those of samples with the same modalities side by side: what such samples attend
to is then a plain view [G, k * N, D] (k modalities, config order). Of the others, those of the same length are a view. Fusion
tokens follow as [R * N, D].

A sweep looks at one image with several subsets. Streams see only themselves, so they are the same in each: the image
then has one fusion row per subset, and its streams exist once.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property

import torch
from torch import Tensor

from imrsf_d2.modeling.image_groups import ImageGroup, group_images
from imrsf_d2.modeling.runs import FusionPart, Runs, StreamPart, padded_runs
from imrsf_d2.modeling.token_order import TokenOrder, similar_lengths
from imrsf_d2.modeling.tracing import refuse_tracing
from imrsf_d2.modeling.transfer import to_device

__all__ = ["TokenLayout"]

#: From this many keys on, only runs of the same length attend in one call, without a mask; shorter ones are filled up to that of
#: the longest. On a CPU a call costs little, and one per length takes half the time from 64 keys on (24 streams of 33 to
#: 64 tokens, D = 768, float32). A GPU waits for the next call unless there is much to compute in each.
CPU_ALONE, GPU_ALONE = 32, 2048


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
        device: of the tokens; default: that of `present`.
        grid: (Hp, Wp), how the N patches lie; default: in one row.

    Attributes:
        num_images: B, the images.
        num_fusion: R, the packed rows.
        fusion_length: the fusion tokens of each: N, or 0 without.
        num_tokens: T.
        image_groups: the images by the subsets that they are seen with.
        modality: [T] int64, of each token.
        used: the modalities with at least one token.
        has_tokens: [F, M] bool on the CPU, whether a row has a token of a modality.

    Raises:
        ValueError: while PyTorch traces.
    """

    def __init__(
        self,
        present: Tensor,
        images: Sequence[int] | None = None,
        fusion: bool = True,
        device: torch.device | None = None,
        grid: tuple[int, int] | None = None,
    ):
        refuse_tracing()
        self.present = present
        self.device = device or present.device
        self.num_rows, self.num_modalities, self.num_patches = present.shape
        self.grid = (1, self.num_patches) if grid is None else grid
        self.fusion_length = self.num_patches if fusion else 0
        images = range(self.num_rows) if images is None else images
        self.num_images = len(set(images))
        order = self._order = TokenOrder(present.cpu(), images)
        self.num_fusion, self.num_tokens = len(order.rows), order.starts[-1]
        self.num_whole_tokens = order.num_whole * self.num_patches
        self.has_tokens = order.present.any(dim=2)
        self.used = sorted({stream.modality for stream in order.streams})
        self._alone = CPU_ALONE if self.device.type == "cpu" else GPU_ALONE
        streams, rows, groups = self._stream_runs(), self._row_runs(), group_images(order)
        indices = self._indices(groups)
        for kind, parts in (("streams", streams), ("rows", rows)):
            for i, part in enumerate(parts):
                indices.update(((kind, i, name), values) for name, values in part.tensors().items())
        for i, runs in enumerate(rows):
            if runs.usable is not None:
                own = runs.usable.new_ones(runs.num_runs, self.fusion_length)
                indices["usable by fusion", i] = torch.cat([runs.usable, own], dim=1)
        at = self._at = to_device(indices, self.device)
        self.modality = at["modality"]
        self._streams, self._rows = (
            [part.with_tensors({name: at[kind, i, name] for name in part.tensors()}) for i, part in enumerate(parts)]
            for kind, parts in (("streams", streams), ("rows", rows))
        )
        self.image_groups = [_moved(group, i, at) for i, group in enumerate(groups)]

    def _stream_runs(self) -> list[Runs]:
        """All streams on the CPU, those together that attend in one call, in the order of their tokens."""
        order, first = self._order, self._order.num_whole
        lengths = [stream.length for stream in order.streams[first:]]
        ranges = [(0, first)] if first else []
        ranges += [(first + start, first + stop) for start, stop in similar_lengths(lengths, self._alone)]
        runs = []
        for start, stop in ranges:
            length = order.streams[stop - 1].length
            if order.streams[start].length == length:
                runs.append(Runs(stop - start, length, slice(order.starts[start], order.starts[stop])))
            else:
                runs.append(padded_runs([torch.arange(*order.starts[i : i + 2]) for i in range(start, stop)]))
        return runs

    def _row_runs(self) -> list[Runs]:
        """What the fusion tokens of all packed rows see of the modalities, likewise, in the order of the rows."""
        order, runs, row = self._order, [], 0
        for group in order.groups:
            images = order.row_image[row : row + len(group.index)]
            row += len(group.index)
            streams = [order.stream_of[image, m] for image in images for m in group.subset]
            first, length = (streams or [0])[0], len(group.subset) * self.num_patches
            at: slice | Tensor = slice(first * self.num_patches, (first + len(streams)) * self.num_patches)
            if streams != list(range(first, first + len(streams))):
                at = torch.tensor(streams)[:, None] * self.num_patches + torch.arange(self.num_patches)
                at = at.reshape(len(images), length)
            runs.append(Runs(len(images), length, at))
        partial = [order.tokens_of_row(number) for number in range(row, self.num_fusion)]
        keys = [len(tokens) + self.fusion_length for tokens in partial]
        return runs + [padded_runs(partial[first:last]) for first, last in similar_lengths(keys, self._alone)]

    def _indices(self, groups: list[ImageGroup]) -> dict[Hashable, Tensor]:
        """What the device is told about the batch besides, on the CPU. Orders that change nothing are left out."""
        order = self._order
        image, modality, patch = order.places
        short = modality[self.num_whole_tokens :].argsort(stable=True)
        gathered = [row for group in groups for of_subset in group.rows.values() for row in of_subset]
        whole = order.streams[: order.num_whole]
        orders: dict[Hashable, list[int]] = {
            "unpack": order.packed,
            "pack rows": order.rows,
            "gathered": _inverse(gathered),
            # Tokens are embedded modality after modality; sorting the streams the same way inverts that.
            "pack": _inverse(sorted(range(len(whole)), key=lambda number: (whole[number].modality, number))),
        }
        for m in range(self.num_modalities):
            for key, streams in (("images", order.streams), ("whole images", whole)):
                having = [stream.image for stream in streams if stream.modality == m]
                if having != list(range(self.num_images)):
                    orders[key, m] = having
        indices: dict[Hashable, Tensor] = {
            key: torch.tensor(values, dtype=torch.int64)
            for key, values in orders.items()
            if isinstance(key, tuple) or values != list(range(len(values)))
        }
        own = torch.tensor(order.row_image if self.fusion_length else [], dtype=torch.int64)
        indices["modality"] = modality
        indices["images of rows"] = torch.cat([image, own.repeat_interleave(self.num_patches)])
        indices["short images"] = image[self.num_whole_tokens :][short]
        indices["short patches"] = patch[self.num_whole_tokens :]
        indices["short patches by modality"] = indices["short patches"][short]
        indices["pack short"] = short.argsort()
        for i, group in enumerate(groups):
            for name in ("streams", "positions", "tokens"):
                of_group: Mapping[Hashable, slice | Tensor] = getattr(group, name)
                indices.update(((name, i, key), at) for key, at in of_group.items() if isinstance(at, Tensor))
            if group.order is not None:
                indices["order", i] = group.order
        return indices

    def images_of_rows(self, fusion_only: bool) -> Tensor:
        """The image of each token row that a block returns: those of the modalities, unless `fusion_only`, and N of each row."""
        return self._at["images of rows"][self.num_tokens if fusion_only else 0 :]

    def in_packed_order(self, parts: list[Tensor]) -> Tensor:
        """Bring values that were computed for the rows of each of `image_groups` into packed order.

        Args:
            parts: [S, ...], for each group and each of its subsets; R values together.

        Returns:
            [R, ...].
        """
        return self._take(torch.cat(parts), "gathered")

    def whole_images(self, modality: int) -> slice | Tensor | None:
        """The images that have every patch of a modality, as an index on the device; None if there is none.

        A slice if these are all images: picking them would copy the batch for nothing.
        """
        return self._images("whole images", modality)

    def images_by_modality(self) -> dict[int, slice | Tensor]:
        """Modality -> the images that have a token of it, likewise; those of no image are left out."""
        return {m: at for m in self.used if (at := self._images("images", m)) is not None}

    def _images(self, which: str, modality: int) -> slice | Tensor | None:
        at = self._at.get((which, modality), slice(self.num_images))  # further views of them follow in a batch
        return None if isinstance(at, Tensor) and not len(at) else at

    def short_patches(self, modality: int) -> tuple[Tensor, Tensor]:
        """Image and patch, [k] int64, of the tokens of a modality in images that lack some of its patches."""
        short = self._order.streams[self._order.num_whole :]
        first = sum(stream.length for stream in short if stream.modality < modality)
        at = slice(first, first + sum(stream.length for stream in short if stream.modality == modality))
        return self._at["short images"][at], self._at["short patches by modality"][at]

    def pack(self, whole: list[Tensor], short: list[Tensor], positions: Tensor) -> Tensor:
        """Bring the tokens of all modalities into packed order, and add their positions.

        Args:
            whole: for each modality that some image has entirely, in config order, [S_m, N, D] over `whole_images(m)`.
            short: for each modality that some image has in part, in config order, [k_m, D] over `short_patches(m)`.
            positions: [N, D].

        Returns:
            [T, D].
        """
        parts = []
        if whole:
            parts.append((self._take(torch.cat(whole), "pack") + positions).flatten(0, 1))
        if short:
            parts.append(torch.cat(short)[self._at["pack short"]] + positions[self._at["short patches"]])
        if not parts:
            return positions.new_zeros(0, positions.shape[1])
        return torch.cat(parts) if len(parts) > 1 else parts[0]

    def whole_streams(self, tokens: Tensor) -> Tensor:
        """[S, N, D] of the streams that lack no patch, of all token rows [..., D]."""
        return tokens[: self.num_whole_tokens].unflatten(0, (-1, self.num_patches))

    def pack_rows(self, values: Tensor) -> Tensor:
        """[B, ...] of all images, each of which is one row, to packed order."""
        return self._take(values, "pack rows")

    def unpack_rows(self, values: Tensor) -> Tensor:
        """[R, ...] in packed order to [F, ...] in the original order of the rows."""
        return self._take(values, "unpack")

    def unpack_streams(self, tokens: Tensor, modality: int) -> Tensor:
        """One modality's stream in the original order of the rows, zero where the row or the patch lacks it.

        Args:
            tokens: [T, D] packed.

        Returns:
            [F, N, D].
        """
        if not len(tokens):
            return tokens.new_zeros(self.num_rows, self.num_patches, tokens.shape[1])
        return tokens[self._table[:, modality]].masked_fill(~self.present[:, modality, :, None], 0.0)

    @cached_property
    def _table(self) -> Tensor:
        """[F, M, N] int64, the token row of each patch; 0 where the image has none. Made for those who ask for streams alone."""
        table = self._order.table[list(self._order.images)]
        return to_device({"table": table}, self.device)["table"]

    @cached_property
    def _order_of_mixed(self) -> Tensor:
        """[T] int64, where each token stands among those of all packed rows. Made for full attention alone."""
        tokens = torch.cat([self._order.tokens_of_row(row) for row in range(self.num_fusion)])
        return to_device({"order": tokens.argsort()}, self.device)["order"]

    def _take(self, values: Tensor, order: str) -> Tensor:
        """The values in another order; as they are, and no copy, if it is theirs."""
        return values[self._at[order]] if order in self._at else values

    def stream_parts(self, most_rows: int | None = None) -> Iterator[StreamPart]:
        """Yield the streams in the order of their tokens, at most so many token rows at a time, or one stream."""
        first = 0
        for runs in self._streams:
            for _, part in runs.cut(None if most_rows is None else max(1, most_rows // runs.length)):
                last = first + (part.num_runs * part.length if part.lengths is None else sum(part.lengths))
                yield StreamPart(slice(first, last), part)
                first = last

    def fusion_parts(self, most_rows: int | None = None) -> Iterator[FusionPart]:
        """Yield the packed rows in order, at most so many fusion tokens at a time, or those of one row."""
        first = 0
        most = None if most_rows is None else max(1, most_rows // self.num_patches)
        for i, runs in enumerate(self._rows):
            usable = self._at.get(("usable by fusion", i))
            for numbers, part in runs.cut(most):
                rows = slice(first + numbers.start, first + numbers.stop)
                yield FusionPart(rows, part, None if usable is None else usable[numbers])
            first += runs.num_runs

    def in_token_order(self, parts: list[Tensor]) -> list[Tensor]:
        """Bring the rows of `fusion_parts` into the order of the tokens."""
        if self.num_whole_tokens == self.num_tokens or not parts:
            return parts  # the streams lie in the order of the rows
        return [torch.cat(parts)[self._order_of_mixed]]


def _moved(group: ImageGroup, i: int, at: Mapping[Hashable, Tensor]) -> ImageGroup:
    """A group with its indices on the device."""
    return replace(
        group,
        streams={m: at.get(("streams", i, m), streams) for m, streams in group.streams.items()},
        positions={pattern: at["positions", i, pattern] for pattern in group.positions},
        tokens={key: at["tokens", i, key] for key in group.tokens},
        order=at.get(("order", i)),
    )


def _inverse(order: list[int]) -> list[int]:
    """The permutation that undoes another."""
    return sorted(range(len(order)), key=order.__getitem__)
