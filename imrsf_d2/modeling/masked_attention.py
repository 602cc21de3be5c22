"""Masked self-attention in structured form (eq. 4): the N x N mask is never built.

m_ij = 1 iff j is of i's own modality, or i is a fusion token. A modality stream therefore only sees itself, and each
stream runs as an attention of its own; fusion queries run once per group of samples that have the same modalities.
In pre-training the tokens are the visible ones alone, in runs of any length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from imrsf_d2.modeling.layout import TokenLayout
from imrsf_d2.modeling.linear import Linear, linear
from imrsf_d2.modeling.visible_layout import VisibleLayout

__all__ = ["MaskedAttention", "Block"]

#: Tokens that pass a block together in inference. Enough for full speed; on a CPU few enough that what they need stays
#: in the cache, and below the 32 MB from which glibc has the system zero fresh pages for every tensor.
CPU_ROWS, GPU_ROWS = 2048, 65536


def rows_at_once(device: torch.device) -> int:
    """Tokens that pass a block together in inference on a device."""
    return CPU_ROWS if device.type == "cpu" else GPU_ROWS


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

    def forward(self, tokens: Tensor, layout: TokenLayout | VisibleLayout, fusion_only: bool = False) -> Tensor:
        """Attend.

        Args:
            tokens: [(P + R) * N, D] packed: all streams, then all fusion tokens; with a VisibleLayout [T + B * N, D].
            fusion_only: compute only what fusion queries return (all that the last block is asked for).

        Returns:
            As `tokens`, or [R * N, D] (of a VisibleLayout [B * N, D]) if `fusion_only`.
        """
        if isinstance(layout, VisibleLayout):
            return self.proj(self._attend_visible(tokens, layout, fusion_only))
        dim = tokens.shape[-1]
        boundary = layout.num_pairs * layout.num_patches
        if fusion_only:
            # Streams are keys and values here, never queries: their share of the projection is two thirds.
            stream_kv = self._project(tokens[:boundary], slice(dim, None), layout)
            fusion_qkv = self._split(self.qkv(tokens[boundary:]), layout)
            mixed = torch.cat(self._attend_fusion(stream_kv, fusion_qkv, layout)).flatten(0, 1)
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

    def in_parts(
        self, tokens: Tensor, norm: Callable[[Tensor], Tensor], layout: TokenLayout, fusion_only: bool = False
    ) -> Iterator[tuple[slice, Tensor]]:
        """Masked attention as in `forward`, a few samples at a time, for inference.

        Args:
            tokens: [(P + R) * N, D] packed, before `norm`. Rows may be overwritten once they were yielded.
            norm: applied to each part.
            fusion_only: as in `forward`.

        Yields:
            Rows of `tokens`, one part after the other, and what attention returns for them.
        """
        patches, dim = layout.num_patches, tokens.shape[-1]
        boundary = layout.num_pairs * patches
        most = max(1, rows_at_once(tokens.device) // patches)
        # Fusion queries look at the streams as they are before this block: their keys and values come first.
        stream_kv = self._project(norm(tokens[:boundary]), slice(dim, None), layout)
        if not fusion_only:
            for pairs, usable in layout.stream_parts(most):
                rows = slice(pairs.start * patches, pairs.stop * patches)
                query = self._project(norm(tokens[rows]), slice(0, dim), layout)
                mixed = _attend(query[:, :, 0], stream_kv[pairs, :, 0], stream_kv[pairs, :, 1], usable)
                yield rows, self.proj(mixed.flatten(0, 1))
        for at, pairs, usable in layout.fusion_parts(most):
            rows = slice(boundary + at.start * patches, boundary + at.stop * patches)
            fusion_qkv = self._project(norm(tokens[rows]), slice(None), layout)
            yield rows, self.proj(self._mix(stream_kv[pairs], fusion_qkv, usable).flatten(0, 1))

    def _project(self, tokens: Tensor, outputs: slice, layout: TokenLayout) -> Tensor:
        """[R * N, D] tokens to some of q, k and v: [R, N, j, heads, head dim]."""
        return self._split(linear(tokens, self.qkv.weight[outputs], self.qkv.bias[outputs]), layout)

    def _attend_streams(self, qkv: Tensor, layout: TokenLayout) -> list[Tensor]:
        """Each stream on its own; returns pieces [R, N, D] that together cover the P streams in order."""
        return [
            _attend(qkv[pairs, :, 0], qkv[pairs, :, 1], qkv[pairs, :, 2], usable) for pairs, usable in layout.stream_parts()
        ]

    def _attend_fusion(self, stream_qkv: Tensor, fusion_qkv: Tensor, layout: TokenLayout) -> list[Tensor]:
        """Fusion queries over everything their sample has; one piece [G, N, D] per group."""
        return [
            self._mix(stream_qkv[pairs, :, -2:], fusion_qkv[rows], usable) for rows, pairs, usable in layout.fusion_parts()
        ]

    def _mix(self, stream_kv: Tensor, fusion_qkv: Tensor, usable: Tensor | None) -> Tensor:
        """[G, N, D] of G rows' fusion queries; `stream_kv` [G * k, N, 2, heads, head dim]."""
        keys_values = self._group_tokens(stream_kv, fusion_qkv[:, :, -2:])
        return _attend(fusion_qkv[:, :, 0], keys_values[:, :, 0], keys_values[:, :, 1], usable)

    def _attend_all(self, stream_qkv: Tensor, fusion_qkv: Tensor, layout: TokenLayout) -> Tensor:
        """Full attention within each sample; returns [(P + R) * N, D]."""
        stream_parts, fusion_parts = [], []
        for rows, pairs, usable in layout.fusion_parts():
            qkv = self._group_tokens(stream_qkv[pairs], fusion_qkv[rows])
            mixed = _attend(qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2], usable)
            stream, fusion = mixed.split([mixed.shape[1] - layout.num_patches, layout.num_patches], dim=1)
            stream_parts.append(stream.flatten(0, 1))
            fusion_parts.append(fusion.flatten(0, 1))
        return torch.cat(stream_parts + fusion_parts)

    def _attend_visible(self, tokens: Tensor, layout: VisibleLayout, fusion_only: bool) -> Tensor:
        """Eq. 4 among visible tokens [T + B * N, D]; returns [T + B * N, D], or [B * N, D] if `fusion_only`."""
        dim, boundary = tokens.shape[-1], layout.num_tokens
        outputs = slice(dim, None) if fusion_only else slice(None)
        heads = (-1, self.num_heads, dim // self.num_heads)
        stream = linear(tokens[:boundary], self.qkv.weight[outputs], self.qkv.bias[outputs]).unflatten(-1, heads)
        fusion = self.qkv(tokens[boundary:]).unflatten(-1, heads).unflatten(0, (layout.num_images, -1))
        usable = layout.samples.usable
        if usable is not None:
            usable = torch.cat([usable, usable.new_ones(fusion.shape[:2])], dim=1)
        of_samples = stream[layout.samples.index]  # [B, V, j, heads, head dim]
        keys_values = torch.cat([of_samples[:, :, -2:], fusion[:, :, -2:]], dim=1)
        key, value = keys_values.unbind(2)
        if self.masked or fusion_only:
            of_fusion = _attend(fusion[:, :, 0], key, value, usable).flatten(0, 1)
            if fusion_only:
                return of_fusion
            parts = []
            for rows in layout.streams:
                query, stream_key, stream_value = stream[rows.index].unbind(2)
                parts.append(rows.select(_attend(query, stream_key, stream_value, rows.usable)))
            return torch.cat([layout.in_token_order(parts), of_fusion]) if parts else of_fusion
        mixed = _attend(torch.cat([of_samples[:, :, 0], fusion[:, :, 0]], dim=1), key, value, usable)
        of_streams, of_fusion = mixed.split([of_samples.shape[1], layout.num_patches], dim=1)
        return torch.cat([layout.samples.select(of_streams), of_fusion.flatten(0, 1)])

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

    def forward(self, tokens: Tensor, layout: TokenLayout | VisibleLayout, fusion_only: bool = False) -> Tensor:
        """One block.

        Args:
            tokens: [(P + R) * N, D] packed: all streams, then all fusion tokens; with a VisibleLayout [T + B * N, D].
                In inference without gradients they are overwritten.
            fusion_only: return only the fusion tokens.

        Returns:
            As `tokens`, or the rows of the fusion tokens if `fusion_only`.
        """
        in_place = not torch.is_grad_enabled() and not (self.training and self.drop_path)
        if in_place and self.attn.masked and isinstance(layout, TokenLayout):
            for rows, mixed in self.attn.in_parts(tokens, self.norm1, layout, fusion_only):
                tokens[rows] += mixed
                self._add_feed_forward(tokens[rows])
            return tokens[layout.num_pairs * layout.num_patches :] if fusion_only else tokens
        mixed = self.attn(self.norm1(tokens), layout, fusion_only)
        if fusion_only:
            tokens = tokens[-len(mixed) :]
        tokens = tokens + self._skip_some(mixed, layout, fusion_only)
        del mixed  # or it would be held while the MLP, where a block needs most, computes
        if in_place:
            self._add_feed_forward(tokens)
            return tokens
        return tokens + self._skip_some(self.mlp(self.norm2(tokens)), layout, fusion_only)

    def _add_feed_forward(self, tokens: Tensor) -> None:
        """Add the MLP branch in place; its hidden layer, the widest tensor there is, never exists whole."""
        for part in tokens.split(rows_at_once(tokens.device)):
            part += self.mlp(self.norm2(part))

    def _skip_some(self, branch: Tensor, layout: TokenLayout | VisibleLayout, fusion_only: bool) -> Tensor:
        """Stochastic depth: drop the branch for whole samples, all their streams alike, and rescale the others."""
        if not self.training or self.drop_path == 0.0:
            return branch
        keep = branch.new_empty(layout.num_images).bernoulli_(1.0 - self.drop_path) / (1.0 - self.drop_path)
        return branch * keep[layout.images_of_rows(fusion_only), None]


class Mlp(nn.Module):
    """The two-layer GELU network of a ViT block."""

    def __init__(self, dim: int, hidden_dim: int):
        super().__init__()
        self.fc1 = Linear(dim, hidden_dim)
        self.fc2 = Linear(hidden_dim, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(tokens)))
