"""The command line, end to end, on a tiny model and tiny data."""

import importlib.util
import shutil
import signal
import subprocess
import sys

import pytest

from imrsf_d2.engine.trainer import Trainer
from tests.tiny import DEMO_CONFIG, OVERRIDES, REPOSITORY


def load_tool(name):
    spec = importlib.util.spec_from_file_location(f"tools_{name}", REPOSITORY / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def train_net(tiny_root, tmp_path, monkeypatch):
    """Runs tools/train_net.py in this process; returns its exit code."""
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tiny_root))
    tool = load_tool("train_net")

    def run(*arguments):
        options = [a for a in arguments if a.startswith("--")]
        opts = [a for a in arguments if not a.startswith("--")]
        return tool.main(
            [
                "--config-file",
                str(DEMO_CONFIG),
                *options,
                *OVERRIDES,
                "SOLVER.MAX_ITER",
                "2",
                "OUTPUT_DIR",
                str(tmp_path / "run"),
                *opts,
            ]
        )

    return run


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_train_then_evaluate(train_net, tmp_path, device):
    on_device = ("MODEL.DEVICE", device)
    assert train_net(*on_device) == 0
    run = tmp_path / "run"
    assert {"model_final.pth", "last_checkpoint", "config.yaml", "metrics.json", "log.txt"} <= {
        p.name for p in run.iterdir()
    }
    assert (run / "inference/dfc2023_track2_val/coco_instances_results.json").is_file()

    assert (
        train_net(
            "--eval-only",
            *on_device,
            "MODEL.WEIGHTS",
            str(run / "model_final.pth"),
            "INPUT.TEST_MODALITIES",
            "['rgb', 'dsm']",
        )
        == 0
    )
    assert "fills 100.0 % of the model's parameters" in (run / "log.txt").read_text()
    assert train_net("--eval-only", "--resume") == 0


def test_the_console_is_short_and_the_log_complete(train_net, tmp_path, capfd):
    assert train_net("SOLVER.STEPS", "(1,)") == 0
    printed = capfd.readouterr()
    log = (tmp_path / "run/log.txt").read_text()
    lines = printed.out.splitlines()
    assert len(lines) < 20
    for what in (
        "Log: ",
        "Device: cpu",
        "Model: ",
        "dfc2023_track2_train: 4 ",
        "Classes of ",
        "First iteration after ",
        "iteration 2/2",
        "segm (percent): AP ",
    ):
        assert [line for line in lines if line.startswith(what)], what
    assert printed.err == ""
    for what in ("Full config", "(sem_seg_head): ", "PyTorch built with", "parameters: lr", *lines[1:]):
        assert what in log
    assert "\x1b[" not in printed.out + printed.err + log


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--eval-only"], "--eval-only would score random weights"),
        (["--eval-only", "MODEL.WEIGHTS", "nowhere.pth"], "no checkpoint 'nowhere.pth'"),
        (["INPUT.TEST_MODALITIES", "['lidar']"], "unknown modality 'lidar'"),
        (["TEST.DETECTIONS_PER_IMAGE", "99"], "TEST.DETECTIONS_PER_IMAGE is 99"),
        (["MODEL.DEVICE"], "KEY VALUE pairs"),
        (["SOLVER.OPTIMIZER", "LION"], "SOLVER.OPTIMIZER is 'LION'"),
        (["DATASETS.TEST", "('nowhere_val',)"], "DATASETS names 'nowhere_val', which is not registered"),
        (["DATASETS.TRAIN", "('nowhere_train',)"], "DATASETS names 'nowhere_train', which is not registered"),
    ],
    ids=lambda value: "" if isinstance(value, list) else value.split()[0],
)
def test_mistakes_end_with_one_line_and_exit_code_2(train_net, capfd, arguments, message):
    assert train_net(*arguments) == 2
    assert "error: " in (err := capfd.readouterr().err)
    assert message in err.rpartition("error: ")[2]


@pytest.mark.parametrize("name, code", [("SIGINT", 130), ("SIGTERM", 143)])
def test_an_interrupted_training_says_how_to_go_on(train_net, tmp_path, capfd, monkeypatch, name, code):
    run_step = Trainer.run_step
    monkeypatch.setattr(Trainer, "run_step", lambda self: (run_step(self), signal.raise_signal(signal.Signals[name])))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # also where a shell started this in the background
    try:
        assert train_net("DATASETS.TEST", "()") == code
    finally:
        signal.signal(signal.SIGINT, before)
    assert capfd.readouterr().err.endswith("interrupted at iteration 1; the same command with --resume goes on from here.\n")
    monkeypatch.undo()
    assert (tmp_path / "run" / "last_checkpoint").read_text() == "model_interrupted.pth"


def test_missing_data_is_named(train_net, capfd, tmp_path, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    assert train_net() == 2
    assert str(tmp_path) in capfd.readouterr().err.rpartition("error: ")[2]


def test_more_gpus_than_there_are(train_net, capfd):
    tool = load_tool("train_net")
    assert tool.main(["--config-file", str(DEMO_CONFIG), "--num-gpus", "99"]) == 2
    assert "--num-gpus is 99" in capfd.readouterr().err


@pytest.mark.slow
def test_the_papers_model_trains_on_the_cpu(tiny_root, tmp_path, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tiny_root))
    assert (
        load_tool("train_net").main(
            [
                "--config-file",
                str(REPOSITORY / "configs/dfc2023_instance.yaml"),
                "MODEL.DEVICE",
                "cpu",
                "SOLVER.IMS_PER_BATCH",
                "1",
                "SOLVER.MAX_ITER",
                "2",
                "OUTPUT_DIR",
                str(tmp_path),
            ]
        )
        == 0
    )
    shutil.rmtree(tmp_path)  # more than a gigabyte


@pytest.mark.parametrize("tool", ["train_net", "demo"])
def test_help_runs_from_any_folder_and_shows_an_example(tool, tmp_path):
    result = subprocess.run(
        [sys.executable, str(REPOSITORY / "tools" / f"{tool}.py"), "--help"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0
    assert f"python tools/{tool}.py --" in result.stdout
