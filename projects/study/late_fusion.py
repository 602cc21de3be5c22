"""One model for each sensor, and the fusion of what they predict: what a practitioner has without any fusion of features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from detectron2.structures import Instances
from torch import Tensor, nn

from imrsf_d2.modalities import ModalitySet

__all__ = ["LateFusion", "fuse_instances"]

#: A mask that overlaps a better one of its class by at least this IoU is the same object.
SAME = 0.5


class LateFusion(nn.Module):
    """Predicts with the models of those sensors that a sample has: the union of their instances, or the mean of their maps.

    Args:
        members: sensor -> a model of this sensor alone.
        modalities: of the samples.
        most: instances of an image.
    """

    def __init__(self, members: Mapping[str, nn.Module], modalities: ModalitySet, most: int):
        super().__init__()
        self.members = nn.ModuleDict(members)
        self.modalities = modalities
        self.most = most

    def forward(self, inputs: Sequence[Mapping]) -> list[dict]:
        """The outputs for mapped samples whose `image` has the validity channels of all modalities."""
        return [self._predict(sample) for sample in inputs]

    def _predict(self, sample: Mapping) -> dict:
        image = sample["image"]
        validity = {name: image[self.modalities.validity(name)].reshape(1, *image.shape[1:]) for name in self.members}
        # Without any sensor all of them predict from nothing, as another model would have to.
        names = [name for name in self.members if validity[name].any()] or list(self.members)
        outputs = []
        for name in names:
            own = torch.cat([image[self.modalities.bands(name)], validity[name]])
            outputs += self.members[name]([{**sample, "image": own}])
        fused = {}
        if "instances" in outputs[0]:
            fused["instances"] = fuse_instances([output["instances"] for output in outputs], self.most)
        if "sem_seg" in outputs[0]:
            fused["sem_seg"] = torch.stack([output["sem_seg"] for output in outputs]).mean(dim=0)
        return fused


def fuse_instances(found: Sequence[Instances], most: int) -> Instances:
    """The instances of several models without those that repeat a better one.

    Args:
        found: with `pred_masks` [n, H, W], `scores` and `pred_classes`, of one image.
        most: instances to keep, the best.
    """
    every = Instances.cat([_needed(instances) for instances in found])
    every = every[every.scores.argsort(descending=True, stable=True)]
    masks = (every.pred_masks > 0.5).flatten(1).float()
    common = masks @ masks.T
    areas = common.diagonal()
    iou = common / (areas[:, None] + areas - common).clamp(min=1)
    same = (iou >= SAME) & (every.pred_classes[:, None] == every.pred_classes)
    kept: list[int] = []
    for i in range(len(every)):
        if len(kept) < most and not any(bool(same[i, better]) for better in kept):
            kept.append(i)
    return every[torch.tensor(kept, dtype=torch.int64, device=_device(every))]


def _needed(instances: Instances) -> Instances:
    fields = {name: instances.get(name) for name in ("pred_masks", "scores", "pred_classes")}
    return Instances(instances.image_size, **fields)


def _device(instances: Instances) -> torch.device:
    scores: Tensor = instances.scores
    return scores.device
