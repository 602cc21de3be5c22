"""From fusion tokens back to a modality's pixels (paper section III-D): one shallow decoder per modality, and what they read."""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from imrsf_d2.modalities import Modality
from imrsf_d2.modeling.block import Block
from imrsf_d2.modeling.layout import TokenLayout

__all__ = ["FusionReader", "ModalityDecoder"]


class FusionReader(nn.Module):
    """Fusion tokens after a cross-attention of their own to all that is visible, for the decoders alone.

    A Transformer block whose queries are the fusion tokens, and a norm: the encoder's fusion tokens need not say themselves what
    only the reconstruction asks for. Dropped after pre-training.

    Args:
        embed_dim: D; num_heads: a divisor of D; mlp_ratio: width of the block's MLP over D.
    """

    def __init__(self, embed_dim: int, num_heads: int, mlp_ratio: float):
        super().__init__()
        self.block = Block(embed_dim, num_heads, mlp_ratio)
        self.norm = nn.LayerNorm(embed_dim, eps=1e-6)

    def forward(self, tokens: Tensor, fusion: Tensor, layout: TokenLayout) -> Tensor:
        """What decoders read.

        Args:
            tokens: [T, D] visible modality tokens, fusion: [B, N, D] fusion tokens, after the encoder's final norm.

        Returns:
            [B, N, D].
        """
        packed = torch.cat([tokens, layout.pack_rows(fusion).flatten(0, 1)])
        read = self.block(packed, layout, fusion_only=True).unflatten(0, (-1, layout.num_patches))
        return self.norm(layout.unpack_rows(read))


class ModalityDecoder(nn.Module):
    """Reconstruct the patches of one modality from the fusion tokens alone.

    A linear projection to the decoder's width, a learned embedding of the modality, Transformer blocks over all
    positions, and a linear projection to pixels. No position embedding: fusion tokens carry theirs.

    Args:
        modality: what to reconstruct.
        patch_size: side of a patch, px.
        embed_dim: D, of the fusion tokens.
        dim, depth, num_heads: of the decoder's blocks.
    """

    def __init__(self, modality: Modality, patch_size: int, embed_dim: int, dim: int, depth: int, num_heads: int):
        super().__init__()
        self.patch_size = patch_size
        self.proj = nn.Linear(embed_dim, dim)
        self.modality_embed = nn.Parameter(torch.empty(dim))
        nn.init.trunc_normal_(self.modality_embed, std=0.02)
        # With activation="gelu", evaluation takes a fast path that fails in PyTorch 2.4 and 2.5 under autocast on the CPU.
        gelu = functools.partial(F.gelu)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(
                dim, num_heads, 4 * dim, dropout=0.0, activation=gelu, layer_norm_eps=1e-6, batch_first=True, norm_first=True
            )
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        #: Values that are predicted for each pixel: the bands of a measurement, or one score per class.
        self.num_values = modality.classes or modality.channels
        self.head = nn.Linear(dim, self.num_values * patch_size**2)

    def forward(self, fusion: Tensor, wanted: Tensor) -> Tensor:
        """Reconstruct some patches.

        Args:
            fusion: [S, N, D] fusion tokens after the encoder's final norm.
            wanted: [k] int64, which of the S * N patches to reconstruct, counted sample after sample.

        Returns:
            [k, C or K, patch_size, patch_size]: normalized bands, or scores of the classes before the softmax.
        """
        tokens = self.proj(fusion) + self.modality_embed
        for block in self.blocks:
            tokens = block(tokens)
        pixels = self.head(self.norm(tokens.flatten(0, 1)[wanted]))
        return pixels.unflatten(1, (self.num_values, self.patch_size, self.patch_size))
