"""Mask2Former's losses for all images of a batch at once: to the bit what Mask2Former itself computes, in fewer operations."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from imrsf_d2.compat.upstream import prepare

prepare()

from mask2former.maskformer_model import SetCriterion  # noqa: E402
from mask2former.modeling.matcher import HungarianMatcher  # noqa: E402

from imrsf_d2.engine.set_losses import BatchCriterion, use_batch_losses  # noqa: E402
from tests.pretended_gpu import OnGPU, PretendedGPU  # noqa: E402

LAYERS, QUERIES, CLASSES = 3, 6, 4


def build():
    matcher = HungarianMatcher(cost_class=2.0, cost_mask=5.0, cost_dice=5.0, num_points=40)
    options = {"eos_coef": 0.1, "num_points": 40, "oversample_ratio": 3.0, "importance_sample_ratio": 0.75}
    return SetCriterion(CLASSES, matcher, weight_dict={}, losses=["labels", "masks"], **options)


def batch(objects, dtype=torch.bool):
    """Outputs of all layers, and targets with so many objects in each image."""
    layers = [
        {
            "pred_logits": torch.randn(len(objects), QUERIES, CLASSES + 1, requires_grad=True),
            "pred_masks": torch.randn(len(objects), QUERIES, 8, 8, requires_grad=True),
        }
        for _ in range(LAYERS)
    ]
    targets = [{"labels": torch.randint(CLASSES, (n,)), "masks": (torch.rand(n, 32, 32) > 0.6).to(dtype)} for n in objects]
    return {**layers[-1], "aux_outputs": layers[:-1]}, targets, [value for layer in layers for value in layer.values()]


class Operations(TorchDispatchMode):
    """Counts what a GPU would start."""

    number = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.number += 1
        return func(*args, **(kwargs or {}))


def losses_and_gradients(criterion, outputs, targets, leaves):
    torch.manual_seed(3)
    with Operations() as operations:
        losses = criterion(outputs, targets)
    gradients = torch.autograd.grad(sum(losses.values()), leaves)
    return losses, gradients, torch.rand(1), operations.number


@pytest.mark.parametrize("objects", [(3, 5), (2, 0, 4), (8, 1), (0, 0)], ids=str)
@pytest.mark.parametrize("dtype", [torch.bool, torch.float32], ids=str)
def test_losses_gradients_and_random_numbers_are_mask2formers(objects, dtype):
    """Also with images without objects, and with more objects than queries."""
    case = batch(objects, dtype)
    losses, gradients, next_number, operations = losses_and_gradients(build(), *case)
    found = losses_and_gradients(use_batch_losses(build()), *case)
    assert list(found[0]) == list(losses) and all(torch.equal(found[0][name], losses[name]) for name in losses)
    assert all(map(torch.equal, found[1], gradients)) and torch.equal(found[2], next_number)
    assert found[3] < operations / 2


def test_a_criterion_of_another_class_stays_as_it_is():
    class Own(SetCriterion):
        pass

    own = build()
    own.__class__ = Own
    assert use_batch_losses(own) is own and type(own) is Own
    used = use_batch_losses(build())
    assert isinstance(used, BatchCriterion) and list(used.state_dict()) == list(build().state_dict())


def test_on_a_gpu_the_host_waits_for_each_layer_once():
    """Besides, for the number of objects, which Mask2Former's own part copies there and reads back."""
    outputs, targets, _ = batch((3, 0, 5))
    waits = {}
    with PretendedGPU() as gpu:
        outputs, targets = tree_map_only(torch.Tensor, lambda values: OnGPU(values.detach()), (outputs, targets))
        for criterion in (build(), use_batch_losses(build())):
            gpu.waits.clear()
            gpu.to_gpu(criterion)(outputs, targets)
            waits[type(criterion)] = sum(gpu.waits.values())
    assert gpu.ours == {"set_losses.py copy to the CPU": LAYERS}
    assert waits[BatchCriterion] == LAYERS + 2 < waits[SetCriterion] / 5, waits
