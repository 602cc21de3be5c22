import numpy as np
import pytest
import torch
from torch import nn

from imrsf_d2.inference.importance import Listener, load_importance, save_importance
from imrsf_d2.modeling import IncompleteMultimodalViT
from tests.modeling.conftest import MODALITIES, SHAPE, build, make_images

PATCH = SHAPE["patch"]


class Model(nn.Module):
    """Pads the images of a list as Detectron2 does, and gives what the backbone makes of them."""

    def __init__(self, backbone: IncompleteMultimodalViT):
        super().__init__()
        self.backbone = backbone
        self.calls = 0

    def forward(self, inputs):
        self.calls += 1
        return self.backbone(self.pad(inputs))["res5"]

    def pad(self, inputs):
        side = inputs[0]["image"].shape[-1]
        more = -side % self.backbone.size_divisibility
        return torch.stack([nn.functional.pad(sample["image"], (0, more, 0, more)) for sample in inputs])


@pytest.mark.parametrize("coverage", ["full", "partial"])
@pytest.mark.parametrize("side", [32, 40])
@torch.no_grad()
def test_what_is_heard_is_beta_of_the_same_pass(coverage, side):
    model = Model(build().eval())
    subsets = [("sar", "rgb"), ("sar",), ("sar", "rgb", "landuse"), ("landuse", "sar")]
    inputs = [{"image": image} for image in make_images(subsets, coverage, size=(side, side))]
    listener = Listener(model)
    outputs, heard = listener(inputs)
    assert model.calls == 1 and not model.backbone.bilstm._forward_hooks
    torch.testing.assert_close(outputs, model(inputs), rtol=0, atol=0)
    expected = model.backbone.encode(model.pad(inputs))
    beta = torch.where(expected.present, expected.importance, torch.nan).unflatten(2, expected.grid)
    patches = side // PATCH
    for i, found in enumerate(heard):
        assert found.shape == (len(MODALITIES), patches, patches) and found.dtype == np.float32
        np.testing.assert_allclose(found, beta[i, :, :patches, :patches].numpy(), rtol=1e-6)
    assert np.isnan(heard[1][1:]).all()
    some = ~np.isnan(heard[2]).all(axis=0)
    np.testing.assert_allclose(np.nansum(heard[2], axis=0)[some], 1, rtol=1e-6)


def test_the_hook_goes_even_if_the_model_fails():
    model = Model(build())
    with pytest.raises(ValueError, match="image is"):
        Listener(model)([{"image": torch.zeros(3, 16, 16)}])
    assert not model.backbone.bilstm._forward_hooks


@pytest.mark.parametrize("windows", [[], [7, 2]])
def test_weights_are_read_back_as_they_were(tmp_path, rng, windows):
    found = {i: rng.random((3, 4, 4), dtype=np.float32) for i in windows}
    if found:
        found[2][0] = np.nan
    save_importance(tmp_path / "block.npz", found)
    back = load_importance(tmp_path / "block.npz")
    assert list(back) == sorted(windows)
    for index, beta in found.items():
        np.testing.assert_array_equal(back[index], beta)
