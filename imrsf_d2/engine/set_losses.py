"""Mask2Former's losses with fewer operations and waits: the same points, the same matches and the same values.

Mask2Former compares predictions with ground truth one layer and one image at a time, at points that all queries of an image
share, and samples its masks at these points once for each query. Here, the images of a batch are compared in one go, their masks
are sampled as the channels of one image, and ground truth is padded and converted once for all layers. On a GPU, the host
waits for each layer once instead of once for each of its images, and what was matched goes back in one copy.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mask2former import maskformer_model
from mask2former.modeling import criterion as criterion_module
from mask2former.modeling import matcher as matcher_module
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from imrsf_d2.modeling.transfer import to_device

__all__ = ["BatchCriterion", "BatchMatcher", "use_batch_losses"]


class Targets(list):
    """Mask2Former's targets of a batch, and the same padded to one tensor.

    Args:
        targets: for each image `labels` [n] and `masks` [n, H, W] of any type.
        dtype: of the predicted masks, which the padded masks get.

    Attributes:
        labels: [B, max n] int64, 0 where there is no object.
        masks: [B, max n, H, W], 0 where there is no object.
    """

    def __init__(self, targets: list[dict[str, Tensor]], dtype: torch.dtype):
        super().__init__(targets)
        most = max(len(target["labels"]) for target in targets)
        masks = [target["masks"] for target in targets]
        self.labels = targets[0]["labels"].new_zeros(len(targets), most)
        self.masks = masks[0].new_zeros((len(targets), most, *masks[0].shape[1:]), dtype=dtype)
        for number, target in enumerate(targets):
            self.labels[number, : len(target["labels"])] = target["labels"]
            self.masks[number, : len(target["masks"])] = target["masks"]


class Matches(list):
    """Which query of each image is which object, as Mask2Former's matcher returns them, and of all images together.

    Args:
        matches: for each image the queries and their objects, int64 on the CPU.
        device: of the model; everything goes there in one copy.

    Attributes:
        images, queries, objects: [N] int64 on the device, over all matches of the batch.
    """

    def __init__(self, matches: list[tuple[Tensor, Tensor]], device: torch.device):
        queries, objects = (torch.cat(parts) for parts in zip(*matches))
        counts = [len(found) for found, _ in matches]
        images = torch.arange(len(matches)).repeat_interleave(torch.tensor(counts))
        moved = to_device({"images": images, "queries": queries, "objects": objects}, device)
        self.images, self.queries, self.objects = moved["images"], moved["queries"], moved["objects"]
        super().__init__(zip(self.queries.split(counts), self.objects.split(counts)))


def _random_places(rows: int, number: int, device: torch.device) -> Tensor:
    """[rows, number, 2] x and y of points on an image whose borders are -1 and 1."""
    return torch.rand(rows, number, 2, device=device).mul_(2).sub_(1)


def _sample(masks: Tensor, places: Tensor) -> Tensor:
    """[N, C, P] bilinear values of [N, C, H, W] masks at [N, P, 2] places, which all channels share."""
    return F.grid_sample(masks, places[:, :, None], align_corners=False)[..., 0]


class BatchMatcher(matcher_module.HungarianMatcher):
    """Mask2Former's matcher for all images of a batch at once."""

    @torch.no_grad()
    def forward(self, outputs: dict[str, Tensor], targets: list[dict[str, Tensor]]) -> Matches:
        """Match; same arguments and results as the parent's, which draws the same points from the same random state."""
        masks = outputs["pred_masks"]
        if not isinstance(targets, Targets):
            targets = Targets(targets, masks.dtype)
        places = _random_places(len(masks), self.num_points, masks.device)
        predicted, true = _sample(masks, places), _sample(targets.masks, places)
        with torch.autocast(masks.device.type, enabled=False):
            costs = self._mask_costs(predicted.float(), true.float())
        scores = outputs["pred_logits"].softmax(-1)
        labels = targets.labels[:, None].expand(-1, scores.shape[1], -1)
        costs = (costs - self.cost_class * scores.gather(2, labels)).cpu()
        solved = (linear_sum_assignment(cost[:, : len(target["labels"])]) for cost, target in zip(costs, targets))
        return Matches([(torch.as_tensor(i), torch.as_tensor(j)) for i, j in solved], masks.device)

    def _mask_costs(self, predicted: Tensor, true: Tensor) -> Tensor:
        """[B, Q, n] weighted costs of [B, Q, P] logits and [B, n, P] ground truth."""
        # The cross entropy of a logit x and a truth t is x - logsigmoid(x) - x t.
        entropy = (predicted - F.logsigmoid(predicted)).sum(-1)[:, :, None] - predicted @ true.mT
        probability = predicted.sigmoid()
        overlap = 2 * probability @ true.mT
        areas = probability.sum(-1)[:, :, None] + true.sum(-1)[:, None]
        dice = 1 - (overlap + 1) / (areas + 1)
        return self.cost_mask * entropy / self.num_points + self.cost_dice * dice


class BatchCriterion(criterion_module.SetCriterion):
    """Mask2Former's losses, with ground truth prepared once for all layers."""

    def forward(self, outputs: dict, targets: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """The losses of all layers; see the parent's."""
        return super().forward(outputs, Targets(targets, outputs["pred_masks"].dtype))

    def loss_masks(self, outputs, targets: Targets, indices: Matches, num_masks: float) -> dict[str, Tensor]:
        """Loss of masks at points, most of them where a prediction is uncertain; see the parent's."""
        predicted = outputs["pred_masks"][indices.images, indices.queries][:, None]
        true = targets.masks[indices.images, indices.objects][:, None]
        with torch.no_grad():
            places = self._uncertain_places(predicted)
            labels = _sample(true, places)[:, 0]
        logits = _sample(predicted, places)[:, 0]
        return {
            "loss_mask": criterion_module.sigmoid_ce_loss(logits, labels, num_masks),
            "loss_dice": criterion_module.dice_loss(logits, labels, num_masks),
        }

    def _uncertain_places(self, predicted: Tensor) -> Tensor:
        """Where to compare masks with ground truth: PointRend's choice of points, drawn alike.

        Args:
            predicted: [N, 1, h, w] logits.

        Returns:
            [N, P, 2] in -1..1, those ahead whose logits are nearest to 0.
        """
        places = _random_places(len(predicted), int(self.num_points * self.oversample_ratio), predicted.device)
        certainty = _sample(predicted, places)[:, 0].abs()
        number = int(self.importance_sample_ratio * self.num_points)
        chosen = torch.topk(-certainty, number, dim=1).indices
        # A point as one complex number: rows of two numbers are picked several times more slowly.
        uncertain = torch.view_as_real(torch.view_as_complex(places).gather(1, chosen))
        return torch.cat([uncertain, _random_places(len(predicted), self.num_points - number, predicted.device)], dim=1)

    def _get_src_permutation_idx(self, indices: Matches) -> tuple[Tensor, Tensor]:
        return indices.images, indices.queries


def use_batch_losses(criterion: nn.Module) -> nn.Module:
    """Let a criterion and its matcher compute in fewer operations, if they are Mask2Former's own.

    Args:
        criterion: changed in place, if its class and that of its matcher are Mask2Former's; else left as it is.
    """
    own = (criterion_module.SetCriterion, maskformer_model.SetCriterion)
    if type(criterion) in own and type(criterion.matcher) is matcher_module.HungarianMatcher:
        criterion.__class__, criterion.matcher.__class__ = BatchCriterion, BatchMatcher
    return criterion
