"""What a listener hears is beta of the pass that it listens to; and a model that has none is refused, with what it has."""

import numpy as np
import pytest
import torch
from torch import nn

from imrsf_d2.evaluation.shared_streams import SubsetModel
from imrsf_d2.modeling.gather import GATHERS, check_weighing
from imrsf_d2.modeling.tokens import keep_modalities
from imrsf_d2.utils.listening import Listener
from tests.modeling.conftest import MODALITIES, SHAPE, build, make_images

PATCH = SHAPE["patch"]
HAVING = [("sar", "rgb"), ("sar",), ("sar", "rgb", "landuse"), ("landuse", "sar")]


class Model(nn.Module):
    """Pads the images of a list as Detectron2 does, and gives what the backbone makes of them."""

    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone
        self.calls = 0

    def forward(self, inputs):
        self.calls += 1
        return list(self.backbone(self.pad(inputs))["res5"])

    def pad(self, inputs):
        sizes = torch.tensor([sample["image"].shape[-2:] for sample in inputs]).amax(dim=0)
        height, width = (sizes + -sizes % self.backbone.size_divisibility).tolist()
        images = [sample["image"] for sample in inputs]
        return torch.stack([nn.functional.pad(i, (0, width - i.shape[2], 0, height - i.shape[1])) for i in images])


def expected_weights(encoder, padded, size):
    """Of one image [1, C + M, H, W], the weights that `encode` returns."""
    output = encoder.encode(padded)
    beta = torch.where(output.present, output.importance, torch.nan).unflatten(2, output.grid)[0]
    return beta[:, : -(-size[0] // PATCH), : -(-size[1] // PATCH)].numpy()


@pytest.mark.parametrize("coverage", ["full", "partial"])
@pytest.mark.parametrize(
    "sizes", [[(32, 32)] * 4, [(40, 40)] * 4, [(16, 72)] * 4, [(36, 50), (72, 16), (24, 40), (8, 8)]], ids=str
)
@torch.no_grad()
def test_what_is_heard_is_beta_of_the_same_pass(coverage, sizes):
    model = Model(build().eval())
    images = [make_images([subset], coverage, size)[0] for subset, size in zip(HAVING, sizes)]
    inputs = [{"image": image} for image in images]
    outputs, heard = Listener(model)(inputs)
    assert model.calls == 1 and not model.backbone.bilstm._forward_hooks
    torch.testing.assert_close(outputs, model(inputs), rtol=0, atol=0)
    for padded, size, found in zip(model.pad(inputs), sizes, heard, strict=True):
        expected = expected_weights(model.backbone, padded[None], size)
        assert found.shape == expected.shape and found.dtype == np.float32 and len(found) == len(MODALITIES)
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert np.isnan(heard[1][1:]).all()
    some = ~np.isnan(heard[2]).all(axis=0)
    np.testing.assert_allclose(np.nansum(heard[2], axis=0)[some], 1, rtol=1e-6)


@pytest.mark.parametrize("shared", [True, False])
@torch.no_grad()
def test_each_subset_of_a_sweep_is_heard_in_order(shared):
    model = Model(build().eval())
    (image,) = make_images([HAVING[2]], "partial", (40, 24))
    kept = [keep_modalities(image[None], model.backbone.modalities, subset)[0] for subset in HAVING]

    def sweep():
        if shared:
            return [output for (output,) in SubsetModel(model, HAVING)([{"image": image}])]
        return [model([{"image": own}])[0] for own in kept]

    outputs, heard = Listener(model).listen(sweep, [(40, 24)] * len(HAVING))
    assert len(outputs) == len(heard) == len(HAVING)
    for own, found in zip(kept, heard):
        np.testing.assert_allclose(found, expected_weights(model.backbone, model.pad([{"image": own}]), (40, 24)), rtol=1e-5)


def test_the_hook_goes_even_if_the_model_fails():
    model = Model(build())
    with pytest.raises(ValueError, match="image is"):
        Listener(model)([{"image": torch.zeros(3, 16, 16)}])
    assert not model.backbone.bilstm._forward_hooks


@pytest.mark.parametrize("gather", GATHERS)
def test_an_encoder_is_refused_by_its_gather_as_its_config_is(gather):
    model = nn.Sequential(nn.Identity(), Model(build(gather=gather)))
    if model[1].backbone.bilstm is not None:
        assert Listener(model).patch_px == PATCH and Listener.if_weighing(model) is not None
        check_weighing(gather)
        return
    assert Listener.if_weighing(model) is None
    for ask in (lambda: Listener(model), lambda: check_weighing(gather)):
        with pytest.raises(ValueError, match=f"GATHER is '{gather}', which has none, expected 'bilstm' or 'mean_bilstm'"):
            ask()


@pytest.mark.parametrize("number", [0, 2])
def test_a_model_whose_sensors_are_not_weighed_in_one_encoder_is_refused(number):
    model = nn.Sequential(*(build() for _ in range(number)))
    with pytest.raises(ValueError, match=f"Sequential has {number} encoders of this package, expected one"):
        Listener(model)
    assert Listener.if_weighing(model) is None
