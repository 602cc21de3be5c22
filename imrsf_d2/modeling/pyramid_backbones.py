"""Our backbone below Detectron2's feature pyramids, as its R-CNNs need it: p2, p3, ... of equal width."""

from __future__ import annotations

from detectron2.modeling import BACKBONE_REGISTRY, FPN, SimpleFeaturePyramid
from detectron2.modeling.backbone.fpn import LastLevelMaxPool

from imrsf_d2.modeling import backbone  # whose import may be what imports this: its functions are there when they are called
from imrsf_d2.modeling.pyramid import feature_stride

__all__ = ["SimplePyramid", "build_imrsf_vit_fpn_backbone", "build_imrsf_vit_simple_pyramid_backbone"]


class SimplePyramid(SimpleFeaturePyramid):
    """ViTDet's pyramid for images of any size.

    Detectron2's class says what images must be padded to by a misspelled name, which nobody reads: on images that are not padded
    to a square, it fails. Arguments are the same.
    """

    @property
    def size_divisibility(self) -> int:
        """Pad images to a multiple of this many pixels: the stride of the coarsest map before pooling."""
        return int(self.net.output_shape()[self.in_feature].stride / min(self.scale_factors))


@BACKBONE_REGISTRY.register()
def build_imrsf_vit_fpn_backbone(cfg, input_shape=None) -> FPN:
    """Detectron2's FPN on the maps `MODEL.FPN.IN_FEATURES` of our ViT, as `build_resnet_fpn_backbone` on those of a ResNet.

    Args:
        cfg: after `finalize_config`, which has checked it; MODEL.IMRSF and MODEL.FPN are read.
        input_shape: Detectron2's, and unused.
    """
    fpn = cfg.MODEL.FPN
    return FPN(
        bottom_up=backbone.build_imrsf_vit_backbone(cfg),
        in_features=fpn.IN_FEATURES,
        out_channels=fpn.OUT_CHANNELS,
        norm=fpn.NORM,
        top_block=_pool_after(fpn.IN_FEATURES[-1].replace("res", "p")),
        fuse_type=fpn.FUSE_TYPE,
    )


@BACKBONE_REGISTRY.register()
def build_imrsf_vit_simple_pyramid_backbone(cfg, input_shape=None) -> SimplePyramid:
    """ViTDet's simple feature pyramid: all its maps are scaled from one of our ViT, `MODEL.FPN.IN_FEATURES`.

    Args:
        cfg: after `finalize_config`, which has checked it; MODEL.IMRSF and MODEL.FPN are read.
        input_shape: Detectron2's, and unused.
    """
    fpn = cfg.MODEL.FPN
    scales = [float(scale) for scale in cfg.MODEL.IMRSF.SCALE_FACTORS]
    (feature,) = fpn.IN_FEATURES
    coarsest = int(feature_stride(feature) / scales[-1])
    return SimplePyramid(
        net=backbone.build_imrsf_vit_backbone(cfg),
        in_feature=feature,
        out_channels=fpn.OUT_CHANNELS,
        scale_factors=scales,
        top_block=_pool_after(f"p{coarsest.bit_length() - 1}"),
        norm=fpn.NORM,
    )


def _pool_after(name: str) -> LastLevelMaxPool:
    """Detectron2's pooling of the coarsest map, which need not be its p5."""
    block = LastLevelMaxPool()
    block.in_feature = name
    return block
