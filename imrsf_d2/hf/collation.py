"""From samples to the inputs of transformers' models: normalized, padded, with targets."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from imrsf_d2.hf.configuration import ImrsfConfig
from imrsf_d2.modalities import ModalitySet
from imrsf_d2.modeling.sensor_batch import holds_data, normalize
from imrsf_d2.modeling.tokens import split_image
from imrsf_d2.modeling.vit import IncompleteMultimodalViT

__all__ = ["SampleCollator"]


class SampleCollator:
    """Makes batches for a model with our backbone; `data_collator` of transformers' Trainer.

    Bands are normalized by the modalities' statistics. Images are padded to one size that the model divides evenly, and
    padding is marked as missing in every sensor.

    Args:
        config: of the backbone.

    Attributes:
        size_divisibility: the sides of a batch are multiples of so many pixels.
    """

    def __init__(self, config: ImrsfConfig):
        self.modalities: ModalitySet = config.modality_set
        with torch.device("meta"):
            self.size_divisibility: int = IncompleteMultimodalViT(**config.backbone_arguments).size_divisibility

    def __call__(self, samples: Sequence[Mapping]) -> dict:
        """Collate.

        Args:
            samples: mappings with `image`, [C + M, H, W] with validity channels, which are taken as they are, or [C, H, W] with NaN
                or NODATA where missing (see `holds_data`), not normalized; for training with `instances` (gt_masks, gt_classes) as from our mappers, or with `mask_labels`
                [n, H, W] and `class_labels` [n] int64. Other entries are left out.

        Returns:
            pixel_values [B, C + M, H', W'], and for samples with targets mask_labels, B of [n, H', W'] float, and
            class_labels, B of [n].

        Raises:
            ValueError: if the channels of an image fit neither layout.
        """
        images = [self._normalized(sample["image"]) for sample in samples]
        size = [self._padded(max(image.shape[axis] for image in images)) for axis in (1, 2)]
        batch: dict = {"pixel_values": torch.stack([_pad(image, size) for image in images])}
        targets = [found for sample in samples if (found := _targets(sample)) is not None]
        if targets:
            batch["mask_labels"] = [_pad(masks.float(), size) for masks, _ in targets]
            batch["class_labels"] = [classes for _, classes in targets]
        return batch

    def _normalized(self, image: Tensor) -> Tensor:
        """[C + M, H, W] of either layout."""
        bands, valid = split_image(image[None].float(), self.modalities)
        if len(image) == self.modalities.num_bands:
            valid &= torch.stack([holds_data(image[self.modalities.bands(m.name)], m) for m in self.modalities])
        return normalize(bands, valid, self.modalities)[0]

    def _padded(self, side: int) -> int:
        return math.ceil(side / self.size_divisibility) * self.size_divisibility


def _targets(sample: Mapping) -> tuple[Tensor, Tensor] | None:
    if "instances" in sample:
        return sample["instances"].gt_masks, sample["instances"].gt_classes
    return (sample["mask_labels"], sample["class_labels"]) if "mask_labels" in sample else None


def _pad(values: Tensor, size: Sequence[int]) -> Tensor:
    """Zeros below and to the right; of a validity channel, they mean missing."""
    return F.pad(values, (0, size[1] - values.shape[2], 0, size[0] - values.shape[1]))
