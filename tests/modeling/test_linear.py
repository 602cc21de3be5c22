"""The linear layer by way of a convolution is nn.Linear, whichever way it takes."""

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from imrsf_d2.modeling.linear import Linear, linear


def operations(work):
    with FlopCounterMode(display=False) as counter:
        work()
    return {str(op) for op in counter.get_flop_counts()["Global"]}


@pytest.mark.parametrize("rows", [1, 7, 304])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype,tolerance", [(torch.float32, 1e-5), (torch.float64, 1e-12)], ids=str)
def test_outputs_and_gradients_equal_those_of_torch(rows, bias, dtype, tolerance):
    results = []
    operands = [torch.randn(shape, dtype=dtype) for shape in ((rows, 24), (40, 24), (40,), (rows, 40))]
    for function in (F.linear, linear):
        x, w, b = (operand.clone().requires_grad_() for operand in operands[:3])
        out = function(x, w, b if bias else None)
        results.append([out, *torch.autograd.grad((out * operands[3]).sum(), [x, w] + [b] * bias)])
        assert out.is_contiguous()
    for a, b in zip(*results):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=10 * tolerance)


def test_the_module_is_nn_linear_with_the_same_names():
    theirs = torch.nn.Linear(24, 40)
    ours = Linear(24, 40)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 3, 24)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-5)
    assert ours(x[:0]).shape == (0, 3, 40) and ours(torch.randn(24)).shape == (40,)


def test_a_part_of_the_weights_may_be_used():
    layer, x = Linear(24, 40), torch.randn(5, 24)
    torch.testing.assert_close(linear(x, layer.weight[8:], layer.bias[8:]), layer(x)[:, 8:], rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this PyTorch has no oneDNN")
def test_float32_on_the_cpu_goes_through_onednn_and_the_rest_does_not(monkeypatch):
    layer, x = Linear(24, 40), torch.randn(5, 24)
    assert operations(lambda: layer(x)) == {"aten.convolution"}
    assert operations(lambda: layer.double()(x.double())) == {"aten.addmm"}
    layer.float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16
        assert operations(lambda: layer(x)) == {"aten.addmm"}
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", False)
    assert operations(lambda: layer(x)) == {"aten.addmm"}
