"""Incomplete multimodal segmentation of remote-sensing imagery for Detectron2 and Mask2Former.

With PyTorch alone:

    from imrsf_d2 import IncompleteMultimodalViT, Modality

With Detectron2 and Mask2Former, in the place of their own training script's lines:

    from imrsf_d2 import add_imrsf_config, build_evaluator, build_mapper, finalize_config

    add_imrsf_config(cfg)                             # after add_maskformer2_config(cfg)
    finalize_config(cfg)                              # after the last merge
    model = build_model(cfg)                          # MODEL.BACKBONE.NAME: build_imrsf_vit_backbone
    loader = build_detection_train_loader(cfg, mapper=build_mapper(cfg, is_train=True))

Importing the package loads neither torch nor detectron2; the names are loaded when they are first used. Backbone,
meta-architecture and datasets are registered with Detectron2 as soon as it is imported, before or after this package.
"""

import importlib

from imrsf_d2.registration import register_with_detectron2

__version__ = "0.2.0"

#: name -> the module it is defined in
_FOR_DETECTRON2 = {
    "ImrsfBackbone": "imrsf_d2.modeling.backbone",
    "Predictor": "imrsf_d2.engine.predictor",
    "add_imrsf_config": "imrsf_d2.config",
    "build_evaluator": "imrsf_d2.evaluation.build",
    "build_imrsf_vit_backbone": "imrsf_d2.modeling.backbone",
    "build_mapper": "imrsf_d2.data.mappers",
    "finalize_config": "imrsf_d2.config",
    "register": "imrsf_d2.registration",
    "with_validity": "imrsf_d2.modeling.image_layout",
}
_ALONE = {
    "EncoderOutput": "imrsf_d2.modeling.encoder_data",
    "IncompleteMultimodalViT": "imrsf_d2.modeling.vit",
    "Modality": "imrsf_d2.modalities",
    "ModalitySet": "imrsf_d2.modalities",
}
__all__ = ["__version__", *_FOR_DETECTRON2, *_ALONE]


def __getattr__(name: str):
    if name in _ALONE:
        return getattr(importlib.import_module(_ALONE[name]), name)
    if name not in _FOR_DETECTRON2:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    importlib.import_module("imrsf_d2.registration").register()
    return getattr(importlib.import_module(_FOR_DETECTRON2[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


register_with_detectron2()
