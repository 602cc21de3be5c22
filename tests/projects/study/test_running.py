"""A study of two iterations: kept, continued, and never mixed."""

import json
import logging
import subprocess
import sys

import pytest
import yaml

from imrsf_d2.engine.trainer import Trainer
from projects.study import running
from tests.test_configs import REPOSITORY
from tests.tiny import NUM_TRAIN, NUM_VAL, OVERRIDES, SIZE
from tests.tools.test_train_net import load_tool

TWO_ITERATIONS = [*OVERRIDES, "SOLVER.MAX_ITER", "2", "SOLVER.STEPS", "(1,)", "SOLVER.CHECKPOINT_PERIOD", "1"]


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Runs the study on a few tiles; returns its report."""
    monkeypatch.setenv("DETECTRON2_DATASETS", "replaced by the study, restored after the test")
    data = {
        "num_train": NUM_TRAIN,
        "num_val": NUM_VAL,
        "size": SIZE,
        "seed": 1,
        "scene": {"decoys": [1.0, 2.0]},
        "sensors": {"sar_looks": 24.0},
    }
    monkeypatch.setattr(running, "DATA", {"cpu": data})

    def run(*only, opts=(), **options):
        return running.run_study(
            "cpu",
            REPOSITORY / "projects/study/configs",
            tmp_path / "study",
            tmp_path / "docs/results.md",
            only=only,
            opts=[*TWO_ITERATIONS, *opts],
            **options,
        ).read_text()

    run.data = data
    return run


def steps(trained):
    done = [(name, iteration) for name, iteration, _ in trained]
    trained.clear()
    return done


def test_runs_are_kept_and_reported(study, trained, tmp_path):
    before = [list(logging.getLogger(name).handlers) for name in ("detectron2", "imrsf_d2")]
    study("multivit-seed1")
    report = study("multivit-seed1", "proposed-seed1")
    assert steps(trained) == [(name, i) for name in ("multivit-seed1", "proposed-seed1") for i in (0, 1)]
    assert report.count("not begun") == 9 and "| proposed-seed1 |" in report
    assert (tmp_path / "docs/results.png").is_file()

    folder = tmp_path / "study/multivit-seed1"
    assert {path.name for path in folder.glob("*.pth")} == {"model_final.pth"}
    assert len(json.loads((folder / "modalities.json").read_text())["rows"]) == 7
    record = json.loads((folder / "record.json").read_text())
    assert (record["iterations"], record["batch"]) == (2, 2) and min(record["seconds"].values()) > 0.01
    assert (folder / "metrics.json").is_file() and "SEED: 1\n" in (folder / "config.yaml").read_text()
    # Each run has its own log, and the process is left without any.
    assert "proposed-seed1" not in (folder / "log.txt").read_text()
    assert [list(logging.getLogger(name).handlers) for name in ("detectron2", "imrsf_d2")] == before

    assert study(report_only=True) == report and steps(trained) == []
    assert report.startswith("<!-- begin study") and report.endswith("<!-- end study -->\n")


def test_the_data_have_the_style_that_the_report_names(study, tmp_path):
    report = study("proposed-seed1")
    made_with = json.loads((tmp_path / "study/data/dfc2023/synthetic.json").read_text())["parameters"]
    assert made_with["scene"]["decoys"] == [1.0, 2.0] and made_with["sensors"]["sar_looks"] == 24.0
    assert "`decoys` 1.0 to 2.0 instead of 0.5 to 3.0, `sar_looks` 24.0 instead of 6.0" in report


def test_a_seed_changes_the_weights_and_not_the_data(study, trained, tmp_path):
    study("proposed-seed1", "proposed-seed2")
    tiles = {path: path.stat().st_mtime_ns for path in (tmp_path / "study/data").rglob("*.tif")}
    (first, _, _), (second, _, _) = trained[0], trained[2]
    assert (first, second) == ("proposed-seed1", "proposed-seed2") and trained[0][2] != trained[2][2]
    study("proposed-seed3")
    assert tiles == {path: path.stat().st_mtime_ns for path in (tmp_path / "study/data").rglob("*.tif")}


def test_an_interrupted_run_is_continued(study, trained, monkeypatch, tmp_path):
    step = Trainer.run_step

    def interrupted(self):
        if self.iter == 1:
            raise KeyboardInterrupt
        step(self)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "run_step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            study("proposed-seed1")
    assert steps(trained) == [("proposed-seed1", 0)]
    assert "- `proposed-seed1`: begun, not finished" in study(report_only=True)
    study("proposed-seed1")
    assert steps(trained) == [("proposed-seed1", 1)]

    (tmp_path / "study/proposed-seed1/record.json").unlink()  # interrupted while it was evaluated
    final = (tmp_path / "study/proposed-seed1/model_final.pth").stat().st_mtime_ns
    assert "| proposed-seed1 |" in study("proposed-seed1") and steps(trained) == []
    assert final == (tmp_path / "study/proposed-seed1/model_final.pth").stat().st_mtime_ns


def test_runs_of_another_config_are_never_mixed(study, trained, tmp_path):
    study("proposed-seed1")
    steps(trained)
    other = ["SOLVER.BASE_LR", "0.001"]
    with pytest.raises(ValueError, match=r"seed1 was made with another config \(SOLVER.BASE_LR was 0.0004, is 0.001\)"):
        study("multivit-seed1", "proposed-seed1", opts=other)
    assert steps(trained) == []
    report = study("multivit-seed1", opts=other)
    assert "- `proposed-seed1`: made with another config (SOLVER.BASE_LR was 0.0004, is 0.001)" in report
    assert "| multivit-seed1 |" in report and "| proposed-seed1 |" not in report


def test_a_folder_that_was_moved_is_the_same_study(study, trained, tmp_path):
    study("proposed-seed1")
    (tmp_path / "study").rename(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").rename(tmp_path / "study")
    config = tmp_path / "study/proposed-seed1/config.yaml"
    config.write_text(config.read_text().replace(str(tmp_path / "study"), "/elsewhere"))
    assert "| proposed-seed1 |" in study("proposed-seed1")
    assert len(steps(trained)) == 2


def test_runs_of_before_a_key_was_known_had_its_default(study, trained, tmp_path):
    study("proposed-seed1")
    steps(trained)
    config = tmp_path / "study/proposed-seed1/config.yaml"
    then = yaml.safe_load(config.read_text())
    del then["DATALOADER"]["TRAIN_SHARE"], then["MODEL"]["IMRSF"]["PRETRAIN"]
    config.write_text(yaml.safe_dump(then))
    assert "| proposed-seed1 |" in study("proposed-seed1") and steps(trained) == []
    with pytest.raises(ValueError, match=r"another config \(DATALOADER.TRAIN_SHARE was 1.0, is 0.5\)"):
        study("proposed-seed1", opts=["DATALOADER.TRAIN_SHARE", "0.5"])


def test_runs_on_other_data_are_never_mixed(study, tmp_path):
    study("proposed-seed1")
    study.data["seed"] = 2
    with pytest.raises(ValueError, match="holds other data than these"):
        study("multivit-seed1")
    report = study(report_only=True)
    assert "- `proposed-seed1`: made on other data ({'num_train': " in report and "| proposed-seed1 |" not in report


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--only", "nothing"], "--only names 'nothing', expected a model or a run: multivit, multivit-seed1"),
        (["SEED", "4"], "SEED is set for each run"),
        (["--report-only", "MODEL.NOTHING", "4"], "MODEL.NOTHING"),
    ],
)
def test_mistakes_end_with_one_line_and_exit_code_2(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DETECTRON2_DATASETS", "restored after the test")
    assert load_tool("study").main(["--output", str(tmp_path), *arguments]) == 2
    assert message in capsys.readouterr().err.rpartition("error: ")[2]


def test_help_is_quick_and_shows_an_example(tmp_path):
    result = subprocess.run(
        [sys.executable, str(REPOSITORY / "tools/study.py"), "--help"],
        cwd=tmp_path,
        timeout=120,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0 and "python tools/study.py --only" in result.stdout


def test_a_study_elsewhere_is_reported_there(tmp_path, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", "restored after the test")
    assert load_tool("study").main(["--output", str(tmp_path), "--report-only"]) == 0
    assert "proposed-seed1`: not begun" in (tmp_path / "results.md").read_text()
