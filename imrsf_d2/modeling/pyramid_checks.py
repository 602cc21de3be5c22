"""What a config says of a feature pyramid on our backbone, and of an R-CNN's heads that take its maps."""

from __future__ import annotations

from imrsf_d2.modeling.pyramid import feature_stride
from imrsf_d2.utils.errors import InputError

__all__ = ["check_pyramid"]

#: MODEL.BACKBONE.NAME of the ViT alone, and of two pyramids on it.
VIT_BACKBONE = "build_imrsf_vit_backbone"
FPN_BACKBONE = "build_imrsf_vit_fpn_backbone"
SIMPLE_PYRAMID_BACKBONE = "build_imrsf_vit_simple_pyramid_backbone"
#: What ViTDet's pyramid has layers for.
SCALES = (4.0, 2.0, 1.0, 0.5)


def check_pyramid(cfg) -> None:
    """Reject what Detectron2 would fail on, deep inside or only with images of some sizes.

    Args:
        cfg: of any model; other backbones than ours, and other heads than an R-CNN's, are not looked at.

    Raises:
        InputError: naming the key, its value and what was expected.
    """
    name, patch = cfg.MODEL.BACKBONE.NAME, cfg.MODEL.IMRSF.PATCH_SIZE
    if name == VIT_BACKBONE:
        maps = list(cfg.MODEL.IMRSF.OUT_FEATURES)
    elif name in (FPN_BACKBONE, SIMPLE_PYRAMID_BACKBONE):
        strides = _strides(cfg)
        if strides[-1] < patch:
            raise InputError(
                f"the maps of {name} have strides of {', '.join(map(str, strides))} px, expected the last to be MODEL.IMRSF.PATCH_SIZE = "
                f"{patch} or more: Detectron2 pads images to a multiple of it, and the backbone needs whole patches."
            )
        # The last one is Detectron2's pooling of the coarsest.
        maps = [f"p{stride.bit_length() - 1}" for stride in (*strides, 2 * strides[-1])]
    else:
        return
    # Detectron2's default config is an R-CNN with this head: a project that takes the ViT alone need not have chosen it.
    untouched = name == VIT_BACKBONE and cfg.MODEL.ROI_HEADS.NAME == "Res5ROIHeads"
    if cfg.MODEL.META_ARCHITECTURE == "GeneralizedRCNN" and not untouched:
        _check_heads(cfg, name, maps)


def _check_heads(cfg, name: str, maps: list[str]) -> None:
    """Reject heads that do not fit the maps of the backbone."""
    for key, wanted in (
        ("MODEL.RPN.IN_FEATURES", cfg.MODEL.RPN.IN_FEATURES),
        ("MODEL.ROI_HEADS.IN_FEATURES", cfg.MODEL.ROI_HEADS.IN_FEATURES),
    ):
        if not wanted or not set(wanted) <= set(maps):
            raise InputError(f"{key} is {list(wanted)}, expected some of the maps that {name} gives: {maps}.")
    if cfg.MODEL.ROI_HEADS.NAME == "Res5ROIHeads":
        raise InputError(
            f"MODEL.ROI_HEADS.NAME is 'Res5ROIHeads', whose head is a ResNet's last stage, expected 'StandardROIHeads' on {name}."
        )
    number, anchors = len(cfg.MODEL.RPN.IN_FEATURES), cfg.MODEL.ANCHOR_GENERATOR
    for key, values in (("SIZES", anchors.SIZES), ("ASPECT_RATIOS", anchors.ASPECT_RATIOS)):
        if len(values) not in (1, number):
            raise InputError(
                f"MODEL.ANCHOR_GENERATOR.{key} is {list(values)}, expected one list for all maps or one for each of the {number} of "
                f"MODEL.RPN.IN_FEATURES = {list(cfg.MODEL.RPN.IN_FEATURES)}."
            )
    if cfg.VIS_PERIOD:
        raise InputError(
            f"VIS_PERIOD is {cfg.VIS_PERIOD}, expected 0: Detectron2 draws images of three bands alone. tools/visualize.py draws "
            "what training sees."
        )


def _strides(cfg) -> list[int]:
    """Those of the pyramid's maps, but for the pooled one, px."""
    given, taken = list(cfg.MODEL.IMRSF.OUT_FEATURES), list(cfg.MODEL.FPN.IN_FEATURES)
    if taken != given:
        raise InputError(
            f"MODEL.FPN.IN_FEATURES is {taken}, expected MODEL.IMRSF.OUT_FEATURES = {given}: the pyramid takes all maps that the ViT "
            "gives, and a map that nobody takes would be computed for nothing."
        )
    strides = [feature_stride(name) for name in taken]
    scales: list[float] = []
    if cfg.MODEL.BACKBONE.NAME == SIMPLE_PYRAMID_BACKBONE:
        scales = [float(scale) for scale in cfg.MODEL.IMRSF.SCALE_FACTORS]
        if len(taken) != 1:
            raise InputError(
                f"MODEL.FPN.IN_FEATURES is {taken}, expected one map for {SIMPLE_PYRAMID_BACKBONE}, the last of the ViT: for patches "
                f"of {cfg.MODEL.IMRSF.PATCH_SIZE} px set it and MODEL.IMRSF.OUT_FEATURES to "
                f"['res{cfg.MODEL.IMRSF.PATCH_SIZE.bit_length() - 1}'], and MODEL.IMRSF.OUT_LAYERS to [{cfg.MODEL.IMRSF.DEPTH - 1}]."
            )
        if not scales or any(scale not in SCALES or strides[0] / scale < 1 for scale in scales):
            raise InputError(
                f"MODEL.IMRSF.SCALE_FACTORS is {scales}, expected some of {list(SCALES)} that leave strides of whole pixels: the stride "
                f"of {taken[0]} is {strides[0]} px."
            )
        strides = [int(strides[0] / scale) for scale in scales]
    if any(later != 2 * earlier for earlier, later in zip(strides, strides[1:])):
        key, value = ("MODEL.IMRSF.SCALE_FACTORS", scales) if scales else ("MODEL.FPN.IN_FEATURES", taken)
        raise InputError(f"{key} is {value}, expected maps from fine to coarse, each of twice the stride of the one before.")
    return strides
