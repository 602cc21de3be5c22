"""ONNX files: computed by onnxruntime, for every subset of the sensors, and read as docs/export.md shows."""

import json
import re
import runpy

import pytest
import torch

pytest.importorskip("onnxscript", reason="needs onnx, onnxscript and onnxruntime, which are an extra: make test-export")
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from imrsf_d2.commands.export import main  # noqa: E402
from imrsf_d2.engine.model_export import export_model  # noqa: E402
from imrsf_d2.export import opsets  # noqa: E402
from imrsf_d2.export.differences import expected_outputs  # noqa: E402
from imrsf_d2.export.examples import masked_cases  # noqa: E402
from imrsf_d2.export.files import OnnxGraph  # noqa: E402
from imrsf_d2.export.segmenter import FixedSegmenter  # noqa: E402
from projects.benchmarks.exports import benchmark_exports  # noqa: E402
from tests.export.models import DEMO_CONFIG, SIZE, tiny_config, tiny_model  # noqa: E402
from tests.tiny import OVERRIDES, REPOSITORY  # noqa: E402


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "model.pth"
    torch.save({"model": tiny_model().state_dict()}, path)
    return str(path)


@pytest.fixture(scope="module")
def exported(weights, tmp_path_factory):
    """A graph for any sensors, in the lowest opset."""
    path = str(tmp_path_factory.mktemp("onnx") / "model.onnx")
    torch.manual_seed(0)
    return export_model(tiny_config("MODEL.WEIGHTS", weights), path, size=(SIZE, SIZE), opset=opsets.LOWEST)


def test_one_graph_takes_every_subset(exported, weights):
    model = tiny_model()
    model.load_state_dict(torch.load(weights)["model"])
    graph = FixedSegmenter(model, (SIZE, SIZE)).eval()
    computed = OnnxGraph(exported.path)
    assert list(computed.names) == ["pred_logits", "pred_masks"]
    for inputs in masked_cases(graph.backbone).values():
        found = computed(inputs)
        for name, values in expected_outputs(model, model.backbone, graph, inputs).items():
            assert (found[name] - values).abs().max() < 1e-4
    assert all(difference.absolute < 1e-4 for difference in exported.differences.values())
    assert exported.cases[:2] == ["sar+rgb+dsm", "sar+rgb"] and len(exported.cases) == 8


def test_the_file_says_what_it_is(exported):
    proto = onnx.load(exported.path)
    onnx.checker.check_model(proto)
    assert proto.opset_import[0].version == opsets.LOWEST
    about = json.loads(onnxruntime.InferenceSession(exported.path).get_modelmeta().custom_metadata_map["imrsf_d2"])
    assert about["size"] == [SIZE, SIZE] and about["validity"] and about["opset"] == opsets.LOWEST
    assert about["classes"] == ["building"] and about["outputs"] == "raw"
    sar = about["modalities"][0]
    assert (sar["name"], sar["transform"], sar["channels"]) == ("sar", "db", 1)
    assert about["modalities"][1]["mean"] == pytest.approx([81.17, 87.81, 71.92])


def test_the_operators_that_need_an_opset_are_those_of_the_graph(exported):
    """As the refusal of an older opset names them: none is made up, and none is left out that is younger."""
    used = {node.op_type for node in onnx.load(exported.path).graph.node}
    young = {name for name in used if onnx.defs.get_schema(name, opsets.LOWEST, "").since_version > 15}
    named = set(re.findall(r"(\w+) \(in opset", refusal(15)))
    assert named and named <= young
    newest = max(onnx.defs.get_schema(name, opsets.LOWEST, "").since_version for name in young)
    assert newest == opsets.LOWEST and "GridSample (in opset 16)" in refusal(15)


def refusal(opset):
    with pytest.raises(ValueError) as error:
        opsets.check_opset(opset, "model")
    return str(error.value)


def test_opsets_out_of_range_are_named(weights, tmp_path, capsys):
    options = ["--config-file", str(DEMO_CONFIG), "--size", str(SIZE), "--output", str(tmp_path / "model.onnx")]
    for opset, message in [("15", "lacks operators of this graph.*GridSample"), ("99", "opset is 99, expected 18 to")]:
        assert main([*options, "--opset", opset, *OVERRIDES, "MODEL.WEIGHTS", weights]) == 2
        assert re.search(message, capsys.readouterr().err)
    assert not list(tmp_path.iterdir())


def test_the_reader_of_the_page_reads_what_the_command_writes(weights, tmp_path, monkeypatch, capsys):
    [example] = re.findall(
        r"```python\n(import json\nimport numpy.*?)```", (REPOSITORY / "docs/export.md").read_text(), re.S
    )
    assert len(re.findall(r"^\s*\S", example, re.M)) <= 15
    assert set(re.findall(r"^(?:import|from) (\w+)", example, re.M)) == {"json", "numpy", "onnxruntime"}
    monkeypatch.chdir(tmp_path)
    options = ["--config-file", str(DEMO_CONFIG), "--size", str(SIZE), "--output", "model.onnx", "--outputs", "instances"]
    assert main([*options, *OVERRIDES, "MODEL.WEIGHTS", weights]) == 0
    assert "scores: " in capsys.readouterr().out
    (tmp_path / "reader.py").write_text(example)
    read = runpy.run_path("reader.py")
    assert read["masks"].shape == (5, SIZE, SIZE) and read["scores"].max() <= 1


def test_the_benchmark_compares_time_size_and_numbers(weights):
    result = next(benchmark_exports(tiny_config("MODEL.WEIGHTS", weights), SIZE, repeats=1))
    lines = {line.what: line.median for line in result.lines}
    assert {"torch.export: size", "onnxruntime: size"} < set(lines) and min(lines.values()) > 0
    assert sum("time over the model's" in what for what in lines) == 4  # two kinds of file, complete input and one sensor
    assert all(line.met for line in result.lines if line.target is not None)
