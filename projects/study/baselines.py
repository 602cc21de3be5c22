"""Stock backbones on stacked bands, as a practitioner would use them; importing it registers them with Detectron2.

They see all bands and validity channels as channels of one image. What is missing is the mean in every band and 0 in its validity:
zeros after normalization. Detectron2's ResNet takes any number of channels; Mask2Former's Swin takes three.
"""

from __future__ import annotations

from detectron2.modeling import BACKBONE_REGISTRY
from mask2former.modeling.backbone.swin import D2SwinTransformer
from torch import nn

__all__ = ["StackedSwin"]


@BACKBONE_REGISTRY.register()
class StackedSwin(D2SwinTransformer):
    """Mask2Former's Swin transformer for images of any number of channels."""

    def __init__(self, cfg, input_shape):
        super().__init__(cfg, input_shape)
        rgb = self.patch_embed.proj
        self.patch_embed.proj = nn.Conv2d(input_shape.channels, rgb.out_channels, rgb.kernel_size, rgb.stride)
