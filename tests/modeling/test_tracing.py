"""A trace would keep which sensors its example has: refused, whoever traces; eager and compiled, the model works."""

import io
import warnings

import pytest
import torch

from tests.modeling.conftest import build, make_images
from tests.modeling.pretraining import build_pretraining, make_samples

REFUSAL = r"cannot be traced \(torch\.jit\.trace.*Call the model as it is, or torch\.compile it"


@pytest.fixture(autouse=True)
def no_tracer_warnings():
    """What PyTorch says of Python values in the part before the refusal."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize(
    "ablation",
    [{}, {"gather": "none"}, {"masked_attention": False}, {"absent": "zeros"}, {"gather": "none", "readout": "modalities"}],
    ids=str,
)
def test_the_backbone_cannot_be_traced(ablation):
    """With absent="zeros" too: its layout does not depend on the sensors, but on the number of samples."""
    with pytest.raises(ValueError, match=REFUSAL):
        torch.jit.trace(build(**ablation).eval(), make_images([("rgb",)]), strict=False)


def test_the_subsets_of_a_sweep_cannot_be_traced(encoder):
    def fused(image):
        return encoder.encode_subsets(image, [("rgb",), ()])[0].fusion

    with pytest.raises(ValueError, match=REFUSAL):
        torch.jit.trace(fused, make_images([("rgb",)]))


def test_what_traces_for_another_purpose_is_refused_too(encoder):
    """TensorBoard's add_graph and fvcore's FlopCountAnalysis trace by this function."""
    with pytest.raises(ValueError, match=REFUSAL):
        torch.jit._get_trace_graph(encoder, make_images([("rgb",)]))


def test_the_old_onnx_exporter_is_refused(encoder):
    with pytest.raises(ValueError, match=REFUSAL):
        torch.onnx.export(encoder, (make_images([("rgb",)]),), io.BytesIO(), dynamo=False)


@pytest.mark.parametrize("training", [True, False])
def test_the_pretraining_model_cannot_be_traced(training):
    model = build_pretraining().train(training)
    sample = make_samples([("sar", "rgb")])[0]

    def first_output(image):
        output = model([sample | {"image": image}])
        return next(iter(output.values())) if training else output[0]["reconstruction"]["rgb"]

    with pytest.raises(ValueError, match=REFUSAL):
        torch.jit.trace(first_output, sample["image"])


@pytest.mark.slow
def test_what_the_refusal_names_works():
    """Captured by torch.compile, the encoder gives what it gives as it is, for one subset after the other."""
    encoder = build(depth=1, out_layers=[0, 0, 0, 0])
    compiled = torch.compile(encoder.encode, backend="eager")
    with torch.no_grad():
        for subset in [("rgb",), ("sar", "rgb")]:
            images = make_images([subset])
            torch.testing.assert_close(compiled(images).fusion, encoder.encode(images).fusion)
