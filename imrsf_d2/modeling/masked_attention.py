"""Masked self-attention in structured form (eq. 4, paper section III-C): the N x N mask is never built.

m_ij = 1 iff j is of i's own modality, or i is a fusion token. A modality stream therefore only sees itself, and each
stream runs as an attention of its own; fusion queries run once per group of samples that have as many tokens. Which
token rows these are is the layout's to say (`runs.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from imrsf_d2.modeling.layout import TokenLayout
from imrsf_d2.modeling.linear import Linear, linear
from imrsf_d2.modeling.runs import FusionPart, Layout

__all__ = ["MaskedAttention"]


class MaskedAttention(nn.Module):
    """Multi-head self-attention over packed tokens, with the parameters of a standard ViT.

    Args:
        dim: D; num_heads: a divisor of D.
        masked: False lets every token of a sample attend to every other (the w/o-mask ablation).
    """

    def __init__(self, dim: int, num_heads: int, masked: bool = True):
        super().__init__()
        self.num_heads = num_heads
        self.masked = masked
        self.qkv = Linear(dim, 3 * dim)
        self.proj = Linear(dim, dim)

    def forward(self, tokens: Tensor, layout: Layout, fusion_only: bool = False) -> Tensor:
        """Attend.

        Args:
            tokens: [T + R * N, D] packed: all modality tokens, then all fusion tokens.
            fusion_only: compute only what fusion queries return (all that the last block is asked for).

        Returns:
            As `tokens`, or [R * N, D] if `fusion_only`.
        """
        boundary = layout.num_tokens
        if fusion_only:
            # Streams are keys and values here, never queries: their share of the projection is two thirds.
            stream = self._project(tokens[:boundary], slice(tokens.shape[-1], None))
            fusion = self._project(tokens[boundary:])
            parts = self._attend_fusion(stream, fusion, layout)
        else:
            qkv = self._project(tokens)
            stream, fusion = qkv[:boundary], qkv[boundary:]
            if self.masked:
                parts = self._attend_streams(stream, layout) + self._attend_fusion(stream, fusion, layout)
            else:
                parts = self._attend_all(stream, fusion, layout)
        return self.proj(torch.cat(parts))

    def in_parts(
        self,
        tokens: Tensor,
        norm: Callable[[Tensor], Tensor],
        layout: TokenLayout,
        most_rows: int,
        fusion_only: bool = False,
    ) -> Iterator[tuple[slice, Tensor]]:
        """Masked attention as in `forward`, a few samples at a time, for inference.

        Args:
            tokens: [T + R * N, D] packed, before `norm`. Rows may be overwritten once they were yielded.
            norm: applied to each part.
            most_rows: of tokens at a time; at least one stream, or the fusion tokens of one sample.
            fusion_only: as in `forward`.

        Yields:
            Rows of `tokens`, one part after the other, and what attention returns for them.
        """
        patches, dim, boundary = layout.num_patches, tokens.shape[-1], layout.num_tokens
        # Fusion queries look at the streams as they are before this block: their keys and values come first.
        stream_kv = self._project(norm(tokens[:boundary]), slice(dim, None))
        if not fusion_only:
            for rows, runs in layout.stream_parts(most_rows):
                key, value = runs.take(stream_kv).unbind(2)
                query = runs.take(self._project(norm(tokens[rows]), slice(0, dim))[:, 0], first=rows.start)
                yield rows, self.proj(runs.select(_attend(query, key, value, runs.usable)))
        for part in layout.fusion_parts(most_rows) if layout.fusion_length else ():
            rows = slice(boundary + part.rows.start * patches, boundary + part.rows.stop * patches)
            fusion = self._project(norm(tokens[rows])).unflatten(0, (-1, patches))
            yield rows, self.proj(self._mix(part, stream_kv, fusion))

    def _project(self, tokens: Tensor, outputs: slice = slice(None)) -> Tensor:
        """[rows, D] tokens to [rows, j, heads, head dim]: q, k and v, or those of them that `outputs` cuts out."""
        projected = linear(tokens, self.qkv.weight[outputs], self.qkv.bias[outputs])
        return projected.unflatten(-1, (-1, self.num_heads, self.proj.in_features // self.num_heads))

    def _attend_streams(self, stream: Tensor, layout: Layout) -> list[Tensor]:
        """Each stream on its own; returns pieces [rows, D] that together are the T tokens in order."""
        parts = []
        for _, runs in layout.stream_parts():
            query, key, value = runs.take(stream).unbind(2)
            parts.append(runs.select(_attend(query, key, value, runs.usable)))
        return parts

    def _attend_fusion(self, stream: Tensor, fusion: Tensor, layout: Layout) -> list[Tensor]:
        """Fusion queries over everything their sample has; one piece [G * N, D] per part."""
        if not layout.fusion_length:
            return []
        fusion = fusion.unflatten(0, (-1, layout.num_patches))
        return [self._mix(part, stream[:, -2:], fusion[part.rows]) for part in layout.fusion_parts()]

    @staticmethod
    def _mix(part: FusionPart, stream_kv: Tensor, fusion: Tensor) -> Tensor:
        """[G * N, D] of a part's fusion queries.

        Args:
            stream_kv: [T, 2, heads, head dim] of all modality tokens.
            fusion: [G, N, 3, heads, head dim] of the part.
        """
        key, value = torch.cat([part.streams.take(stream_kv), fusion[:, :, -2:]], dim=1).unbind(2)
        return _attend(fusion[:, :, 0], key, value, part.usable).flatten(0, 1)

    @staticmethod
    def _attend_all(stream: Tensor, fusion: Tensor, layout: Layout) -> list[Tensor]:
        """Full attention within each sample; returns pieces that together are all rows of tokens."""
        length = layout.fusion_length
        stream_parts, fusion_parts = [], []
        for part in layout.fusion_parts():
            own = fusion[part.rows.start * length : part.rows.stop * length]
            own = own.unflatten(0, (part.rows.stop - part.rows.start, length))
            tokens = torch.cat([part.streams.take(stream), own], dim=1)
            if not tokens.shape[1]:  # samples of nothing
                continue
            query, key, value = tokens.unbind(2)
            mixed = _attend(query, key, value, part.usable)
            of_streams, of_fusion = mixed.split([mixed.shape[1] - length, length], dim=1)
            stream_parts.append(part.streams.select(of_streams))
            fusion_parts.append(of_fusion.flatten(0, 1))
        return layout.in_token_order(stream_parts) + fusion_parts


def _attend(query: Tensor, key: Tensor, value: Tensor, usable: Tensor | None = None) -> Tensor:
    """Scaled dot-product attention.

    Args:
        query: [R, Lq, heads, d]; key, value: [R, Lk, heads, d].
        usable: [R, Lk] bool, True = this key may be attended; no row is empty.

    Returns:
        [R, Lq, heads * d].
    """
    # One row for all queries: expanded to [Lq, Lk] here, it would be converted, and so stored, at that size.
    mask = None if usable is None else usable[:, None, None, :]
    mixed = F.scaled_dot_product_attention(query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2), mask)
    return mixed.transpose(1, 2).flatten(2)
