"""The straightforward way to run the same weights: all tokens of all modalities and an explicit tokens x tokens mask."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from imrsf_d2.modeling import IncompleteMultimodalViT
from imrsf_d2.modeling.block import Block
from imrsf_d2.modeling.encoder_data import EncoderOutput, Patches
from imrsf_d2.modeling.gather import gather
from imrsf_d2.modeling.layout import TokenLayout
from imrsf_d2.modeling.tokens import keep_modalities

__all__ = ["DenseMaskViT", "dense_mask"]


def dense_mask(present: Tensor) -> Tensor:
    """The mask of eq. 4, spelled out: the streams one after another in config order, then the fusion tokens.

    Args:
        present: [B, M, N] bool.

    Returns:
        [B, T, T] bool with T = (M + 1) * N, True = the query (row) attends to the key (column). A missing token
        attends to itself, since softmax needs at least one key per row; no other token attends to it.
    """
    batch, modalities, patches = present.shape
    owner = torch.arange(modalities + 1, device=present.device).repeat_interleave(patches)
    allowed = (owner[:, None] == owner) | (owner[:, None] == modalities)
    usable = torch.cat([present.flatten(1), present.new_ones(batch, patches)], dim=1)
    return (allowed & usable[:, None]) | torch.eye(len(owner), dtype=torch.bool, device=present.device)


class DenseMaskViT(IncompleteMultimodalViT):
    """The same model without any shortcuts: the baseline for measuring the structured form.

    Only what fusion tokens gather is shared, because eqs. 2-3 are defined over the present modalities.
    """

    def encode_subsets(
        self, image: Tensor, subsets: Iterable[Sequence[str]], layers: Sequence[int] = ()
    ) -> list[EncoderOutput]:
        return [self.encode(keep_modalities(image, self.modalities, subset), layers=layers) for subset in subsets]

    def _run(
        self,
        patches: Patches,
        layout: TokenLayout,
        streams: bool,
        layers: Sequence[int],
        depth: int | None = None,
        importance: bool = True,
    ) -> EncoderOutput:
        names, bands = self.modalities.names, patches.bands
        positions = self._positions(patches.grid)
        bare = [
            self.patch_embed[name](bands[:, self.modalities.bands(name)], patches.valid[:, m])
            for m, name in enumerate(names)
        ]
        embedded = [values + positions for values in bare]
        fusion = self._fusion_tokens(patches.grid)
        whole = [values[at] for m, values in enumerate(bare) if (at := layout.whole_images(m)) is not None]
        short = [values[layout.short_patches(m)] for m, values in enumerate(bare)]
        packed = layout.pack(whole, short, positions)
        fusion, weights = gather(self.gather, self.bilstm, packed, fusion, positions, layout, importance)
        fusion = layout.unpack_rows(fusion)
        tokens = torch.cat([*embedded, fusion], dim=1)
        mask = dense_mask(layout.present)
        collected = []
        for block in self.blocks[:depth]:
            tokens = _dense_block(block, tokens, mask)
            collected.append(tokens[:, -layout.num_patches :])
        parts = tokens.split(layout.num_patches, dim=1)
        named = (
            {name: part.masked_fill(~layout.present[:, m, :, None], 0.0) for m, (name, part) in enumerate(zip(names, parts))}
            if streams
            else {}
        )
        weights = None if weights is None else layout.unpack_rows(weights)
        return EncoderOutput(
            parts[-1],
            named,
            layout.present,
            weights,
            [collected[i] for i in layers],
            patches.grid,
            patches,
            layout.images_by_modality(),
        )


def _dense_block(block: Block, tokens: Tensor, mask: Tensor) -> Tensor:
    """A pre-norm ViT block over [B, T, D] with a mask [B, T, T]."""
    attention = block.attn
    query, key, value = attention.qkv(block.norm1(tokens)).unflatten(-1, (3, attention.num_heads, -1)).permute(2, 0, 3, 1, 4)
    mixed = F.scaled_dot_product_attention(query, key, value, mask[:, None]).transpose(1, 2).flatten(2)
    tokens = tokens + attention.proj(mixed)
    return tokens + block.mlp(block.norm2(tokens))
