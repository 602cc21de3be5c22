"""Mask2Former's criterion takes the weights it is given, and its losses are not compiled."""

import importlib
from types import FunctionType

import pytest
import torch

from imrsf_d2.compat import upstream

upstream.prepare()


class OwnWeights(torch.nn.Module):
    """The changed constructor: it makes `weight_dict` itself."""

    def __init__(self, num_classes, matcher, class_weight, mask_weight, dice_weight, num_layers, eos_coef, losses):
        super().__init__()
        self.weight_dict = {"loss_ce": class_weight}
        self.seen = (num_classes, matcher, eos_coef, losses)


class GivenWeights(torch.nn.Module):
    """The original constructor."""

    def __init__(self, num_classes, matcher, weight_dict, eos_coef, losses):
        super().__init__()


def test_original_criterion_is_left_alone():
    assert upstream.adapt_criterion(GivenWeights) is GivenWeights


def test_changed_criterion_takes_the_weights_it_is_given():
    adapted = upstream.adapt_criterion(OwnWeights)
    weights = {"loss_ce": 2.0, "loss_mask": 5.0, "loss_mask_0": 5.0}
    criterion = adapted(3, matcher="m", weight_dict=weights, eos_coef=0.1, losses=["labels"])
    assert isinstance(criterion, OwnWeights)
    assert criterion.weight_dict == weights
    assert criterion.seen == (3, "m", 0.1, ["labels"])


def test_changed_criterion_can_be_called_in_its_own_form():
    adapted = upstream.adapt_criterion(OwnWeights)
    criterion = adapted(
        3, "m", class_weight=2.0, mask_weight=5.0, dice_weight=5.0, num_layers=9, eos_coef=0.1, losses=["labels"]
    )
    assert criterion.weight_dict == {"loss_ce": 2.0}


def test_adapting_twice_is_adapting_once():
    adapted = upstream.adapt_criterion(OwnWeights)
    assert upstream.adapt_criterion(adapted) is adapted


@pytest.mark.parametrize(
    "module, names",
    [("criterion", ["dice_loss", "sigmoid_ce_loss"]), ("matcher", ["batch_dice_loss", "batch_sigmoid_ce_loss"])],
)
def test_losses_are_not_compiled(module, names):
    losses = importlib.import_module(f"mask2former.modeling.{module}")
    for name in names:
        assert getattr(losses, f"{name}_jit") is getattr(losses, name) and isinstance(getattr(losses, name), FunctionType)
