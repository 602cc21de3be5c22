"""From a mask classifier's queries to objects, as Mask2Former does it for instances; with PyTorch alone."""

from __future__ import annotations

from torch import Tensor

__all__ = ["best_objects"]


def best_objects(masks: Tensor, classes: Tensor, most: int) -> tuple[Tensor, Tensor, Tensor]:
    """The objects of one image: pairs of a query and a class, best first.

    Args:
        masks: [Q, H, W] logits.
        classes: [Q, K] probabilities, without "no object".
        most: objects, at most.

    Returns:
        The masks [R, H, W] bool, the scores [R], which are the probability of the class times the mean probability of the pixels
        inside, and the classes [R] int64. R = min(most, Q * K), whatever there is to see.
    """
    scores, index = classes.flatten().topk(min(most, classes.numel()))
    masks = masks[index // classes.shape[1]]
    inside = masks > 0
    certainty = (masks.sigmoid() * inside).sum(dim=(1, 2)) / inside.sum(dim=(1, 2)).clamp(min=1)
    scores, order = (scores * certainty).sort(descending=True)
    return inside[order], scores, (index % classes.shape[1])[order]
