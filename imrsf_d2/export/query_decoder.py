"""Mask2Former's transformer decoder for feature maps of given sizes.

Upstream's `forward` looks for queries whose mask is empty and overwrites their rows, as many as there are; here it is a
mask of fixed shape. The predictions of the layers before the last, which only the loss needs, are left out.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mask2former.modeling.transformer_decoder.mask2former_transformer_decoder import MultiScaleMaskedTransformerDecoder
from torch import Tensor, nn

__all__ = ["FixedQueryDecoder"]


class FixedQueryDecoder(nn.Module):
    """`MultiScaleMaskedTransformerDecoder` for images of one size.

    Args:
        decoder: upstream's; its parameters are shared.
        sizes: (height, width) of the maps that it attends to, from coarse to fine.
    """

    def __init__(self, decoder: MultiScaleMaskedTransformerDecoder, sizes: Sequence[tuple[int, int]]):
        super().__init__()
        self.decoder = decoder
        self.sizes = list(sizes)
        with torch.no_grad():
            for level, size in enumerate(sizes):
                position = decoder.pe_layer(decoder.query_feat.weight.new_zeros(1, 1, *size), None)
                self.register_buffer(f"position{level}", position.flatten(2).permute(2, 0, 1), persistent=False)

    def forward(self, maps: Sequence[Tensor], pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Predict.

        Args:
            maps: [B, E, h, w] in the sizes given.
            pixels: [B, E, H / 4, W / 4].

        Returns:
            `pred_logits` [B, Q, K + 1] and `pred_masks` [B, Q, H / 4, W / 4], both before sigmoid or softmax.
        """
        decoder = self.decoder
        levels = decoder.num_feature_levels
        sources = [
            (project(one).flatten(2) + embedding[:, None]).permute(2, 0, 1)
            for project, one, embedding in zip(decoder.input_proj, maps, decoder.level_embed.weight)
        ]
        query_positions = decoder.query_embed.weight[:, None].expand(-1, len(pixels), -1)
        queries = decoder.query_feat.weight[:, None].expand(-1, len(pixels), -1)
        classes, masks, hidden = decoder.forward_prediction_heads(queries, pixels, self.sizes[0])
        for i in range(decoder.num_layers):
            hidden = hidden & ~hidden.all(dim=-1, keepdim=True)  # a query that may see nothing sees everything
            queries = decoder.transformer_cross_attention_layers[i](
                queries,
                sources[i % levels],
                memory_mask=hidden,
                pos=getattr(self, f"position{i % levels}"),
                query_pos=query_positions,
            )
            queries = decoder.transformer_self_attention_layers[i](queries, query_pos=query_positions)
            queries = decoder.transformer_ffn_layers[i](queries)
            classes, masks, hidden = decoder.forward_prediction_heads(queries, pixels, self.sizes[(i + 1) % levels])
        return classes, masks
