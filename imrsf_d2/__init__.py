"""Incomplete multimodal segmentation of remote-sensing imagery for Detectron2 and Mask2Former.

    from imrsf_d2 import add_imrsf_config, finalize_config            # with Detectron2 and Mask2Former
    from imrsf_d2 import IncompleteMultimodalViT, Modality            # with PyTorch alone

The names below are loaded when they are first used: importing the package loads neither torch nor detectron2. The first
use of a name that is for Detectron2 also registers backbone, meta-architecture and datasets with it.
"""

import importlib

__version__ = "0.2.0"

#: name -> the module it is defined in
_FOR_DETECTRON2 = {
    "add_imrsf_config": "imrsf_d2.config",
    "build_imrsf_vit_backbone": "imrsf_d2.modeling.backbone",
    "finalize_config": "imrsf_d2.config",
    "register": "imrsf_d2.registration",
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
