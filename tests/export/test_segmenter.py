"""The whole model as a graph of fixed shapes, compared with Mask2Former's own forward pass."""

import pytest
import torch

from imrsf_d2.export.examples import example_inputs, masked_cases
from imrsf_d2.export.segmenter import FixedSegmenter
from tests.export.models import SIZE, tiny_model


def sample_of(graph, inputs):
    sensors, validity = inputs
    return {"image": torch.cat([*sensors.values(), validity], dim=1)[0], "height": SIZE, "width": SIZE}


@torch.no_grad()
def test_raw_outputs_are_those_of_the_head_for_every_subset():
    model = tiny_model()
    graph = FixedSegmenter(model, (SIZE, SIZE)).eval()
    heard = []
    model.sem_seg_head.register_forward_hook(lambda _, arguments, output: heard.append(output))
    cases = masked_cases(graph.backbone)
    assert len(cases) == 8
    for inputs in cases.values():
        model([sample_of(graph, inputs)])
        for name, values in graph(*inputs).items():
            torch.testing.assert_close(values, heard[-1][name], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_objects_are_mask2formers_best_first():
    model = tiny_model()
    graph = FixedSegmenter(model, (SIZE, SIZE), outputs="instances").eval()
    inputs = example_inputs(graph.backbone)
    expected = model([sample_of(graph, inputs)])[0]["instances"]
    found = graph(*inputs)
    order = expected.scores.argsort(descending=True)
    torch.testing.assert_close(found["scores"], expected.scores[order], rtol=1e-4, atol=1e-5)
    assert found["classes"].equal(expected.pred_classes[order])
    assert (found["masks"] != expected.pred_masks[order].bool()).float().mean() < 1e-3
    assert found["masks"].dtype == torch.bool and found["masks"].shape == (5, SIZE, SIZE)


@torch.no_grad()
def test_probabilities_are_the_label_scores_that_sum_to_one():
    model = tiny_model(task="lulc")
    graph = FixedSegmenter(model, (SIZE, SIZE), outputs="probabilities").eval()
    inputs = example_inputs(graph.backbone)
    scores = model([sample_of(graph, inputs)])[0]["sem_seg"]
    found = graph(*inputs)["probabilities"]
    torch.testing.assert_close(found, scores / scores.sum(dim=0), rtol=1e-4, atol=1e-5)


def test_what_cannot_be_exported_is_named():
    model = tiny_model()
    with pytest.raises(ValueError, match=r"size is 64 x 48 px, expected multiples of 32"):
        FixedSegmenter(model, (64, 48))
    with pytest.raises(ValueError, match=r"'probabilities', but the model gives none.*SEMANTIC_ON is False"):
        FixedSegmenter(model, (64, 64), outputs="probabilities")
    with pytest.raises(ValueError, match=r"MODEL\.MASK_FORMER\.TRANSFORMER_DECODER_NAME is Linear, expected MultiScale"):
        model.sem_seg_head.predictor = torch.nn.Linear(1, 1)
        FixedSegmenter(model, (64, 64))
