"""A Transformer block over packed tokens, with the parameters of a standard ViT; in inference, a few tokens at a time."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from imrsf_d2.modeling.layout import TokenLayout
from imrsf_d2.modeling.linear import Linear
from imrsf_d2.modeling.masked_attention import MaskedAttention
from imrsf_d2.modeling.runs import Layout

__all__ = ["Block", "rows_at_once"]

#: Tokens that pass a block together in inference. Enough for full speed; on a CPU few enough that what they need stays
#: in the cache, and below the 32 MB from which glibc has the system zero fresh pages for every tensor.
CPU_ROWS, GPU_ROWS = 2048, 65536


def rows_at_once(device: torch.device) -> int:
    """Tokens that pass a block together in inference on a device."""
    return CPU_ROWS if device.type == "cpu" else GPU_ROWS


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

    def forward(self, tokens: Tensor, layout: Layout, fusion_only: bool = False) -> Tensor:
        """One block.

        Args:
            tokens: [T + R * N, D] packed: all modality tokens, then all fusion tokens. In inference without gradients
                they are overwritten.
            fusion_only: return only the fusion tokens.

        Returns:
            As `tokens`, or the rows of the fusion tokens if `fusion_only`.
        """
        in_place = not torch.is_grad_enabled() and not (self.training and self.drop_path)
        if in_place and self.attn.masked and isinstance(layout, TokenLayout):  # whose parts lie side by side
            for rows, mixed in self.attn.in_parts(tokens, self.norm1, layout, rows_at_once(tokens.device), fusion_only):
                tokens[rows] += mixed
                self._add_feed_forward(tokens[rows])
            return tokens[layout.num_tokens :] if fusion_only else tokens
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

    def _skip_some(self, branch: Tensor, layout: Layout, fusion_only: bool) -> Tensor:
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
