"""Masked self-attention in structured form (eq. 4): the N x N mask is never built.

m_ij = 1 iff j is of i's own modality, or i is a fusion token. A modality stream therefore only sees itself, and each
stream runs as an attention of its own; fusion queries run once per group of samples that have the same modalities.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from imrsf_d2.modeling.layout import TokenLayout
from imrsf_d2.modeling.linear import Linear, linear

__all__ = ["MaskedAttention", "Block"]

#: Tokens that pass an MLP at once in inference: plenty for full speed, on a GPU too.
MLP_ROWS = 8192


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

    def forward(self, tokens: Tensor, layout: TokenLayout, fusion_only: bool = False) -> Tensor:
        """Attend.

        Args:
            tokens: [(P + R) * N, D] packed: all streams, then all fusion tokens.
            fusion_only: compute only what fusion queries return (all that the last block is asked for).

        Returns:
            [(P + R) * N, D], or [R * N, D] if `fusion_only`.
        """
        dim = tokens.shape[-1]
        boundary = layout.num_pairs * layout.num_patches
        if fusion_only:
            # Streams are keys and values here, never queries: their share of the projection is two thirds.
            stream_kv = linear(tokens[:boundary], self.qkv.weight[dim:], self.qkv.bias[dim:])
            stream_qkv = self._split(stream_kv, layout)
            fusion_qkv = self._split(self.qkv(tokens[boundary:]), layout)
            mixed = torch.cat(self._attend_fusion(stream_qkv, fusion_qkv, layout)).flatten(0, 1)
        else:
            qkv = self.qkv(tokens)
            stream_qkv, fusion_qkv = self._split(qkv[:boundary], layout), self._split(qkv[boundary:], layout)
            if self.masked:
                parts = self._attend_streams(stream_qkv, layout) + self._attend_fusion(stream_qkv, fusion_qkv, layout)
                mixed = torch.cat([part.flatten(0, 1) for part in parts])
            else:
                mixed = self._attend_all(stream_qkv, fusion_qkv, layout)
        return self.proj(mixed)

    def _split(self, projected: Tensor, layout: TokenLayout) -> Tensor:
        """[R * N, j * D] to [R, N, j, heads, head dim]; j = 3 for q, k, v and 2 for k, v."""
        head_dim = self.proj.in_features // self.num_heads
        parts = projected.shape[-1] // self.proj.in_features
        return projected.view(-1, layout.num_patches, parts, self.num_heads, head_dim)

    def _attend_streams(self, qkv: Tensor, layout: TokenLayout) -> list[Tensor]:
        """Each stream on its own; returns pieces [R, N, D] that together cover the P streams in order."""
        full, parts = layout.num_full_pairs, []
        if full:
            parts.append(_attend(qkv[:full, :, 0], qkv[:full, :, 1], qkv[:full, :, 2]))
        if full < layout.num_pairs:
            part = qkv[full:]
            parts.append(_attend(part[:, :, 0], part[:, :, 1], part[:, :, 2], layout.partial_stream_mask))
        return parts

    def _attend_fusion(self, stream_qkv: Tensor, fusion_qkv: Tensor, layout: TokenLayout) -> list[Tensor]:
        """Fusion queries over everything their sample has; one piece [G, N, D] per group."""
        parts = []
        for group, samples, pairs in layout.spans():
            query = fusion_qkv[samples, :, 0]
            keys_values = self._group_tokens(stream_qkv[pairs, :, -2:], fusion_qkv[samples, :, -2:])
            parts.append(_attend(query, keys_values[:, :, 0], keys_values[:, :, 1], layout.group_key_mask(group)))
        return parts

    def _attend_all(self, stream_qkv: Tensor, fusion_qkv: Tensor, layout: TokenLayout) -> Tensor:
        """Full attention within each sample; returns [(P + R) * N, D]."""
        stream_parts, fusion_parts = [], []
        for group, samples, pairs in layout.spans():
            qkv = self._group_tokens(stream_qkv[pairs], fusion_qkv[samples])
            mixed = _attend(qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2], layout.group_key_mask(group))
            stream, fusion = mixed.split([mixed.shape[1] - layout.num_patches, layout.num_patches], dim=1)
            stream_parts.append(stream.flatten(0, 1))
            fusion_parts.append(fusion.flatten(0, 1))
        return torch.cat(stream_parts + fusion_parts)

    @staticmethod
    def _group_tokens(streams: Tensor, fusion: Tensor) -> Tensor:
        """Line up a group's streams [G * k, N, ...] and fusion tokens [G, N, ...] as [G, (k + 1) * N, ...]."""
        if not len(streams):
            return fusion
        return torch.cat([streams.unflatten(0, (len(fusion), -1)).flatten(1, 2), fusion], dim=1)


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


class Block(nn.Module):
    """Pre-norm ViT block over packed tokens; parameters match the standard ViT (norm1, attn, norm2, mlp.fc1, mlp.fc2).

    Args:
        dim: D; num_heads: heads; mlp_ratio: width of the MLP over D.
        masked: see MaskedAttention.
        drop_path: probability of skipping a branch for a sample in training.
    """

    def __init__(self, dim: int, num_heads: int, mlp_ratio: float = 4.0, masked: bool = True, drop_path: float = 0.0):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = MaskedAttention(dim, num_heads, masked)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))
        self.drop_path = drop_path

    def forward(self, tokens: Tensor, layout: TokenLayout, fusion_only: bool = False) -> Tensor:
        """One block.

        Args:
            tokens: [(P + R) * N, D] packed: all streams, then all fusion tokens.
            fusion_only: return only the fusion tokens.

        Returns:
            [(P + R) * N, D], or [R * N, D] if `fusion_only`.
        """
        mixed = self.attn(self.norm1(tokens), layout, fusion_only)
        if fusion_only:
            tokens = tokens[layout.num_pairs * layout.num_patches:]
        tokens = tokens + self._skip_some(mixed, layout, fusion_only)
        del mixed  # or it would be held while the MLP, where a block needs most, computes
        return tokens + self._skip_some(self._feed_forward(tokens), layout, fusion_only)

    def _feed_forward(self, tokens: Tensor) -> Tensor:
        """The MLP branch. Without gradients its hidden layer, the widest tensor there is, never exists whole."""
        if torch.is_grad_enabled() or len(tokens) <= MLP_ROWS:
            return self.mlp(self.norm2(tokens))
        return torch.cat([self.mlp(self.norm2(part)) for part in tokens.split(MLP_ROWS)])

    def _skip_some(self, branch: Tensor, layout: TokenLayout, fusion_only: bool) -> Tensor:
        """Stochastic depth: drop the branch for whole samples, all their streams alike, and rescale the others."""
        if not self.training or self.drop_path == 0.0:
            return branch
        keep = branch.new_empty(layout.num_images).bernoulli_(1.0 - self.drop_path) / (1.0 - self.drop_path)
        streams = [] if fusion_only else layout.pair_image
        image = torch.tensor([*streams, *layout.row_image], device=branch.device)
        return (branch.unflatten(0, (-1, layout.num_patches)) * keep[image, None, None]).flatten(0, 1)


class Mlp(nn.Module):
    """The two-layer GELU network of a ViT block."""

    def __init__(self, dim: int, hidden_dim: int):
        super().__init__()
        self.fc1 = Linear(dim, hidden_dim)
        self.fc2 = Linear(hidden_dim, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(tokens)))
