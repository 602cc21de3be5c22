"""The incomplete multimodal ViT encoder: tokens, fusion tokens, Bi-LSTM attention, masked blocks (paper section III)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from imrsf_d2.modalities import Modality, ModalitySet
from imrsf_d2.modeling.bilstm_attention import BiLSTMAttention
from imrsf_d2.modeling.layout import TokenLayout
from imrsf_d2.modeling.masked_attention import Block
from imrsf_d2.modeling.tokens import PatchEmbed, patch_presence, sincos_position_embedding, split_image

__all__ = ["EncoderOutput", "IncompleteMultimodalEncoder"]

#: Side of the learned grid of fusion tokens, in patches; other grids are resized from it.
FUSION_GRID = 16


@dataclass
class EncoderOutput:
    """What the encoder returns, in batch order. N = Hp * Wp patches, row by row.

    Attributes:
        fusion: [B, N, D] fusion tokens after the last block, before the final norm.
        streams: name -> [B, N, D] likewise, 0 where absent; empty unless asked for.
        present: [B, M, N] bool, True = this patch of this modality was used.
        importance: [B, M, N] beta of the Bi-LSTM attention, 0 where absent; all 0 without Bi-LSTM. No gradient.
        layers: fusion tokens [B, N, D] after each of the layers asked for.
        grid: (Hp, Wp).
    """

    fusion: Tensor
    streams: dict[str, Tensor]
    present: Tensor
    importance: Tensor
    layers: list[Tensor]
    grid: tuple[int, int]


class IncompleteMultimodalEncoder(nn.Module):
    """A ViT over the modalities that are there, and one fusion token per patch position.

    Args:
        modalities: what the image tensor holds, in order.
        patch_size: side of a patch in pixels, a power of two.
        embed_dim: D, a multiple of 4 and of `num_heads`.
        depth, num_heads, mlp_ratio: as in any ViT.
        drop_path: stochastic depth of the last block; the others grow linearly from 0.
        bilstm: gather modalities into the fusion tokens by Bi-LSTM attention first (eqs. 2-3).
        masked_attention: eq. 4; False for full attention.
        min_valid: smallest share of valid pixels of a present patch.
        absent: "skip" computes no token of an absent modality; "zeros" feeds it as a mean-valued image.

    Raises:
        ValueError: if an argument is out of range; the message names it.
    """

    def __init__(self, *, modalities: Iterable[Modality], patch_size: int = 16, embed_dim: int = 768, depth: int = 12,
                 num_heads: int = 12, mlp_ratio: float = 4.0, drop_path: float = 0.0, bilstm: bool = True,
                 masked_attention: bool = True, min_valid: float = 0.5, absent: str = "skip"):
        super().__init__()
        if embed_dim % num_heads or embed_dim % 4:
            raise ValueError(f"embed_dim is {embed_dim}, expected a multiple of 4 and of num_heads = {num_heads}.")
        if patch_size < 1 or patch_size & (patch_size - 1):
            raise ValueError(f"patch_size is {patch_size}, expected a power of two.")
        if absent not in ("skip", "zeros"):
            raise ValueError(f"absent is {absent!r}, expected 'skip' or 'zeros'.")
        self.modalities = ModalitySet(modalities)
        for modality in self.modalities:
            if hasattr(nn.ModuleDict(), modality.name):
                raise ValueError(f"modality {modality.name!r}: NAME is an attribute of the torch.nn.ModuleDict that holds "
                                 f"the patch embeddings, expected another, e.g. '{modality.name}_'.")
        self.patch_size = patch_size
        self.embed_dim = embed_dim
        self.min_valid = min_valid
        self.absent = absent
        self.patch_embed = nn.ModuleDict({m.name: PatchEmbed(m, patch_size, embed_dim) for m in self.modalities})
        self.fusion_tokens = nn.Parameter(torch.empty(1, embed_dim, FUSION_GRID, FUSION_GRID))
        nn.init.trunc_normal_(self.fusion_tokens, std=0.02)
        self.bilstm = BiLSTMAttention(embed_dim) if bilstm else None
        self.blocks = nn.ModuleList(
            Block(embed_dim, num_heads, mlp_ratio, masked_attention, drop_path * i / max(depth - 1, 1))
            for i in range(depth))
        self.norm = nn.LayerNorm(embed_dim, eps=1e-6)
        self.blocks.apply(_init_linear)

    def encode(self, image: Tensor, streams: bool = False, layers: Sequence[int] = ()) -> EncoderOutput:
        """Encode a batch in which any sample may lack any modality, wholly or in parts.

        Args:
            image: normalised [B, C + M, H, W] with validity channels, or [B, C, H, W] with NaN where missing.
            streams: also return each modality's own stream.
            layers: indices of the blocks after which to return the fusion tokens too.

        Raises:
            ValueError: if the channels fit neither layout, or H, W are not divisible by the patch size.
        """
        if image.shape[-2] % self.patch_size or image.shape[-1] % self.patch_size:
            raise ValueError(f"image is {image.shape[-2]} x {image.shape[-1]} px, expected multiples of the patch size "
                             f"{self.patch_size}; pad with invalid pixels (Detectron2 does, see size_divisibility).")
        grid = (image.shape[-2] // self.patch_size, image.shape[-1] // self.patch_size)
        bands, valid = split_image(image, self.modalities)
        present = patch_presence(valid, self.patch_size, self.min_valid)
        layout = TokenLayout(present if self.absent == "skip" else torch.ones_like(present))

        stream_tokens = self._embed_streams(bands, valid, layout, grid)
        fusion = self._fusion_tokens(grid, layout.batch_size)
        importance = fusion.new_zeros(present.shape)
        if self.bilstm is not None:
            fusion, importance = self.bilstm(stream_tokens, fusion, layout)
        fusion = fusion + self._touch_unused(layout, fusion)

        tokens = torch.cat([stream_tokens, fusion]).flatten(0, 1)
        collected: dict[int, Tensor] = {}
        last = len(self.blocks) - 1
        for i, block in enumerate(self.blocks):
            tokens = block(tokens, layout, fusion_only=i == last and not streams)
            if i in layers or i == last:
                fusion = tokens.unflatten(0, (-1, layout.num_patches))[-layout.batch_size:]
                collected[i] = layout.unpack_samples(fusion)
        named_streams = {}
        if streams:
            packed = tokens.unflatten(0, (-1, layout.num_patches))[:layout.num_pairs]
            named_streams = {name: layout.unpack_streams(packed, m) for m, name in enumerate(self.modalities.names)}
        return EncoderOutput(collected[last], named_streams, layout.present, layout.unpack_samples(importance),
                             [collected[i] for i in layers], grid)

    def _embed_streams(self, bands: Tensor, valid: Tensor, layout: TokenLayout, grid: tuple[int, int]) -> Tensor:
        """[P, N, D] tokens with positions, of the samples that have each modality and no others."""
        tokens = []
        for m, name in enumerate(self.modalities.names):
            samples = layout.samples_with(m)
            if samples:
                # A slice where possible: picking every sample of a complete batch would copy it for nothing.
                at = slice(None) if samples == list(range(layout.batch_size)) else samples
                tokens.append(self.patch_embed[name](bands[at, self.modalities.bands(name)], valid[at, m]))
        if not tokens:
            return self.fusion_tokens.new_zeros(0, layout.num_patches, self.embed_dim)
        # Positions keep the parameters' type: under autocast the residual stream is float32 from here on.
        return layout.pack(tokens) + self._positions(grid)

    def _fusion_tokens(self, grid: tuple[int, int], batch_size: int) -> Tensor:
        """[B, N, D]: the learned grid, resized bicubically to the actual one, with positions."""
        learned = self.fusion_tokens
        if grid != learned.shape[-2:]:
            learned = F.interpolate(learned, size=grid, mode="bicubic", align_corners=False)
        tokens = learned.flatten(2).transpose(1, 2) + self._positions(grid)
        return tokens.expand(batch_size, -1, -1)

    def _positions(self, grid: tuple[int, int]) -> Tensor:
        return sincos_position_embedding(*grid, self.embed_dim, self.fusion_tokens.device, self.fusion_tokens.dtype)

    def _touch_unused(self, layout: TokenLayout, like: Tensor) -> Tensor:
        """A zero that depends on every parameter this batch does not use, so that each gets a gradient (of zero).

        Without it, distributed training would hang or fail whenever a rank's batch lacks a modality.
        """
        zero = like.new_zeros(())
        if not torch.is_grad_enabled():
            return zero
        unused = [p for m, name in enumerate(self.modalities.names) if m not in layout.pair_modality
                  for p in self.patch_embed[name].parameters()]
        if not layout.num_pairs and self.bilstm is not None:
            unused += self.bilstm.parameters()
        for parameter in unused:
            zero = zero + 0.0 * parameter.sum()
        return zero


def _init_linear(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)
