"""Several views of each sample in one training step: its image with different subsets of its modalities."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial

import torch
from detectron2.config import CfgNode
from torch import Tensor

from imrsf_d2.modalities import ModalitySet

__all__ = ["batch_of_views", "expand_views", "leave_out", "views_of"]


def batch_of_views(cfg: CfgNode) -> partial[list[Mapping]] | None:
    """What makes a batch of views of a batch of samples; None if each sample has one view."""
    if len(views_of(cfg)) < 2:
        return None
    return partial(expand_views, modalities=ModalitySet.from_config(cfg))


def views_of(cfg: CfgNode) -> tuple[str, ...]:
    """The views of each training sample; without modality dropout, the complete one."""
    dropout = cfg.INPUT.MODALITY_DROPOUT
    return tuple(dropout.VIEWS) if dropout.ENABLED else ("complete",)


def expand_views(samples: Sequence[Mapping], modalities: ModalitySet) -> list[Mapping]:
    """A row for each view of each sample: the first view of all samples, then the second, and so on.

    Args:
        samples: a mapper's, with `views`, as many subsets in each. Their ground truth is shared, not copied.
    """
    return [
        {**sample, "modalities": sample["views"][i], "image": leave_out(sample["image"], modalities, sample["views"][i])}
        for i in range(len(samples[0]["views"]))
        for sample in samples
    ]


def leave_out(image: Tensor, modalities: ModalitySet, kept: Collection[str]) -> Tensor:
    """An image as it is read without some of its modalities.

    Args:
        image: [C + M, H, W] in units, with validity channels.
        kept: names of the modalities that stay; if all that are valid do, the image is not copied.

    Returns:
        [C + M, H, W], where the others have their mean and are invalid.
    """
    left_out = [modality for modality in modalities if modality.name not in kept]
    if not left_out:
        return image
    image = image.clone()
    for modality in left_out:
        image[modalities.bands(modality.name)] = torch.tensor(modality.mean, dtype=image.dtype)[:, None, None]
        image[modalities.validity(modality.name)] = 0.0
    return image
