"""What README and the datasets' page tell a reader to type works as written."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.pages import PAGES, commands, main_of, recipes
from tests.tiny import DEMO_CONFIG, OVERRIDES, REPOSITORY

README = (REPOSITORY / "README.md").read_text()
PYTHON_BLOCKS = re.findall(r"```python\n(.*?)```", README, re.S)


def run(block):
    names = {}
    exec(compile(block, "README.md", "exec"), names)
    return names


def test_the_backbone_builds_inside_another_mask2former_project():
    from detectron2.modeling import build_backbone

    cfg = run(PYTHON_BLOCKS[0])["cfg"]
    backbone = build_backbone(cfg)
    assert backbone.modalities.names == ("s2", "dem")
    assert cfg.MODEL.PIXEL_MEAN == [0.0] * 7


def test_direct_use_gives_the_shapes_it_promises():
    maps = run(PYTHON_BLOCKS[1])["maps"]
    assert {name: tuple(m.shape) for name, m in maps.items()} == {
        "res2": (2, 768, 64, 64),
        "res3": (2, 768, 32, 32),
        "res4": (2, 768, 16, 16),
        "res5": (2, 768, 8, 8),
    }
    assert all(torch.isfinite(m).all() for m in maps.values())


def anchors(page):
    """Of the headings of a page, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", page.read_text(), flags=re.S), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [*PAGES, "CHANGELOG.md"])
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?://)([^)\s]+)\)", (REPOSITORY / page).read_text()):
        path, _, anchor = target.partition("#")
        place = (REPOSITORY / page).parent / path if path else REPOSITORY / page
        assert place.exists(), target
        assert not anchor or anchor in anchors(place), target


@pytest.fixture(scope="session")
def checkout(tiny_root, tmp_path_factory):
    """A folder in which a reader's commands find what they find in a checkout, with tiny data; what they write stays in it."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("tools", "configs"):
        (folder / name).symlink_to(REPOSITORY / name)
    (folder / "datasets").mkdir()
    for source in [*(REPOSITORY / "datasets").glob("*.py"), tiny_root / "dfc2023"]:
        (folder / "datasets" / source.name).symlink_to(source)
    return folder


#: What makes a command tiny, added to its end where it would otherwise take minutes.
TINY = {
    "prepare_tiles": ["--tile", "64", "--num-workers", "1"],
    "predict_scene": ["MODEL.DEVICE", "cpu"],
    "make_synthetic": ["--num-train", "4", "--num-val", "2", "--size", "64", "--num-workers", "1"],
    "train_net": [*OVERRIDES, "MODEL.DEVICE", "cpu", "TEST.EXPECTED_RESULTS", "[]"],
    "evaluate_modalities": [*OVERRIDES, "MODEL.DEVICE", "cpu"],
    "visualize": [*OVERRIDES, "MODEL.DEVICE", "cpu"],
}


@pytest.fixture
def type_in(checkout, monkeypatch):
    """Runs a command as a reader types it, made tiny."""
    monkeypatch.chdir(checkout)

    def run(command):
        script, *arguments = shlex.split(command, comments=True)[1:]
        assert main_of(script)([*arguments, *TINY[Path(script).stem]]) == 0, command

    return run


def quick_commands():
    """What `make quick` runs."""
    return [command for command in recipes((REPOSITORY / "Makefile").read_text()) if "output/quick" in command]


def training_commands():
    """README's, from the inputs through training to the scores of every subset."""
    tools = ("tools/visualize.py", "tools/train_net.py", "tools/evaluate_modalities.py")
    shown = [command for command in commands(README) if command.startswith(tuple(f"python {tool} " for tool in tools))]
    return [command for command in shown if " output/" in command and "output/town" not in command]


@pytest.mark.slow
def test_make_quick_leads_to_the_scores_of_every_subset(type_in, checkout, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", "output/quick/data")
    shown = quick_commands()
    assert [Path(command.split()[1]).stem for command in shown] == ["make_synthetic", "train_net", "evaluate_modalities"]
    for command in shown:
        type_in(command)
    scores = json.loads((checkout / "output/quick/subsets/modalities.json").read_text())
    assert len(scores["rows"]) == 7


@pytest.mark.slow
def test_readme_leads_from_data_to_predictions_and_scores(type_in, checkout, monkeypatch):
    monkeypatch.delenv("DETECTRON2_DATASETS", raising=False)
    shown = training_commands()
    assert [Path(command.split()[1]).stem for command in shown] == [
        "visualize",
        "train_net",
        "train_net",
        "visualize",
        "evaluate_modalities",
    ]
    for command in shown:
        type_in(command)
    written = checkout / "output"
    assert (written / "instance/model_final.pth").is_file() and (written / "inputs/train_1.png").is_file()
    assert (written / "predictions/dfc2023_track2_val/sar+rgb+dsm_1.png").is_file()
    assert (written / "modalities/modalities.md").is_file() and any((written / "modalities").rglob("*.tif"))


@pytest.mark.slow
def test_readme_leads_from_a_scene_and_footprints_to_a_map(type_in, checkout):
    sentence, *shown = [command for command in commands(README) if "town" in command or "--layout scene" in command]
    assert [Path(command.split()[1]).stem for command in shown] == [
        "prepare_tiles",
        "train_net",
        "evaluate_modalities",
        "predict_scene",
    ]
    script, *arguments = shlex.split(sentence.replace("--size 2000", "--size 256"))[1:]
    assert main_of(script)(arguments) == 0
    for command in shown:
        type_in(command)
    town = checkout / "output/town"
    assert len(json.loads((town / "sensors/modalities.json").read_text())["rows"]) == 7
    assert (town / "buildings.gpkg").is_file()


@pytest.mark.slow
def test_own_imagery_is_trained_and_scored_on(tiny_root, tmp_path):
    track, mine = tiny_root / "dfc2023/track2", tmp_path / "mine"
    shutil.copytree(track / "train", mine)
    for split in ("train", "val"):
        shutil.copy(track / "buildings_only_train.json", mine / f"{split}.json")
    next((mine / "sar").iterdir()).unlink()  # a tile may lack a sensor
    (block,) = re.findall(r"```python\n(.*?)```", (REPOSITORY / "datasets/README.md").read_text(), re.S)
    assert "/data/mine" in block
    module = tmp_path / "mine.py"
    module.write_text(block.replace("/data/mine", str(mine)))
    output = tmp_path / "output"

    def run_tool(name, *arguments):
        result = subprocess.run(
            [
                sys.executable,
                f"tools/{name}.py",
                "--config-file",
                str(DEMO_CONFIG),
                *arguments,
                *OVERRIDES,
                "DATASETS.TRAIN",
                '("mine_train",)',
                "DATASETS.TEST",
                '("mine_val",)',
                "OUTPUT_DIR",
                str(output),
            ],
            cwd=REPOSITORY,
            env={**os.environ, "DETECTRON2_ENV_MODULE": str(module)},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]

    run_tool("train_net", "--num-gpus", "2")
    last = json.loads((output / "metrics.json").read_text().splitlines()[-1])
    assert 0 <= last["segm/AP50"] <= 100
    run_tool("evaluate_modalities", "--output", str(tmp_path / "subsets"), "MODEL.WEIGHTS", str(output / "model_final.pth"))
    assert (tmp_path / "subsets/modalities.md").is_file()
