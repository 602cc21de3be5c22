"""A model of transformers behind the interface of Detectron2's: samples in, predictions out that our evaluators score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import Mask2FormerForUniversalSegmentation

from imrsf_d2.hf.backbone import ImrsfViTBackbone
from imrsf_d2.hf.collation import SampleCollator
from imrsf_d2.modeling.objects import best_objects
from imrsf_d2.utils.errors import InputError

__all__ = ["Detections", "OUTPUTS", "SampleSegmenter"]

#: What can be output, by Detectron2's names: scores of all classes at each pixel, or objects.
OUTPUTS = ("sem_seg", "instances")


@dataclass(frozen=True)
class Detections:
    """Predicted objects of an image, best first, with the attributes that Detectron2's Instances have.

    Attributes:
        pred_masks: [n, H, W] bool.
        scores: [n], the probability of the class times the mean probability of the mask's pixels.
        pred_classes: [n] int64.
    """

    pred_masks: Tensor
    scores: Tensor
    pred_classes: Tensor

    def __len__(self) -> int:
        return len(self.scores)


class SampleSegmenter(nn.Module):
    """Predicts from samples as Mask2Former's own MaskFormer does, with the model of transformers.

    Args:
        model: a Mask2Former whose backbone is ours.
        outputs: some of OUTPUTS.
        max_detections: objects per image, at most.

    Raises:
        ValueError: if the backbone is another, or an output is unknown.
    """

    def __init__(
        self, model: Mask2FormerForUniversalSegmentation, outputs: Sequence[str] = ("sem_seg",), max_detections: int = 100
    ):
        super().__init__()
        encoder = model.model.pixel_level_module.encoder
        if not isinstance(encoder, ImrsfViTBackbone):
            raise InputError(f"the model's backbone is {type(encoder).__name__}, expected {ImrsfViTBackbone.__name__}.")
        for output in outputs:
            if output not in OUTPUTS:
                raise InputError(f"outputs names {output!r}, expected some of {list(OUTPUTS)}.")
        self.outputs = tuple(outputs)
        self.max_detections = max_detections
        self.collate = SampleCollator(encoder.config)
        self.model = model

    @torch.no_grad()
    def forward(self, samples: Sequence[Mapping]) -> list[dict]:
        """Predict.

        Args:
            samples: as for `SampleCollator`; with `height` and `width`, if the prediction is to have another size than the
                image.

        Returns:
            For each sample, of the outputs chosen: `sem_seg` [K, H, W] float, `instances` (`Detections`).
        """
        pixel_values = self.collate([{"image": sample["image"]} for sample in samples])["pixel_values"].to(self.model.device)
        output = self.model(pixel_values=pixel_values)
        masks = F.interpolate(
            output.masks_queries_logits.float(), size=pixel_values.shape[2:], mode="bilinear", align_corners=False
        )
        # The last class is "no object".
        classes = output.class_queries_logits.float().softmax(dim=-1)[..., :-1]
        return [self._predict(*prediction) for prediction in zip(samples, masks, classes, strict=True)]

    def _predict(self, sample: Mapping, masks: Tensor, classes: Tensor) -> dict:
        """One image's outputs from [Q, H, W] logits of masks and [Q, K] probabilities of classes."""
        height, width = sample["image"].shape[1:]
        size = (sample.get("height", height), sample.get("width", width))
        masks = masks[:, :height, :width]
        predicted: dict = {}
        # In MaskFormer's order: without objects, it is the scores of classes that get the size asked for.
        if "instances" in self.outputs:
            masks = _resize(masks, size)
            predicted["instances"] = Detections(*best_objects(masks, classes, self.max_detections))
        if "sem_seg" in self.outputs:
            predicted["sem_seg"] = _resize(torch.einsum("qk,qhw->khw", classes, masks.sigmoid()), size)
        return predicted


def _resize(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """[N, H, W] -> [N, *size], themselves where they have that size."""
    if maps.shape[1:] == size:
        return maps
    return F.interpolate(maps[None], size=size, mode="bilinear", align_corners=False)[0]
