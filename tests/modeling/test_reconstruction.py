"""The reconstruction losses of eq. 5 on patches small enough to work out by hand."""

import numpy as np
import pytest
import torch

from imrsf_d2.modeling.reconstruction import summed_loss


@pytest.mark.parametrize("loss, expected", [("mse", 1 + 16 + 9 + 4), ("l1", 1 + 4 + 3 + 2)])
def test_errors_are_summed_over_valid_pixels_and_bands_by_hand(loss, expected):
    predicted = torch.tensor([[[[1.0, 5.0], [4.0, 9.0]], [[3.0, 5.0], [2.0, 9.0]]]])
    valid = torch.tensor([[[True, False], [True, False]]])
    total, count = summed_loss(predicted, torch.zeros(1, 2, 2, 2), valid, loss, normalize=False)
    assert (total, count) == (expected, 4)


def test_normalized_patches_lose_their_own_mean_and_deviation_by_hand():
    target = torch.tensor([[[[2.0, 99.0], [6.0, 99.0]]]])  # of the valid pixels: mean 4, deviation 2
    valid = torch.tensor([[[True, False], [True, False]]])
    total, count = summed_loss(torch.zeros(1, 1, 2, 2), target, valid, "mse", normalize=True)
    assert total == pytest.approx((-1) ** 2 + 1**2) and count == 2


def test_classes_are_compared_by_cross_entropy_by_hand():
    predicted = torch.zeros(1, 4, 1, 2)
    predicted[0, 1, 0, 0] = np.log(5.0)  # the right class has 5 of 8 parts
    valid = torch.tensor([[[True, False]]])
    total, count = summed_loss(predicted, torch.ones(1, 1, 1, 2), valid, "ce", normalize=False)
    assert total.item() == pytest.approx(np.log(8 / 5)) and count == 1
