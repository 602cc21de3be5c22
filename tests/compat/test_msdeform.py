"""The attention op: equal to plain PyTorch, chosen once, and never failing unseen."""

import logging
import sys

import pytest
import torch

from imrsf_d2.compat import upstream
from imrsf_d2.compat.msdeform import CPU_OP, CUDA_OP, PLAIN_OP, MSDeformOp, compare_with_plain

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def mask2former_op():
    """Mask2Former's module of the attention layer, prepared; put back as it was afterwards."""
    upstream.prepare()
    import mask2former.modeling.pixel_decoder.ops.modules.ms_deform_attn as module

    return module


@pytest.fixture
def plain(mask2former_op):
    return mask2former_op._imrsf_original[1]


@pytest.fixture
def layer(mask2former_op):
    """An MSDeformAttn layer and its inputs: two levels, 4x6 and 2x3 pixels."""
    torch.manual_seed(1)
    layer = mask2former_op.MSDeformAttn(d_model=16, n_levels=2, n_heads=4, n_points=2)
    shapes, starts = torch.tensor([[4, 6], [2, 3]]), torch.tensor([0, 24])
    return layer, (torch.rand(2, 30, 16), torch.rand(2, 30, 2, 2), torch.rand(2, 30, 16), shapes, starts)


def failing_op(*args):
    raise RuntimeError("kernel failed")


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_compiled_op_equals_plain_pytorch_in_output_and_gradients(plain, dtype, device):
    compiled = pytest.importorskip("torch_ms_deform_attn").MSDeformAttnFunction
    if device == "cuda" and upstream.verify_op(device) != CUDA_OP:
        pytest.skip("the op is compiled for the CPU alone")
    compare_with_plain(compiled.apply, plain, torch.device(device), dtype)


@pytest.mark.gpu
def test_chosen_op_equals_plain_pytorch_on_the_gpu():
    assert upstream.verify_op("cuda") in (CUDA_OP, PLAIN_OP)


def test_comparison_notices_an_op_whose_output_is_wrong(plain):
    def wrong(value, shapes, starts, locations, weights, step):
        return plain(value, shapes.tolist(), locations.flip(-1), weights)  # x and y exchanged

    with pytest.raises(RuntimeError, match="output is off by"):
        compare_with_plain(wrong, plain, CPU)


def test_comparison_notices_an_op_whose_gradient_is_wrong(plain):
    def wrong(value, shapes, starts, locations, weights, step):
        return plain(value, shapes.tolist(), locations, weights.detach() + 0 * weights)

    with pytest.raises(RuntimeError, match="gradient of weights is off by"):
        compare_with_plain(wrong, plain, CPU)


def test_comparison_leaves_the_random_state_alone(plain):
    before = torch.get_rng_state()
    MSDeformOp(plain).choice(CPU)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt], ids=lambda e: e.__name__)
def test_failure_of_the_chosen_op_passes_the_bare_except(mask2former_op, layer, plain, monkeypatch, error):
    def fail(*args):
        raise error("kernel failed")

    op = MSDeformOp(plain)
    op.chosen["cpu"] = ("failing", fail)
    monkeypatch.setattr(mask2former_op, "MSDeformAttnFunction", op)
    monkeypatch.setattr(mask2former_op, "ms_deform_attn_core_pytorch", op.after_apply)
    module, inputs = layer
    with pytest.raises(error, match="kernel failed"):
        module(*inputs)


def test_slow_path_called_directly_still_computes(plain):
    """It may be used by itself (FLOP counting), also while some unrelated exception is being handled."""
    arguments = (torch.rand(1, 4, 1, 2), [(2, 2)], torch.rand(1, 3, 1, 1, 1, 2), torch.rand(1, 3, 1, 1, 1))
    op = MSDeformOp(plain)
    try:
        raise KeyError("unrelated")
    except KeyError:
        assert torch.equal(op.after_apply(*arguments), plain(*arguments))


def test_op_that_fails_at_first_is_replaced_with_a_warning(plain, monkeypatch, caplog):
    package = type(sys)("torch_ms_deform_attn")
    package.MSDeformAttnFunction = type("Function", (), {"apply": staticmethod(failing_op)})
    monkeypatch.setitem(sys.modules, "torch_ms_deform_attn", package)
    with caplog.at_level(logging.INFO, logger="imrsf_d2"):
        assert MSDeformOp(plain).choice(CPU)[0] == PLAIN_OP
    assert "The op of torch-ms-deform-attn does not work on cpu: kernel failed" in caplog.text


def test_absent_op_means_plain_pytorch_with_a_warning(plain, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "torch_ms_deform_attn", None)
    with caplog.at_level(logging.INFO, logger="imrsf_d2"):
        assert MSDeformOp(plain).choice(CPU)[0] == PLAIN_OP
    assert "No compiled MSDeformAttn op for cpu" in caplog.text


@pytest.mark.parametrize(
    "force_plain,said",
    [
        (False, "MSDeformAttn on cpu: compiled cpu, of torch-ms-deform-attn."),
        (True, "MSDeformAttn on cpu: plain pytorch, of Mask2Former."),
    ],
)
def test_choice_is_logged_once(plain, caplog, force_plain, said):
    op = MSDeformOp(plain, force_plain=force_plain)
    with caplog.at_level(logging.DEBUG, logger="imrsf_d2"):
        op.choice(CPU), op.choice(CPU)
    assert [record.getMessage() for record in caplog.records] == [said]


def test_source_op_is_not_used_for_cpu_tensors(plain):
    """Mask2Former's own build has CUDA kernels only."""
    pytest.importorskip("torch_ms_deform_attn")
    assert MSDeformOp(plain, source_op=failing_op).choice(CPU)[0] == CPU_OP


def test_layer_gives_the_same_with_the_plain_op(mask2former_op, layer, monkeypatch):
    module, inputs = layer
    outputs = []
    for force_plain in (False, True):
        op = MSDeformOp(mask2former_op._imrsf_original[1], force_plain=force_plain)
        monkeypatch.setattr(mask2former_op, "MSDeformAttnFunction", op)
        monkeypatch.setattr(mask2former_op, "ms_deform_attn_core_pytorch", op.after_apply)
        outputs.append(module(*inputs))
        assert op.chosen["cpu"][0] == (PLAIN_OP if force_plain else CPU_OP)
    torch.testing.assert_close(*outputs)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_autocast_and_half_inputs_are_computed_in_float32(layer, dtype, device):
    module, inputs = layer[0].to(device), [tensor.to(device) for tensor in layer[1]]
    reference = module(*inputs)
    with torch.autocast(device, dtype=dtype):
        output = module(*inputs)
    assert output.dtype == dtype
    torch.testing.assert_close(output.float(), reference, rtol=0.05, atol=0.02)
    output.float().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())


def test_a_model_in_bfloat16_runs(layer):
    module, (query, points, features, shapes, starts) = layer
    output = module.bfloat16()(query.bfloat16(), points.bfloat16(), features.bfloat16(), shapes, starts)
    assert output.dtype == torch.bfloat16
    assert output.isfinite().all()
