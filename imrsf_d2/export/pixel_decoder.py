"""Mask2Former's pixel decoder for feature maps of given sizes.

Upstream's `forward_features` keeps the sizes in tensors, splits and reshapes by their values, and calls a compiled operator: none of
this can be exported. Here the same modules are called with numbers, and the deformable attention is upstream's plain version.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from mask2former.modeling.pixel_decoder.msdeformattn import MSDeformAttnPixelDecoder
from mask2former.modeling.pixel_decoder.ops.functions.ms_deform_attn_func import ms_deform_attn_core_pytorch
from mask2former.modeling.pixel_decoder.ops.modules import MSDeformAttn
from torch import Tensor, nn

__all__ = ["FixedPixelDecoder"]


class FixedPixelDecoder(nn.Module):
    """`MSDeformAttnPixelDecoder.forward_features` for images of one size.

    Args:
        decoder: upstream's; its parameters are shared.
        sizes: feature map -> (height, width).
    """

    positions: Tensor
    references: Tensor
    normalizer: Tensor

    def __init__(self, decoder: MSDeformAttnPixelDecoder, sizes: Mapping[str, tuple[int, int]]):
        super().__init__()
        self.decoder = decoder
        self.levels = decoder.transformer_in_features[::-1]  # from coarse to fine
        self.laterals = decoder.in_features[: decoder.num_fpn_levels][::-1]
        self.shapes = [sizes[name] for name in self.levels]
        of_maps = [*self.shapes, *(sizes[name] for name in self.laterals)]
        #: of the maps that are returned
        self.map_sizes = of_maps[: decoder.maskformer_num_feature_levels]
        transformer = decoder.transformer
        with torch.no_grad():
            like = transformer.level_embed
            maps = [decoder.pe_layer(like.new_zeros(1, 1, *shape)) for shape in self.shapes]
            embedded = [
                position.flatten(2).transpose(1, 2) + embedding for position, embedding in zip(maps, transformer.level_embed)
            ]
            whole = like.new_ones(1, len(self.shapes), 2)  # no map has padding
            references = transformer.encoder.get_reference_points(self.shapes, whole, like.device)
        widths_heights = torch.tensor([[width, height] for height, width in self.shapes], dtype=like.dtype)
        self.register_buffer("positions", torch.cat(embedded, dim=1), persistent=False)
        self.register_buffer("references", references, persistent=False)
        self.register_buffer("normalizer", widths_heights, persistent=False)

    def forward(self, features: Mapping[str, Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Decode.

        Args:
            features: name -> [B, D, h, w] in the sizes given.

        Returns:
            The features of each pixel [B, E, H / 4, W / 4], and three maps [B, E, h, w] from coarse to fine.
        """
        decoder = self.decoder
        flat = [project(features[name]).flatten(2).transpose(1, 2) for project, name in zip(decoder.input_proj, self.levels)]
        tokens = torch.cat(flat, dim=1)
        for layer in decoder.transformer.encoder.layers:
            attended = self._attend(layer.self_attn, tokens + self.positions, tokens)
            tokens = layer.forward_ffn(layer.norm1(tokens + layer.dropout1(attended)))
        parts = tokens.split([height * width for height, width in self.shapes], dim=1)
        maps = [part.transpose(1, 2).unflatten(2, shape) for part, shape in zip(parts, self.shapes)]
        for name, lateral, output in zip(self.laterals, decoder.lateral_convs, decoder.output_convs):
            own = lateral(features[name])
            coarser = F.interpolate(maps[-1], size=own.shape[-2:], mode="bilinear", align_corners=False)
            maps.append(output(own + coarser))
        return decoder.mask_features(maps[-1]), maps[: len(self.map_sizes)]

    def _attend(self, attention: MSDeformAttn, query: Tensor, values: Tensor) -> Tensor:
        """`MSDeformAttn.forward`: [B, S, E] of each pixel of all levels."""
        heads, levels, points = attention.n_heads, attention.n_levels, attention.n_points
        value = attention.value_proj(values).unflatten(-1, (heads, -1))
        offsets = attention.sampling_offsets(query).unflatten(-1, (heads, levels, points, 2))
        weights = attention.attention_weights(query).unflatten(-1, (heads, levels * points)).softmax(dim=-1)
        locations = self.references[:, :, None, :, None] + offsets / self.normalizer[:, None]
        locations = locations.expand(len(query), -1, -1, -1, -1, -1)
        sampled = ms_deform_attn_core_pytorch(value, self.shapes, locations, weights.unflatten(-1, (levels, points)))
        return attention.output_proj(sampled)
