"""The backbone as Detectron2 knows it: with its base class, and in its registry."""

from __future__ import annotations

from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, Backbone

from imrsf_d2.modeling.arguments import backbone_arguments
from imrsf_d2.modeling.image_layout import read_layouts_before_models
from imrsf_d2.modeling.vit import IncompleteMultimodalViT

__all__ = ["ImrsfBackbone", "build_imrsf_vit_backbone"]


class ImrsfBackbone(IncompleteMultimodalViT, Backbone):
    """`IncompleteMultimodalViT` with Detectron2's base class and shapes; nothing is computed differently."""

    def output_shape(self) -> dict[str, ShapeSpec]:
        """Channels and stride of each map."""
        return {
            name: ShapeSpec(channels=shape.channels, stride=shape.stride) for name, shape in super().output_shape().items()
        }


@BACKBONE_REGISTRY.register()
def build_imrsf_vit_backbone(cfg, input_shape=None) -> ImrsfBackbone:
    """Build from `MODEL.IMRSF.*`. `input_shape` is Detectron2's and unused: the modalities say what comes in.

    `MODEL.PIXEL_MEAN` and `MODEL.PIXEL_STD`, which a model reads after it has built its backbone, become those of the
    modalities, as `imrsf_d2.finalize_config` makes them: scripts of other projects do not call it.

    Raises:
        ValueError: if an argument is out of range.
    """
    backbone = ImrsfBackbone(**backbone_arguments(cfg))
    frozen = cfg.MODEL.is_frozen()
    cfg.MODEL.defrost()
    cfg.MODEL.PIXEL_MEAN, cfg.MODEL.PIXEL_STD = backbone.modalities.pixel_mean, backbone.modalities.pixel_std
    if frozen:
        cfg.MODEL.freeze()
    return backbone


read_layouts_before_models()
