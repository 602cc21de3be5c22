"""What is computed at each patch position from the modalities that are there, for all positions of a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor

from imrsf_d2.modeling.image_groups import ImageGroup
from imrsf_d2.modeling.layout import TokenLayout
from imrsf_d2.modeling.runs import pick

__all__ = ["Compute", "Result", "at_each_position"]

#: Something [G, n, D] of the positions, and a weight of each modality [G, M, n] or None; G may be 1 where all images are alike.
Result = tuple[Tensor, Tensor | None]
#: From the tokens [G, n, D] of each modality that all positions have, in config order, the fusion tokens [1, n, D] of the
#: positions, and subsets of these modalities: a result for each subset.
Compute = Callable[[Mapping[int, Tensor], Tensor, Iterable[tuple[int, ...]]], list[Result]]


def at_each_position(compute: Compute, tokens: Tensor, fusion: Tensor, layout: TokenLayout) -> Result:
    """Compute something at all positions, those together that have the same modalities.

    Args:
        compute: what.
        tokens: [T, D] packed modality tokens.
        fusion: [N, D] fusion tokens, the same for every row.

    Returns:
        [R, N, D], and the weights [R, M, N] or None, in packed order.
    """
    results: list[Tensor] = []
    weights: list[Tensor] = []
    for group in layout.image_groups:
        evaluate = _where_patches_are_missing if group.positions else _where_none_is_missing
        for result, weight in evaluate(compute, tokens, fusion, group, layout):
            # The LSTM may compute in a narrower type under autocast; the token tensor keeps its own.
            results.append(result.to(fusion.dtype))
            if weight is not None:
                weights.append(weight.to(fusion.dtype))
    return layout.in_packed_order(results), layout.in_packed_order(weights) if weights else None


def _where_none_is_missing(
    compute: Compute, tokens: Tensor, fusion: Tensor, group: ImageGroup, layout: TokenLayout
) -> list[Result]:
    streams = layout.whole_streams(tokens)
    size = len(group.images)
    return [
        (result.expand(size, -1, -1), None if weight is None else weight.expand(size, -1, -1))
        for result, weight in compute({m: streams[at] for m, at in group.streams.items()}, fusion[None], group.rows)
    ]


def _where_patches_are_missing(
    compute: Compute, tokens: Tensor, fusion: Tensor, group: ImageGroup, layout: TokenLayout
) -> list[Result]:
    """Once per set of modalities, for the positions that have it: the subsets leave out what positions lack."""
    of_each = []
    for pattern, at in group.positions.items():
        here = {m: tokens[group.tokens[pattern, m]][None] for m in pattern}
        subsets = [tuple(m for m in subset if m in here) for subset in group.rows]
        of_each.append(compute(here, pick(fusion, at % len(fusion))[None], subsets))
    shape = (-1, len(fusion))
    results: list[Result] = []
    for of_subset in zip(*of_each):
        result = torch.cat([values for values, _ in of_subset], dim=1)[0][group.order].unflatten(0, shape)
        weights = [weight for _, weight in of_subset if weight is not None]
        weight = torch.cat(weights, dim=2)[0][:, group.order].unflatten(1, shape).transpose(0, 1) if weights else None
        results.append((result, weight))
    return results
