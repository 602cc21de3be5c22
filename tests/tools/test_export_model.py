"""The command line of tools/export_model.py, for what needs no package of the extra."""

import json
import re
import subprocess
import sys

import pytest
import torch
from detectron2.modeling import build_model

from imrsf_d2.commands.export import main
from imrsf_d2.engine import model_export
from tests.export.models import DEMO_CONFIG, SIZE, tiny_config
from tests.tiny import OVERRIDES, REPOSITORY

#: The page's example, and what it gives; this package is not imported.
[LOAD] = re.findall(r"```python\n([^`]*torch\.export\.load.*?)```", (REPOSITORY / "docs/export.md").read_text(), re.S)
LOAD += """
import sys
print(json.dumps({name: list(maps.shape) for name, maps in outputs.items()}))
assert not {"imrsf_d2", "detectron2", "mask2former"} & set(sys.modules)
"""


@pytest.fixture
def weights(tmp_path):
    torch.save({"model": build_model(tiny_config()).state_dict()}, tmp_path / "model.pth")
    return str(tmp_path / "model.pth")


def run(*arguments, weights, opts=()):
    options = ["--config-file", str(DEMO_CONFIG), "--size", str(SIZE), *map(str, arguments)]
    return main([*options, *OVERRIDES, *opts, "MODEL.WEIGHTS", weights])


@pytest.mark.slow
def test_a_graph_is_checked_and_loads_without_this_package(weights, tmp_path, capsys):
    assert run("--output", tmp_path / "maps.pt2", "--part", "backbone", "--subset", "dsm+rgb", weights=weights) == 0
    text = capsys.readouterr().out
    assert re.search(r"Input rgb: \[1, 3, 64, 64\]\nInput dsm: \[1, 1, 64, 64\]\nDifferences.* 1 image \(rgb\+dsm\)", text)
    assert all(float(number) < 1e-4 for number in re.findall(r"res\d: (\S+),", text))
    done = subprocess.run([sys.executable, "-c", LOAD], cwd=tmp_path, capture_output=True, text=True, env={"PATH": ""})
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["res5"] == [1, 32, 2, 2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--subset", "rgb+lidar"], r"names the unknown modality 'lidar'.*\['sar', 'rgb', 'dsm'\]"),
        (["--size", "60"], r"size is 60 x 60 px, expected multiples of 32"),
        (["--size", "60", "--part", "backbone"], r"size is 60 x 60 px, expected multiples of the patch size"),
        (["--size", "big"], r"--size is 'big', expected the height and width"),
        (["--output", "model.pb"], r"output is model\.pb, expected a name that ends in \.onnx or \.pt2"),
        (["MODEL.DEVICE", "cuda"], r"MODEL\.DEVICE is 'cuda', expected 'cpu': graphs are recorded"),
        (["--outputs", "probabilities"], r"MODEL\.MASK_FORMER\.TEST\.SEMANTIC_ON is False"),
    ],
)
def test_bad_arguments_are_named(weights, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert run("--output", "model.pt2", *arguments, weights=weights) == 2
    assert re.search(message, capsys.readouterr().err)
    assert [path.name for path in tmp_path.iterdir()] == ["model.pth"]


def test_weights_of_another_model_are_refused(weights, tmp_path, capsys):
    other = ["MODEL.IMRSF.MODALITIES", "[{'NAME': 's1', 'CHANNELS': 2}, {'NAME': 'dsm'}]"]
    assert run("--output", tmp_path / "model.pt2", weights=weights, opts=other) == 2
    assert "backbone.patch_embed.s1" in capsys.readouterr().err
    assert not (tmp_path / "model.pt2").exists()


def test_a_file_that_exists_is_left_alone(weights, tmp_path, capsys):
    (tmp_path / "model.pt2").write_text("mine")
    assert run("--output", tmp_path / "model.pt2", weights=weights) == 2
    assert "model.pt2 exists and is left alone" in capsys.readouterr().err
    assert (tmp_path / "model.pt2").read_text() == "mine"


def test_a_missing_package_is_named_with_its_extra(weights, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(model_export, "find_spec", lambda name: None)
    assert run("--output", tmp_path / "model.onnx", weights=weights) == 2
    assert "needs onnx, which is not installed: pip install 'imrsf_d2[export]'" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [0.5, float("nan")])
def test_a_graph_that_computes_something_else_is_not_written(weights, tmp_path, monkeypatch, capsys, wrong):
    graphs = []

    def computed(inputs):
        found = graphs[0](*inputs)
        found["pred_masks"][0, 0, 0, 0] += wrong
        return found

    monkeypatch.setattr(model_export, "export_program", lambda graph, inputs: graphs.append(graph))
    monkeypatch.setattr(model_export, "write_program", lambda program, description, path: open(path, "w").close())
    monkeypatch.setattr(model_export, "ProgramGraph", lambda path: torch.no_grad()(computed))
    assert run("--output", tmp_path / "model.pt2", weights=weights) == 2
    assert "so it is not written: pred_masks differs by" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["model.pth"]
