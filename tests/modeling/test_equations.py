"""The real encoder against the naive float64 reference of eqs. 2-4: outputs and gradients, every subset."""

import pytest
import torch

from tests.modeling import reference
from tests.modeling.conftest import GRID, MODALITIES, SHAPE, SUBSETS, build, make_images

#: name -> arguments of the encoder, and the same for the reference.
MODALITIES_READ = {"gather": "none", "readout": "modalities"}
ABLATIONS = {
    "no-mask": ({"masked_attention": False}, {"masked": 0}),
    "masked-first": ({"masked_blocks": 1}, {"masked": 1}),
    "no-lstm": ({"gather": "none"}, {"gather": "none"}),
    "mean": ({"gather": "mean"}, {"gather": "mean"}),
    "mean-bilstm": ({"gather": "mean_bilstm"}, {"gather": "mean_bilstm"}),
    "modalities-masked": (MODALITIES_READ, MODALITIES_READ),
    "modalities": ({**MODALITIES_READ, "masked_attention": False}, {**MODALITIES_READ, "masked": 0}),
}


def assert_same(actual, expected, what):
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-10, msg=lambda text: f"{what}: {text}")


def check_against_reference(model, images, **options):
    """Compare every output and the gradients of a random scalar function of all of them."""
    parameters = {name: p.detach().clone().requires_grad_() for name, p in model.named_parameters()}
    image_real, image_naive = images.clone().requires_grad_(), images.clone().requires_grad_()
    output = model.encode(image_real, streams=True, layers=range(SHAPE["depth"]))
    naive = [reference.encode_sample(image, MODALITIES, parameters, **SHAPE, **options) for image in image_naive]

    torch.manual_seed(1)
    loss_real, loss_naive = 0.0, 0.0
    for b, (layers, streams, beta, present) in enumerate(naive):
        assert torch.equal(output.present[b], present)
        assert_same(output.importance[b], beta, "beta")
        for layer, expected in enumerate(layers):
            assert_same(output.layers[layer][b], expected, f"fusion tokens after block {layer}")
            weight = torch.randn_like(expected)
            loss_real = loss_real + (weight * output.layers[layer][b]).sum()
            loss_naive = loss_naive + (weight * expected).sum()
        for modality, stream in zip(MODALITIES, streams):
            for n in range(GRID[0] * GRID[1]):
                expected = stream.get(n, torch.zeros(16, dtype=torch.float64))
                actual = output.streams[modality.name][b, n]
                assert_same(actual, expected, f"stream {modality.name} at {n}")
                weight = torch.randn_like(expected)
                loss_real, loss_naive = loss_real + (weight * actual).sum(), loss_naive + (weight * expected).sum()
    model.zero_grad()
    loss_real.backward()
    loss_naive.backward()
    assert_same(image_real.grad, image_naive.grad, "gradient of the image")
    for name, parameter in model.named_parameters():
        if name.startswith(("pyramid.", "norm.")):
            continue  # after the encoder: not part of eqs. 2-4
        naive_grad = parameters[name].grad
        assert_same(parameter.grad, torch.zeros_like(parameter) if naive_grad is None else naive_grad, f"gradient of {name}")


@pytest.mark.parametrize("coverage", ["full", "partial"])
@pytest.mark.parametrize("subset", SUBSETS, ids=lambda s: "+".join(s) or "nothing")
def test_every_subset_equals_the_reference(encoder, subset, coverage):
    check_against_reference(encoder, make_images([subset], coverage))


@pytest.mark.parametrize("coverage", ["full", "partial"])
def test_a_batch_of_all_subsets_equals_the_reference(encoder, coverage):
    check_against_reference(encoder, make_images(SUBSETS + SUBSETS[::-2], coverage))


@pytest.mark.parametrize("ablation", ABLATIONS)
def test_a_batch_in_which_all_differ_equals_the_reference(ablation):
    arguments, options = ABLATIONS[ablation]
    subsets = [("sar", "rgb", "landuse"), ("rgb",), ()]
    images = torch.cat([make_images(subsets, "full"), make_images(subsets[:2], "partial")])
    check_against_reference(build(**arguments), images, **options)


def test_the_mask_bites():
    images = make_images([("sar", "rgb")])
    masked = build().encode(images, streams=True)
    full = build(masked_attention=False).encode(images, streams=True)
    assert (masked.streams["rgb"] - full.streams["rgb"]).abs().max() > 1e-3


def test_last_block_without_streams_gives_the_same_fusion_tokens(encoder):
    images = make_images(SUBSETS, "partial")
    assert_same(encoder.encode(images).fusion, encoder.encode(images, streams=True).fusion, "fusion tokens")
