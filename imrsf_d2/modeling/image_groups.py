"""Which images, and which of their positions, have the same modalities: what is gathered at a position depends on these alone."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from imrsf_d2.modeling.subset_groups import positions_by_pattern
from imrsf_d2.modeling.token_order import TokenOrder

__all__ = ["ImageGroup", "group_images"]


@dataclass(frozen=True)
class ImageGroup:
    """Images that are seen with the same subsets of modalities.

    Attributes:
        images: which; ascending.
        rows: subset -> the packed rows that show the images with it, in the order of `images`.
        streams: modality -> the streams of images that have every patch of their modalities, likewise. Empty if patches are missing.
        positions: set of modalities -> those of the images' G * N positions that have exactly these, int64. Empty if none is missing.
        tokens: (set of modalities, one of them) -> the token rows at these positions, int64.
        order: [G * N] int64, where each position stands in `positions`, one set after the other. None if no patch is missing.
    """

    images: tuple[int, ...]
    rows: dict[tuple[int, ...], list[int]]
    streams: dict[int, slice | Tensor]
    positions: dict[tuple[int, ...], Tensor]
    tokens: dict[tuple[tuple[int, ...], int], Tensor]
    order: Tensor | None


def group_images(order: TokenOrder) -> list[ImageGroup]:
    """Group the images of a batch; indices are on the CPU. Streams are slices where they are evenly spaced."""
    seen: dict[int, list[int]] = {}
    for row, image in enumerate(order.row_image):
        seen.setdefault(image, []).append(row)
    num_modalities, num_patches = order.present.shape[1:]
    members: dict[tuple, list[int]] = {}
    for image, rows in seen.items():
        partial = any(row >= order.num_whole_rows for row in rows)
        subsets = tuple(order.row_subset[row] for row in rows)
        if partial and len(rows) == 1:  # positions differ in what they have, so the images may, too
            subsets = (tuple(range(num_modalities)),)
        members.setdefault((subsets, partial), []).append(image)
    groups = []
    for (subsets, partial), images in members.items():
        of_subset = {subset: [seen[image][i] for image in images] for i, subset in enumerate(subsets)}
        if not partial:
            modalities = sorted(set().union(*subsets))
            streams = {m: _as_slice([order.stream_of[image, m] for image in images]) for m in modalities}
            groups.append(ImageGroup(tuple(images), of_subset, streams, {}, {}, None))
            continue
        here = [[order.rows[row] for row in seen[image]] for image in images]
        usable = torch.stack([order.present[rows].any(dim=0) for rows in here])  # [G, M, N]
        positions = positions_by_pattern(usable.transpose(0, 1).flatten(1))
        table = order.table[images].transpose(0, 1).flatten(1)  # [M, G * N]
        tokens = {(pattern, m): table[m, at] for pattern, at in positions.items() for m in pattern}
        place = torch.cat(list(positions.values())).argsort()
        groups.append(ImageGroup(tuple(images), of_subset, {}, positions, tokens, place))
    return groups


def _as_slice(indices: list[int]) -> slice | Tensor:
    """The same indices as a slice if they are evenly spaced: a view then, where a tensor would copy."""
    if not indices:
        return slice(0, 0)
    step = indices[1] - indices[0] if len(indices) > 1 else 1
    if step > 0 and indices == list(range(indices[0], indices[-1] + 1, step)):
        return slice(indices[0], indices[-1] + 1, step)
    return torch.tensor(indices)
