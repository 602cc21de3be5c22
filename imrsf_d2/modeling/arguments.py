"""The model's arguments that a config holds."""

from __future__ import annotations

from imrsf_d2.modalities import ModalitySet

__all__ = ["backbone_arguments", "encoder_arguments"]


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
        "gather": imrsf.GATHER,
        "masked_attention": imrsf.MASKED_ATTENTION,
        "masked_blocks": None if imrsf.MASKED_BLOCKS < 0 else imrsf.MASKED_BLOCKS,
        "readout": imrsf.READOUT,
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
        "detail": imrsf.DETAIL,
    }
