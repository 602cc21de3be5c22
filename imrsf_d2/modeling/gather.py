"""What a fusion token starts from: the modalities at its patch position, gathered before the first block.

The ways are those of `GATHERS`, for a fusion token f (learned part and position p) and the tokens x_i (content and the same
position) of the modalities that are present at its place:

- "bilstm": sum_i beta_i h_i, the paper's Bi-LSTM attention (eqs. 2-3).
- "mean": f + mean_i (x_i - p), the content of all modalities alike; the position counts once. No parameters.
- "mean_bilstm": f + mean_i (x_i - p) + sum_i beta_i h_i, where the Bi-LSTM attention corrects the mean.
- "none": f, which knows nothing of the image (the paper's ablation "w/o LSTM").

In all of them a position without any present modality keeps f.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from imrsf_d2.modeling.bilstm_attention import BiLSTMAttention
from imrsf_d2.modeling.by_position import Result, at_each_position
from imrsf_d2.modeling.layout import TokenLayout
from imrsf_d2.utils.errors import InputError

__all__ = ["GATHERS", "WEIGHING", "check_weighing", "gather", "modality_means"]

#: The values of MODEL.IMRSF.GATHER.
GATHERS = ("bilstm", "mean", "mean_bilstm", "none")
#: Those that weigh the modalities against each other (beta of eq. 3), and so can say which of them counted where.
WEIGHING = ("bilstm", "mean_bilstm")


def check_weighing(how: str) -> None:
    """Check that a way weighs the modalities against each other, which is what importance shows.

    Raises:
        InputError: if it does not.
    """
    if how not in WEIGHING:
        raise InputError(
            f"importance shows the weights of the Bi-LSTM attention, but MODEL.IMRSF.GATHER is {how!r}, which has none, expected "
            f"{' or '.join(map(repr, WEIGHING))}."
        )


def gather(
    how: str,
    bilstm: BiLSTMAttention | None,
    tokens: Tensor,
    fusion: Tensor,
    positions: Tensor,
    layout: TokenLayout,
    importance: bool = True,
) -> tuple[Tensor, Tensor | None]:
    """The fusion tokens that enter the first block.

    Args:
        how: of `GATHERS`.
        bilstm: the module of the ways in `WEIGHING`; None for the others.
        tokens: [T, D] packed modality tokens with positions.
        fusion: [N, D] fusion tokens with positions, the same for every row.
        positions: [N, D].
        importance: also return the weights of the modalities.

    Returns:
        [R, N, D] in packed order, and the weights of the modalities [R, M, N], 0 where absent, without gradient: beta for the
        ways in `WEIGHING` (of the correction alone in "mean_bilstm"), equal ones for "mean", all 0 for "none". Or None.
    """
    if how == "none":
        shape = layout.num_fusion, layout.num_modalities, layout.num_patches
        return fusion.expand(layout.num_fusion, -1, -1), fusion.new_zeros(shape) if importance else None
    if how == "bilstm":
        assert bilstm is not None
        return bilstm(tokens, fusion, layout, importance)
    means, weights = modality_means(tokens, positions, layout)
    content = means - positions
    if bilstm is not None:
        some = weights.any(dim=1)[..., None]
        correction, weights = bilstm(tokens, fusion, layout, importance)
        content = content + correction * some
    return fusion + content, weights if importance else None


def modality_means(tokens: Tensor, nothing: Tensor, layout: TokenLayout) -> tuple[Tensor, Tensor]:
    """The mean of the modality tokens that each row has at each position.

    Args:
        tokens: [T, D] packed.
        nothing: [N, D], what stands where a row has none.

    Returns:
        [R, N, D], and the weight of each modality [R, M, N], 0 where absent; in packed order.
    """

    def compute(here: Mapping[int, Tensor], nothing: Tensor, subsets: Iterable[tuple[int, ...]]) -> list[Result]:
        return [_mean(here, nothing, subset, layout.num_modalities) for subset in subsets]

    means, weights = at_each_position(compute, tokens, nothing, layout)
    assert weights is not None
    return means, weights


def _mean(
    here: Mapping[int, Tensor], nothing: Tensor, subset: tuple[int, ...], num_modalities: int
) -> tuple[Tensor, Tensor]:
    weights = nothing.new_zeros(1, num_modalities, nothing.shape[1])
    if not subset:
        return nothing, weights
    for m in subset:
        weights[:, m] = 1 / len(subset)
    return torch.stack([here[m] for m in subset]).mean(dim=0), weights
