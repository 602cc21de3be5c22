"""Numbers in narrow types, against float64: maps of every subset, the Bi-LSTM's memory, gradients of a half-covered batch.

Weights and images are those of `conftest`; distances are norms of differences over norms. Measured with them on a CPU, at most: maps
0.019 in bf16 and 0.0022 in fp16; gradients of all parameters together 3e-6 in float32, 0.045 in bf16 and 0.0025 in fp16. The bounds
leave about twice as much.
"""

import pytest
import torch

from imrsf_d2.modeling.bilstm_attention import BACKWARD, FORWARD, BiLSTMAttention, _States
from tests.modeling.conftest import SUBSETS, build, make_images

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
#: type -> bounds of the maps and of the gradients
BOUNDS = {torch.float32: (1e-5, 1e-5), torch.bfloat16: (0.04, 0.1), torch.float16: (0.005, 0.006)}


def away(got, expected):
    """The distance of tensors, all together, relative to the second ones."""
    pairs = [(g.cpu().double().flatten(), e.flatten()) for g, e in zip(got, expected, strict=True)]
    return (torch.cat([g - e for g, e in pairs]).norm() / torch.cat([e for _, e in pairs]).norm()).item()


def narrow(device, dtype):
    return torch.autocast(device, dtype=dtype, enabled=dtype != torch.float32)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", BOUNDS, ids=str)
@pytest.mark.parametrize("coverage", ["full", "partial"])
def test_the_maps_of_every_subset_are_those_of_float64(encoder, coverage, dtype, device):
    model = build().float().to(device)
    distances = {}
    for subset in SUBSETS:
        image = make_images([subset], coverage)
        with torch.no_grad(), narrow(device, dtype):
            got = model(image.float().to(device))
        distances["+".join(subset)] = max(away([got[name]], [map_.detach()]) for name, map_ in encoder(image).items())
    assert 0 < max(distances.values()) < BOUNDS[dtype][0], distances


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", BOUNDS, ids=str)
def test_the_gradients_of_a_half_covered_batch_are_those_of_float64(dtype, device):
    image = make_images([("sar", "rgb", "landuse"), ("rgb",), (), ("sar", "landuse")], "partial")

    def gradients(model, image):
        with narrow(image.device.type, dtype if image.dtype == torch.float32 else torch.float32):
            maps = model(image)
        generator = torch.Generator().manual_seed(3)
        # What comes back from a head differs from pixel to pixel.
        weights = [torch.randn(map_.shape, generator=generator, dtype=torch.float64) for map_ in maps.values()]
        sum((map_.cpu().double() * weight).sum() for map_, weight in zip(maps.values(), weights)).backward()
        return [parameter.grad for parameter in model.parameters()]

    got = gradients(build().float().to(device), image.float().to(device))
    assert {gradient.dtype for gradient in got} == {torch.float32}
    assert 0 < away(got, gradients(build(), image)) < BOUNDS[dtype][1]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("direction", [FORWARD, BACKWARD])
def test_the_cell_state_is_float32_so_that_small_steps_are_not_lost(direction, dtype, device):
    """512 steps of about 0.005 each. A cell state in bf16, which at 2 goes in steps of 1/64, ends there; in fp16 it drifts."""
    steps, size = 512, 8
    module = BiLSTMAttention(2 * size)
    with torch.no_grad():
        for parameter in module.lstm.parameters():
            parameter.zero_()
        for suffix in ("l0", "l0_reverse"):
            take, forget, new, give = getattr(module.lstm, f"bias_ih_{suffix}").chunk(4)
            for gate, value in ((take, 20.0), (forget, 20.0), (new, 0.005), (give, 20.0)):
                gate.fill_(value)

    def cell(module, kind, device):
        tokens = {0: torch.zeros(1, 1, 2 * size, dtype=kind, device=device)}
        return _States(module, tokens)._state(direction, (0,) * steps)[1]

    module.to(device)
    with torch.no_grad(), narrow(device, dtype):
        got = cell(module, torch.float32, device)
    assert got.dtype == torch.float32
    expected = cell(module.double().cpu(), torch.float64, "cpu").detach()
    assert expected.mean() == pytest.approx(2.56, rel=0.01)
    # What is left is the rounding of one gate, the same in each step.
    assert away([got], [expected]) < 0.005
