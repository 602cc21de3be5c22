"""The whole model, from pixels to predictions, as a graph of fixed shapes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch.nn.functional as F
from mask2former import MaskFormer
from mask2former.modeling.pixel_decoder.msdeformattn import MSDeformAttnPixelDecoder
from mask2former.modeling.transformer_decoder.mask2former_transformer_decoder import MultiScaleMaskedTransformerDecoder
from torch import Tensor, nn

from imrsf_d2.export.outputs import OUTPUTS, predictions
from imrsf_d2.export.pixel_decoder import FixedPixelDecoder
from imrsf_d2.export.query_decoder import FixedQueryDecoder
from imrsf_d2.modeling import IncompleteMultimodalViT
from imrsf_d2.modeling.fixed_backbone import FixedBackbone
from imrsf_d2.utils.errors import InputError

__all__ = ["FixedSegmenter"]


class FixedSegmenter(nn.Module):
    """A Mask2Former with our backbone, for one image of one size; the parameters are shared.

    Args:
        model: in evaluation mode.
        size: (H, W) of the image, px.
        subset: names of the sensors, None for one graph for any; see `FixedBackbone`.
        outputs: one of OUTPUTS; see `predictions`.

    Raises:
        ValueError: if a part of the model is none that can be exported, if the outputs are unknown or not the model's, if a sensor
            is unknown, or if the model would pad an image of this size.
    """

    backbone: FixedBackbone
    outputs: str

    def __init__(self, model: MaskFormer, size: tuple[int, int], subset: Iterable[str] | None = None, outputs: str = "raw"):
        super().__init__()
        _check(model, size, outputs)
        self.backbone = FixedBackbone(model.backbone, size, subset)
        head = model.sem_seg_head
        sizes = {
            name: (-(-size[0] // shape.stride), -(-size[1] // shape.stride))
            for name, shape in model.backbone.output_shape().items()
        }
        self.pixel_decoder = FixedPixelDecoder(head.pixel_decoder, sizes)
        self.query_decoder = FixedQueryDecoder(head.predictor, self.pixel_decoder.map_sizes)
        self.outputs, self.size = outputs, size
        self.max_detections = model.test_topk_per_image

    def forward(self, sensors: Mapping[str, Tensor], validity: Tensor | None = None) -> dict[str, Tensor]:
        """Predict.

        Args:
            sensors, validity: as of `FixedBackbone`, with B = 1.

        Returns:
            The outputs by name.
        """
        pixels, maps = self.pixel_decoder(self.backbone(sensors, validity))
        classes, masks = self.query_decoder(maps, pixels)
        if self.outputs == "raw":
            return {"pred_logits": classes, "pred_masks": masks}
        masks = F.interpolate(masks, size=self.size, mode="bilinear", align_corners=False)[0]
        return predictions(self.outputs, classes[0], masks, self.max_detections)


def _check(model: nn.Module, size: tuple[int, int], outputs: str) -> None:
    """See that a model's parts are those that are exported here."""
    if not isinstance(model, MaskFormer) or not isinstance(model.backbone, IncompleteMultimodalViT):
        raise InputError(
            f"the model is a {type(model).__name__}, expected a MaskFormer with our backbone (MODEL.META_ARCHITECTURE, "
            "MODEL.BACKBONE.NAME); of another model, export the backbone alone: --part backbone."
        )
    head = model.sem_seg_head
    for key, part, expected in (
        ("MODEL.SEM_SEG_HEAD.PIXEL_DECODER_NAME", head.pixel_decoder, MSDeformAttnPixelDecoder),
        ("MODEL.MASK_FORMER.TRANSFORMER_DECODER_NAME", head.predictor, MultiScaleMaskedTransformerDecoder),
    ):
        if type(part) is not expected:
            raise InputError(
                f"{key} is {type(part).__name__}, expected {expected.__name__}: no other is exported. "
                "The backbone alone can be: --part backbone."
            )
    if outputs not in OUTPUTS:
        raise InputError(f"--outputs is {outputs!r}, expected one of {list(OUTPUTS)}.")
    for name, key in (("instances", "INSTANCE_ON"), ("probabilities", "SEMANTIC_ON")):
        if outputs == name and not getattr(model, key.lower()):
            raise InputError(f"--outputs is {name!r}, but the model gives none: MODEL.MASK_FORMER.TEST.{key} is False.")
    step = max(model.size_divisibility, model.backbone.size_divisibility)
    if any(side % step or side < step for side in size):
        raise InputError(
            f"the size is {size[0]} x {size[1]} px, expected multiples of {step}: the model pads others, by MODEL.MASK_FORMER."
            "SIZE_DIVISIBILITY or the strides of its feature maps, and a graph of one size does not pad."
        )
