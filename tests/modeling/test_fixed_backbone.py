"""The graph of fixed shapes computes what the backbone computes, which reads off the data what there is."""

import json
import re
from functools import partial

import pytest
import torch
from torch._dynamo.utils import counters

from imrsf_d2.export.description import describe
from imrsf_d2.modeling.fixed_backbone import FixedBackbone
from tests.modeling.conftest import MODALITIES, SUBSETS, build, make_images
from tests.tiny import REPOSITORY

SIZE = (16, 24)
ABLATIONS = [
    {},
    {"gather": "none"},
    {"gather": "mean"},
    {"gather": "mean_bilstm"},
    {"gather": "none", "readout": "modalities"},
    {"gather": "none", "readout": "modalities", "masked_attention": False},
    {"masked_blocks": 1},
    {"masked_attention": False},
    {"detail": 4},
    {"detail": 4, "absent": "zeros"},
    {"absent": "zeros"},
    {"absent": "zeros", "gather": "mean_bilstm"},
]


def inputs(images, names=("sar", "rgb", "landuse")):
    """Of a graph, from [B, 5 + 3, H, W]."""
    bands = dict(zip(("sar", "rgb", "landuse"), images[:, :5].split([m.channels for m in MODALITIES], dim=1)))
    return {name: bands[name] for name in names}


def assert_same(found, expected):
    for name, values in expected.items():
        torch.testing.assert_close(found[name], values, rtol=0, atol=1e-10)


@pytest.mark.parametrize("ablation", ABLATIONS, ids=str)
@torch.no_grad()
def test_one_graph_takes_any_sensors_of_any_coverage(ablation):
    vit = build(**ablation).eval()
    graph = FixedBackbone(vit, SIZE).double().eval()
    for coverage in ("full", "partial"):
        images = make_images(SUBSETS, coverage)
        assert_same(graph(inputs(images), images[:, 5:]), vit(images))


@pytest.mark.parametrize("ablation", ABLATIONS, ids=str)
@torch.no_grad()
def test_a_graph_of_a_subset_has_nothing_of_the_other_sensors(ablation):
    vit = build(**ablation).eval()
    for subset in SUBSETS[1:]:
        graph = FixedBackbone(vit, SIZE, subset).double().eval()
        images = make_images([subset] * 2)
        assert_same(graph(inputs(images, subset)), vit(images))
        if vit.absent == "skip":
            assert set(graph.patch_embed) == set(subset)


@torch.no_grad()
def test_units_are_those_after_transform_and_what_is_not_finite_is_missing():
    modalities = [{"NAME": "a", "CHANNELS": 2, "MEAN": [3.0, -4.0], "STD": [2.0, 0.5]}, {"NAME": "b", "MEAN": [100.0]}]
    vit = build(modalities=modalities).eval()
    mean, std = (torch.tensor(values, dtype=torch.float64)[:3, None, None] for values in ([3, -4, 100.0], [2, 0.5, 1.0]))
    image = torch.randn(1, 3, *SIZE, dtype=torch.float64) * std + mean
    image[:, 2, :8], image[:, 0, 3, 3] = float("nan"), float("inf")
    graph = FixedBackbone(vit, SIZE).double()
    ones = torch.ones(1, 2, *SIZE, dtype=torch.float64)
    assert_same(graph({"a": image[:, :2], "b": image[:, 2:]}, ones), vit((image - mean) / std))


@torch.no_grad()
def test_nodata_is_for_the_caller_to_find_by_the_description():
    """Its pixels are missing once they are 0 in validity, or NaN, and a measurement until then."""
    modalities = [{"NAME": "a", "CHANNELS": 2, "MEAN": [3.0, -4.0], "STD": [2.0, 0.5], "NODATA": -9}, {"NAME": "b"}]
    vit = build(modalities=modalities).float().eval()
    graph = FixedBackbone(vit, SIZE).eval()
    sensors = {"a": torch.randn(1, 2, *SIZE), "b": torch.randn(1, 1, *SIZE)}
    sensors["a"][..., :9] = sensors["b"][..., :9] = -9
    about = json.loads(describe(graph, part="backbone", outputs="", classes=(), opset=None))["modalities"]
    assert [modality["nodata"] for modality in about] == [-9, None]
    empty = (sensors["a"] == about[0]["nodata"]).all(dim=1)
    validity = torch.stack([~empty, torch.ones_like(empty)], dim=1).float()
    expected, found = vit(sensors), graph(sensors, validity)
    for name, values in expected.items():
        torch.testing.assert_close(found[name], values, rtol=0, atol=1e-4)
    gaps = {**sensors, "a": sensors["a"].masked_fill(empty[:, None], float("nan"))}
    assert_same(graph(gaps, torch.ones_like(validity)), found)
    assert not torch.allclose(graph(sensors, torch.ones_like(validity))["res2"], found["res2"], atol=1e-2)


@pytest.mark.parametrize("size", [(16, 20), (0, 16)])
def test_a_size_that_patches_do_not_fill_is_refused(size):
    with pytest.raises(ValueError, match=rf"size is {size[0]} x {size[1]} px, expected multiples of the patch size 8"):
        FixedBackbone(build(), size)


def test_an_unknown_sensor_is_refused():
    with pytest.raises(ValueError, match=r"names the unknown modality 'dsm'.*\['sar', 'rgb', 'landuse'\]"):
        FixedBackbone(build(), SIZE, ["rgb", "dsm"])


@pytest.mark.slow
@torch.no_grad()
def test_compiled_whole_it_is_one_graph_for_all_subsets():
    """fullgraph=True raises where the graph breaks."""
    vit = build(depth=1, out_layers=[0, 0, 0, 0]).eval()
    torch._dynamo.reset()
    counters.clear()
    compiled = torch.compile(FixedBackbone(vit, SIZE).double().eval(), backend="eager", fullgraph=True)
    for subset in SUBSETS:
        images = make_images([subset], "partial")
        assert_same(compiled(inputs(images), images[:, 5:]), vit(images))
    assert counters["stats"]["unique_graphs"] == 1
    torch.compile(FixedBackbone(vit, SIZE, ["rgb"]).double().eval(), backend="eager", fullgraph=True)(
        inputs(images, ["rgb"])
    )
    assert counters["stats"]["unique_graphs"] == 2


@pytest.mark.slow
def test_the_example_of_the_page_runs(monkeypatch):
    [example] = re.findall(r"```python\n([^`]*torch\.compile\(.*?)```", (REPOSITORY / "docs/export.md").read_text(), re.S)
    monkeypatch.setattr(
        torch, "compile", partial(torch.compile, backend="eager")
    )  # as it is captured; C++ would take a minute
    found: dict = {}
    exec(example, found)
    assert found["maps"]["res2"].shape == (1, 192, 16, 16)
