"""The model. Importing it registers `build_imrsf_vit_backbone` with Detectron2."""

from imrsf_d2.modalities import Modality, ModalitySet
from imrsf_d2.modeling.backbone import IncompleteMultimodalViT, build_imrsf_vit_backbone
from imrsf_d2.modeling.encoder import EncoderOutput

__all__ = ["EncoderOutput", "IncompleteMultimodalViT", "Modality", "ModalitySet", "build_imrsf_vit_backbone"]
