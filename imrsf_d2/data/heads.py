"""What a config says of its model's head: Mask2Former's and an R-CNN's have keys of their own."""

from __future__ import annotations

from detectron2.config import CfgNode

__all__ = ["class_number_key", "finds_instances", "is_rcnn", "number_of_classes"]


def is_rcnn(cfg: CfgNode) -> bool:
    """Whether the model is Detectron2's Faster or Mask R-CNN on one of our backbones.

    Detectron2's defaults are an R-CNN on a ResNet, so a config that says nothing of its model is not one.
    """
    return cfg.MODEL.META_ARCHITECTURE == "GeneralizedRCNN" and cfg.MODEL.BACKBONE.NAME.startswith("build_imrsf_")


def class_number_key(cfg: CfgNode) -> str:
    """The key of the number of classes."""
    return "MODEL.ROI_HEADS.NUM_CLASSES" if is_rcnn(cfg) else "MODEL.SEM_SEG_HEAD.NUM_CLASSES"


def number_of_classes(cfg: CfgNode) -> int:
    """How many classes the model knows."""
    return (cfg.MODEL.ROI_HEADS if is_rcnn(cfg) else cfg.MODEL.SEM_SEG_HEAD).NUM_CLASSES


def finds_instances(cfg: CfgNode) -> bool:
    """Whether the model's output is objects rather than a label map."""
    return is_rcnn(cfg) or bool(cfg.MODEL.MASK_FORMER.TEST.INSTANCE_ON)
