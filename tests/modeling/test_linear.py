"""The linear layer by way of a convolution is nn.Linear, whichever way it takes."""

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from imrsf_d2.modeling import linear as linear_module
from imrsf_d2.modeling.linear import Linear, linear, onednn_is_faster
from imrsf_d2.utils.processor import Processor


@pytest.fixture
def through_onednn(monkeypatch):
    """As on a processor for which oneDNN is the faster of the two, and with products of any size."""
    if not torch.backends.mkldnn.is_available():
        pytest.skip("this PyTorch has no oneDNN")
    monkeypatch.setattr(linear_module, "onednn_is_faster", lambda: True)
    monkeypatch.setattr(linear_module, "_LARGE", 1)


def operations(work):
    with FlopCounterMode(display=False) as counter:
        work()
    return {str(op) for op in counter.get_flop_counts()["Global"]}


@pytest.mark.parametrize("rows", [1, 7, 304])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype,tolerance", [(torch.float32, 1e-5), (torch.float64, 1e-12)], ids=str)
def test_outputs_and_gradients_equal_those_of_torch(through_onednn, rows, bias, dtype, tolerance):
    results = []
    operands = [torch.randn(shape, dtype=dtype) for shape in ((rows, 24), (40, 24), (40,), (rows, 40))]
    for function in (F.linear, linear):
        x, w, b = (operand.clone().requires_grad_() for operand in operands[:3])
        out = function(x, w, b if bias else None)
        results.append([out, *torch.autograd.grad((out * operands[3]).sum(), [x, w] + [b] * bias)])
        assert out.is_contiguous()
    for a, b in zip(*results):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=10 * tolerance)


def test_the_module_is_nn_linear_with_the_same_names(through_onednn):
    theirs = torch.nn.Linear(24, 40)
    ours = Linear(24, 40)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 3, 24)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-5)
    assert ours(x[:0]).shape == (0, 3, 40) and ours(torch.randn(24)).shape == (40,)


def test_a_part_of_the_weights_may_be_used(through_onednn):
    layer, x = Linear(24, 40), torch.randn(5, 24)
    torch.testing.assert_close(linear(x, layer.weight[8:], layer.bias[8:]), layer(x)[:, 8:], rtol=1e-5, atol=1e-5)


def test_float32_on_the_cpu_goes_through_onednn_and_the_rest_does_not(through_onednn, monkeypatch):
    layer, x = Linear(24, 40), torch.randn(5, 24)
    assert operations(lambda: layer(x)) == {"aten.convolution"}
    assert operations(lambda: layer.double()(x.double())) == {"aten.addmm"}
    layer.float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16
        assert operations(lambda: layer(x)) == {"aten.addmm"}
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", False)
    assert operations(lambda: layer(x)) == {"aten.addmm"}


def test_only_large_products_go_through_onednn(through_onednn, monkeypatch):
    monkeypatch.setattr(linear_module, "_LARGE", 5 * 24 * 40)
    layer = Linear(24, 40)
    assert operations(lambda: layer(torch.randn(5, 24))) == {"aten.convolution"}
    assert operations(lambda: layer(torch.randn(4, 24))) == {"aten.addmm"}


@pytest.mark.parametrize(
    "cpu,capability,faster",
    [
        (Processor("AMD EPYC 9655", "AuthenticAMD", 26), "AVX512", True),
        (
            Processor("AMD EPYC 9655", "AuthenticAMD", 26),
            "AVX2",
            False,
        ),  # as the user may tell PyTorch, or a virtual machine
        (Processor("AMD EPYC 9654", "AuthenticAMD", 25), "AVX512", False),
        (Processor("AMD EPYC 7742", "AuthenticAMD", 23), "AVX2", False),
        (Processor("Intel(R) Xeon(R) Platinum 8480C", "GenuineIntel", 6), "AVX512", False),
        (Processor("aarch64"), "DEFAULT", False),
    ],
    ids=["zen5", "zen5-avx2", "zen4", "zen2", "intel", "arm"],
)
def test_the_choice_is_the_processors(monkeypatch, cpu, capability, faster):
    monkeypatch.setattr(linear_module, "processor", lambda: cpu)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    assert onednn_is_faster.__wrapped__() is faster
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: False)
    assert onednn_is_faster.__wrapped__() is False
