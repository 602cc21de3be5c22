"""tools/visualize.py, end to end, on a tiny model and tiny data."""

import importlib.util

import pytest
import torch

from imrsf_d2.engine.configuration import load_config
from imrsf_d2.engine.trainer import Trainer
from tests.tiny import DEMO_CONFIG, OVERRIDES, PRETRAINING, REPOSITORY

TOOL = REPOSITORY / "tools" / "visualize.py"


@pytest.fixture
def visualize(tiny_root, tmp_path, monkeypatch):
    """Runs the tool in this process, with pictures below tmp_path / "look"; returns its exit code."""
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tiny_root))
    spec = importlib.util.spec_from_file_location("tools_visualize", TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)

    def run(*options, opts=()):
        return tool.main(
            ["--config-file", str(DEMO_CONFIG), "--output", str(tmp_path / "look"), *options, *OVERRIDES, *opts]
        )

    return run


def written(folder):
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in folder.rglob("*.png"))
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_training_samples(visualize, tmp_path, capsys):
    assert visualize("--number", "3") == 0
    assert written(tmp_path / "look") == ["train_1.png"]
    assert str(tmp_path / "look" / "train_1.png") in capsys.readouterr().out


@pytest.mark.parametrize("split, picture", [("train", "train_1.png"), ("test", "dfc2023_track2_val/sar+rgb+dsm_1.png")])
def test_the_data_of_a_pretraining(visualize, tmp_path, split, picture):
    assert visualize("--split", split, "--number", "2", opts=PRETRAINING) == 0
    assert written(tmp_path / "look") == [picture]


def test_inputs_and_truth_without_a_model(visualize, tmp_path, capsys):
    assert visualize("--split", "test", opts=("INPUT.TEST_MODALITIES", "['rgb', 'dsm']")) == 0
    assert written(tmp_path / "look") == ["dfc2023_track2_val/rgb+dsm_1.png"]
    assert "MODEL.WEIGHTS is empty: only the inputs and the ground truth" in capsys.readouterr().out


def test_predictions_of_a_checkpoint_with_several_subsets(visualize, tmp_path, capsys):
    weights = tmp_path / "model.pth"
    torch.save({"model": Trainer.build_model(load_config(DEMO_CONFIG, OVERRIDES)).state_dict()}, weights)
    assert (
        visualize(
            "--split",
            "test",
            "--subset",
            "dsm+rgb",
            "--subset",
            "sar",
            "--number",
            "1",
            opts=("MODEL.WEIGHTS", str(weights)),
        )
        == 0
    )
    pictures = [name for name in written(tmp_path / "look") if name.endswith(".png")]
    assert pictures == [f"dfc2023_track2_val/{name}_1.png" for name in ("overview", "rgb+dsm", "sar")]
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) < 10 and [line for line in printed if line.endswith("overview_1.png")]
    assert "Full config" in (tmp_path / "look/log.txt").read_text()


@pytest.mark.parametrize(
    "options, opts, message",
    [
        (["--number", "0"], [], "--number is 0, expected 1 or more"),
        (["--subset", "rgb"], [], "--subset needs --split test"),
        (["--split", "test", "--subset", "rgb+lidar"], [], "--subset names the unknown modality 'lidar'"),
        (["--split", "test", "--subset", "rgb+rgb"], [], "--subset names the modality 'rgb' twice"),
        (["--config-file", "nowhere.yaml"], [], "no config file 'nowhere.yaml'"),
        (["--split", "test"], ["MODEL.WEIGHTS", "nowhere.pth"], "no checkpoint 'nowhere.pth'"),
        (["--split", "test"], [*PRETRAINING, "MODEL.WEIGHTS", "x.pth"], "MODEL.WEIGHTS is 'x.pth', expected none"),
        ([], ["DATASETS.TRAIN", "('nowhere',)"], "DATASETS names 'nowhere', which is not registered"),
        ([], [*PRETRAINING, "DATASETS.TRAIN", "('nowhere',)"], "DATASETS names 'nowhere', which is not registered"),
        ([], ["DATASETS.TRAIN", "()"], "DATASETS.TRAIN is empty"),
        (["--split", "test"], ["DATASETS.TEST", "()"], "DATASETS.TEST is empty"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_mistakes_end_with_one_line_and_exit_code_2(visualize, capfd, options, opts, message):
    assert visualize(*options, opts=opts) == 2
    error = capfd.readouterr().err.rpartition("error: ")[2]
    assert message in error and error.count("\n") == 1


def test_an_output_that_is_no_folder_is_named_before_any_work(visualize, tmp_path, capfd):
    (tmp_path / "look").write_text("a file")
    assert visualize() == 2
    assert str(tmp_path / "look") in capfd.readouterr().err.rpartition("error: ")[2]


def test_missing_data_is_named(visualize, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    assert visualize() == 2
    assert str(tmp_path) in capfd.readouterr().err.rpartition("error: ")[2]
