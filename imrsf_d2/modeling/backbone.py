"""The backbone as Detectron2 knows it: its base class, its registry, and the arguments that a config holds."""

from __future__ import annotations

from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, Backbone

from imrsf_d2.modalities import ModalitySet
from imrsf_d2.modeling.vit import IncompleteMultimodalViT

__all__ = ["ImrsfBackbone", "backbone_arguments", "build_imrsf_vit_backbone", "encoder_arguments"]


def encoder_arguments(cfg) -> dict:
    """The arguments of `IncompleteMultimodalEncoder` that a config holds."""
    imrsf = cfg.MODEL.IMRSF
    return {
        "modalities": ModalitySet.from_config(cfg),
        "patch_size": imrsf.PATCH_SIZE,
        "embed_dim": imrsf.EMBED_DIM,
        "depth": imrsf.DEPTH,
        "num_heads": imrsf.NUM_HEADS,
        "mlp_ratio": imrsf.MLP_RATIO,
        "drop_path": imrsf.DROP_PATH,
        "bilstm": imrsf.BILSTM,
        "masked_attention": imrsf.MASKED_ATTENTION,
        "min_valid": imrsf.MIN_VALID,
        "absent": imrsf.ABSENT,
        "checkpoint_blocks": imrsf.CHECKPOINT_BLOCKS,
    }


def backbone_arguments(cfg) -> dict:
    """The arguments of `IncompleteMultimodalViT` that a config holds."""
    imrsf = cfg.MODEL.IMRSF
    return {
        **encoder_arguments(cfg),
        "out_layers": imrsf.OUT_LAYERS,
        "out_features": imrsf.OUT_FEATURES,
        "freeze": imrsf.FREEZE,
    }


class ImrsfBackbone(IncompleteMultimodalViT, Backbone):
    """`IncompleteMultimodalViT` with Detectron2's base class and shapes; nothing is computed differently."""

    def output_shape(self) -> dict[str, ShapeSpec]:
        """Channels and stride of each map."""
        return {
            name: ShapeSpec(channels=shape.channels, stride=shape.stride) for name, shape in super().output_shape().items()
        }


@BACKBONE_REGISTRY.register()
def build_imrsf_vit_backbone(cfg, input_shape=None) -> ImrsfBackbone:
    """Build from `MODEL.IMRSF.*`. `input_shape` is Detectron2's and unused: the modalities say what comes in."""
    return ImrsfBackbone(**backbone_arguments(cfg))
