"""Activation checkpointing of the encoder: the same numbers from less memory."""

import pytest
import torch

from tests.modeling.conftest import build, make_images

ROWS = [("sar", "rgb", "landuse"), ("rgb",), (), ("sar", "landuse")]


def step(model, image):
    """Features and gradients of a training step, and the bytes kept for its backward pass."""
    stored = {}

    def pack(tensor):
        stored[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    torch.manual_seed(3)  # of the stochastic depth
    model.zero_grad()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        features = model(image)
    sum(map_.square().mean() for map_ in features.values()).backward()
    # Before the backward pass frees anything, every storage has an address of its own.
    return features, {name: p.grad for name, p in model.named_parameters()}, sum(stored.values())


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("coverage", ["full", "partial"])
@pytest.mark.parametrize("drop_path", [0.0, 0.5])
def test_checkpointed_blocks_give_the_same_numbers_and_keep_less(coverage, drop_path, device):
    image = make_images(ROWS, coverage, size=(32, 32)).to(device)
    model = build(depth=6, out_layers=[0, 2, 4, 5], drop_path=drop_path).to(device).train()
    features, gradients, kept = step(model, image)
    model.checkpoint_blocks = True
    again, gradients_again, kept_again = step(model, image)
    for name, expected in features.items():
        assert torch.equal(again[name], expected), name
    for name, expected in gradients.items():
        assert torch.allclose(gradients_again[name], expected, rtol=1e-10, atol=1e-12), name
    assert kept_again < 0.5 * kept


def test_the_second_computation_is_in_the_precision_of_the_first():
    image = make_images(ROWS, size=(32, 32)).float()
    model = build(depth=6, out_layers=[0, 2, 4, 5]).float().train()
    results = []
    for model.checkpoint_blocks in (False, True):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            results.append(step(model, image))
    (features, gradients, _), (again, gradients_again, _) = results
    assert all(torch.equal(again[name], expected) for name, expected in features.items())
    for name, expected in gradients.items():
        assert torch.allclose(gradients_again[name], expected, rtol=1e-4, atol=1e-4 * expected.abs().max()), name


def test_nothing_is_kept_or_computed_twice_without_gradients(monkeypatch):
    monkeypatch.setattr("imrsf_d2.modeling.encoder.checkpoint", None)  # would be called
    with torch.no_grad():
        build(checkpoint_blocks=True)(make_images(ROWS))
