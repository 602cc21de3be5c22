"""tools/convert_checkpoint.py: from another project's file to a model that trains, and what mistakes get."""

import importlib.util
import re
import shlex
import subprocess
import sys

import pytest
import torch
from detectron2.modeling import build_model

from imrsf_d2.checkpoint.files import write_weights
from imrsf_d2.checkpoint.naming import SOURCES
from imrsf_d2.commands import convert
from imrsf_d2.engine.checkpointer import Checkpointer
from imrsf_d2.engine.configuration import load_config
from tests.checkpoint.sources import of_timm
from tests.tiny import DEMO_CONFIG, OVERRIDES, REPOSITORY

TOOL = REPOSITORY / "tools/convert_checkpoint.py"


@pytest.fixture
def tool():
    spec = importlib.util.spec_from_file_location("convert_checkpoint", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def weights(tmp_path):
    """Of a ViT with the encoder's dimensions, in vit.pth."""
    weights = of_timm(img_size=64, patch_size=8, num_heads=2).weights
    write_weights(tmp_path / "vit.pth", weights)
    return weights


def run(tool, folder, *arguments, source="timm", path="vit.pth", output="out.pth"):
    return tool.main(
        [
            "--from",
            source,
            str(folder / path),
            str(folder / output),
            "--config-file",
            str(DEMO_CONFIG),
            *OVERRIDES,
            *arguments,
        ]
    )


@pytest.mark.parametrize("output", ["out.pth", "out.safetensors"])
def test_the_result_is_weights_to_start_from(tool, weights, tmp_path, capsys, output):
    assert run(tool, tmp_path, output=output) == 0
    printed = capsys.readouterr().out
    assert re.search(r"blocks\.0-1\.attn\.qkv +blocks\.0-1\.attn\.qkv +96 x 32, 96 +as is\n", printed)
    assert re.search(r"\n\d+\.\d % of the encoder's [\d,]+ parameters are filled\.\nWritten: .*" + output, printed)
    model = build_model(load_config(DEMO_CONFIG, OVERRIDES))
    Checkpointer(model).load(str(tmp_path / output))
    assert torch.equal(model.backbone.blocks[1].mlp.fc1.weight, weights["blocks.1.mlp.fc1.weight"])
    assert torch.equal(model.backbone.patch_embed["rgb"].proj.weight, weights["patch_embed.proj.weight"])


@pytest.mark.parametrize(
    "arguments, options, message",
    [
        ([], {"path": "nowhere.pth"}, "no checkpoint '"),
        ([], {"output": "out.npz"}, "out.npz ends in '.npz'"),
        ([], {"output": "vit.pth"}, "vit.pth is the input; choose another file"),
        ([], {"source": "multimae"}, "vit.pth looks like timm"),
        (
            ["MODEL.IMRSF.DEPTH", "3", "MODEL.IMRSF.OUT_LAYERS", "[0, 1, 1, 2]"],
            {},
            "vit.pth has 2 blocks, expected MODEL.IMRSF.DEPTH = 3",
        ),
        (["MODEL.IMRSF.EMBED_DIM", "64"], {}, "vit.pth has tokens of width 32, expected MODEL.IMRSF.EMBED_DIM = 64"),
        (["MODEL.IMRSF.DEPHT", "3"], {}, "DEPHT"),
    ],
)
def test_mistakes_end_with_one_line_and_exit_code_2(tool, weights, tmp_path, capsys, arguments, options, message):
    before = sorted(path.name for path in tmp_path.iterdir())
    assert run(tool, tmp_path, *arguments, **options) == 2
    out, err = capsys.readouterr()
    assert message in err.rpartition("error: ")[2] and out == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_every_source_is_offered():
    assert sorted(convert.SOURCES) == list(SOURCES)


def test_help_runs_from_any_folder_and_its_examples_can_be_parsed(tmp_path):
    result = subprocess.run([sys.executable, str(TOOL), "--help"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0
    text = result.stdout.partition("Examples:")[2].replace("\\\n", " ")
    commands = [shlex.split(line) for line in re.findall(r"\$ python tools/convert_checkpoint\.py (.+)", text)]
    assert len(commands) == 2
    for command in commands:
        args = convert.parse(command)
        load_config(REPOSITORY / args.config_file, args.opts)
