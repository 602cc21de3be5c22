"""The model. It needs PyTorch alone, but for `backbone`, `pyramid_backbones` and `pretrain`, which register it with Detectron2.

The names below are loaded when they are first used.
"""

import importlib

#: name -> the module it is defined in
_HOMES = {
    "EncoderOutput": "imrsf_d2.modeling.encoder_data",
    "FeatureShape": "imrsf_d2.modeling.vit",
    "IncompleteMultimodalViT": "imrsf_d2.modeling.vit",
    "Modality": "imrsf_d2.modalities",
    "ModalitySet": "imrsf_d2.modalities",
    "build_imrsf_vit_backbone": "imrsf_d2.modeling.backbone",
}
__all__ = list(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
