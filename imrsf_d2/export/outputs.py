"""From Mask2Former's raw outputs to objects or class probabilities, with shapes that do not depend on what is found."""

from __future__ import annotations

import torch
from torch import Tensor

from imrsf_d2.modeling.objects import best_objects
from imrsf_d2.utils.probabilities import class_probabilities

__all__ = ["OUTPUTS", "predictions"]

#: What a graph may return -> its help.
OUTPUTS = {
    "raw": "pred_logits and pred_masks, as Mask2Former's decoder gives them",
    "instances": "masks, scores and classes of the best objects, at the size of the image",
    "probabilities": "probabilities of the classes of each pixel, at the size of the image",
}


def predictions(outputs: str, classes: Tensor, masks: Tensor, max_detections: int) -> dict[str, Tensor]:
    """Mask2Former's post-processing.

    Args:
        outputs: "instances" or "probabilities".
        classes: [Q, K + 1] logits, the last one of "no object".
        masks: [Q, H, W] logits.
        max_detections: objects, at most.

    Returns:
        Of "instances": `masks` [R, H, W] bool, `scores` [R] and `classes` [R] int64, best first; see `best_objects`. R does
        not depend on what there is to see: low scores are for whoever reads them to leave out.
        Of "probabilities": `probabilities` [K, H, W], which sum to 1.
    """
    of_classes = classes.softmax(dim=-1)[:, :-1]
    if outputs == "probabilities":
        scores = torch.einsum("qk,qhw->khw", of_classes, masks.sigmoid())
        return {"probabilities": class_probabilities(scores)}
    return dict(zip(("masks", "scores", "classes"), best_objects(masks, of_classes, max_detections)))
