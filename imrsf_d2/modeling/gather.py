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

import torch
from torch import Tensor

from imrsf_d2.modeling.bilstm_attention import BiLSTMAttention
from imrsf_d2.modeling.layout import TokenLayout
from imrsf_d2.modeling.visible_layout import VisibleLayout

__all__ = ["GATHERS", "WEIGHING", "gather", "gather_visible", "stream_means"]

#: The values of MODEL.IMRSF.GATHER.
GATHERS = ("bilstm", "mean", "mean_bilstm", "none")
#: Those that weigh the modalities against each other (beta of eq. 3), and so can say which of them counted where.
WEIGHING = ("bilstm", "mean_bilstm")


def gather(
    how: str,
    bilstm: BiLSTMAttention | None,
    streams: Tensor,
    fusion: Tensor,
    positions: Tensor,
    layout: TokenLayout,
    importance: bool = True,
) -> tuple[Tensor, Tensor | None]:
    """The fusion tokens that enter the first block.

    Args:
        how: of `GATHERS`.
        bilstm: the module of the ways in `WEIGHING`; None for the others.
        streams: [P, N, D] packed modality tokens with positions.
        fusion: [N, D] fusion tokens with positions, the same for every row.
        positions: [N, D].
        importance: also return the weights of the modalities.

    Returns:
        [R, N, D] in packed order, and the weights of the modalities [R, M, N], 0 where absent, without gradient: beta for the
        ways in `WEIGHING` (of the correction alone in "mean_bilstm"), equal ones for "mean", all 0 for "none". Or None.
    """
    weights: Tensor | None
    if how == "none":
        weights = fusion.new_zeros(layout.num_fusion, *layout.present.shape[1:]) if importance else None
        return fusion.expand(layout.num_fusion, -1, -1), weights
    if how == "bilstm":
        assert bilstm is not None
        return bilstm(streams, fusion, layout, importance)
    means, weights = stream_means(streams, layout)
    content, some = means - positions, weights.any(dim=1)[..., None]
    if bilstm is not None:
        correction, weights = bilstm(streams, fusion, layout, importance)
        content = content + correction
    return fusion + content * some, weights if importance else None


def gather_visible(
    how: str, bilstm: BiLSTMAttention | None, tokens: Tensor, fusion: Tensor, positions: Tensor, layout: VisibleLayout
) -> Tensor:
    """The fusion tokens [B, N, D] of a pre-training batch; see `gather`.

    Args:
        tokens: [T, D] visible modality tokens with positions.
    """
    if how == "none":
        return fusion.expand(layout.num_images, -1, -1)
    if how == "bilstm":
        assert bilstm is not None
        return bilstm.gather_visible(tokens, fusion, layout)
    means, some = _visible_means(tokens, layout)
    content = means - positions
    if bilstm is not None:
        content = content + bilstm.gather_visible(tokens, fusion, layout)
    return fusion + content * some[..., None]


def stream_means(streams: Tensor, layout: TokenLayout) -> tuple[Tensor, Tensor]:
    """The mean of the modality tokens that each row has at each position.

    Args:
        streams: [P, N, D] packed.

    Returns:
        [R, N, D], 0 where the row has none, and the weight of each modality [R, M, N], 0 where absent; in packed order.
    """
    means, weights = [], []
    of_rows = layout.present_in_packed_order
    for group, rows, pairs in layout.spans():
        present = of_rows[rows].to(streams.dtype)
        weight = present / present.sum(dim=1, keepdim=True).clamp(min=1)
        weights.append(weight)
        if not group.subset:
            means.append(streams.new_zeros(len(group.index), *streams.shape[1:]))
            continue
        tokens = streams[pairs].unflatten(0, (len(group.index), -1))
        if group.partial:
            means.append((tokens * torch.stack([weight[:, m] for m in group.subset], dim=1)[..., None]).sum(dim=1))
        else:
            means.append(tokens.mean(dim=1))
    return torch.cat(means), torch.cat(weights)


def _visible_means(tokens: Tensor, layout: VisibleLayout) -> tuple[Tensor, Tensor]:
    """Likewise of the visible tokens [T, D]: [B, N, D], and whether there are any [B, N] bool."""
    means, some = [], []
    for modalities, at in layout.positions.items():
        here = [tokens[layout.row_at[m, at]] for m in modalities]
        means.append(torch.stack(here).mean(dim=0) if here else tokens.new_zeros(len(at), tokens.shape[1]))
        some.append(torch.full_like(at, bool(here), dtype=torch.bool))
    order = torch.cat(list(layout.positions.values())).argsort()
    shape = (layout.num_images, -1)
    return torch.cat(means)[order].unflatten(0, shape), torch.cat(some)[order].unflatten(0, shape)
