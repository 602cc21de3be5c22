"""A study of two iterations: finished runs are kept, interrupted ones resumed, and settings never mixed."""

import csv
import io
import json
import logging
import re
import subprocess
import sys

import pytest
import yaml

from imrsf_d2.engine.trainer import Trainer
from imrsf_d2.utils.errors import OccupiedError
from imrsf_d2.utils.locks import sole_user
from projects.study import paper
from projects.study.report import run_topic
from tests.test_configs import REPOSITORY
from tests.tiny import NUM_TRAIN, NUM_VAL, OVERRIDES, SIZE
from tests.tools.test_train_net import load_tool

TWO_ITERATIONS = [*OVERRIDES, "SOLVER.MAX_ITER", "2", "SOLVER.STEPS", "(1,)", "SOLVER.CHECKPOINT_PERIOD", "1"]


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Runs the study on a few tiles; returns its report and its table of runs."""
    monkeypatch.setenv("DETECTRON2_DATASETS", "replaced by the study, restored after the test")
    data = {
        "num_train": NUM_TRAIN,
        "num_val": NUM_VAL,
        "size": SIZE,
        "seed": 1,
        "scene": {"decoys": [1.0, 2.0]},
        "sensors": {"sar_looks": 24.0},
    }
    monkeypatch.setattr(paper, "DATA", {"cpu": data})

    def run(*only, opts=(), **options):
        results = tmp_path / "docs/results.md"
        overrides = [*TWO_ITERATIONS, *opts]
        run_topic(paper.study_topic("cpu"), ["study"], tmp_path / "study", results, only=only, opts=overrides, **options)
        table = tmp_path / "docs/results_runs.csv"
        return results.read_text(), table.read_text() if table.exists() else ""

    run.data = data
    return run


def reported(files):
    """The runs in a table of runs: name -> config digest."""
    return {row["run"]: row["config_digest"] for row in csv.DictReader(io.StringIO(files[1]))}


def missing(files):
    """The runs that a report names as missing, with the reason."""
    return dict(re.findall(r"^\| *`(.+)` *\| *(.+?) *\|$", files[0], re.M))


def steps(trained):
    done = [(name, iteration) for name, iteration, _ in trained]
    trained.clear()
    return done


def test_runs_are_kept_and_reported(study, trained, tmp_path):
    before = [list(logging.getLogger(name).handlers) for name in ("detectron2", "imrsf_d2")]
    study("multivit-seed1")
    files = study("multivit-seed1", "proposed-seed1")
    assert steps(trained) == [(name, i) for name in ("multivit-seed1", "proposed-seed1") for i in (0, 1)]
    assert set(reported(files)) == {"multivit-seed1", "proposed-seed1"} and len(set(reported(files).values())) == 2
    assert list(missing(files).values()) == ["not begun"] * 9
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

    assert study(report_only=True) == files and steps(trained) == []


def test_the_data_have_the_style_that_the_report_names(study, tmp_path):
    report, _ = study("proposed-seed1")
    made_with = json.loads((tmp_path / "study/data/dfc2023/synthetic.json").read_text())["parameters"]
    assert made_with["scene"]["decoys"] == [1.0, 2.0] and made_with["sensors"]["sar_looks"] == 24.0
    assert "`decoys` [1.0, 2.0], `sar_looks` 24.0" in report


def test_a_seed_changes_the_weights_and_not_the_data(study, trained, tmp_path):
    digests = reported(study("proposed-seed1", "proposed-seed2"))
    assert len(digests) == 2 and len(set(digests.values())) == 1
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
    assert missing(study(report_only=True))["proposed-seed1"] == "begun, not finished"
    study("proposed-seed1")
    assert steps(trained) == [("proposed-seed1", 1)]

    (tmp_path / "study/proposed-seed1/record.json").unlink()  # interrupted while it was evaluated
    final = (tmp_path / "study/proposed-seed1/model_final.pth").stat().st_mtime_ns
    assert "proposed-seed1" in reported(study("proposed-seed1")) and steps(trained) == []
    assert final == (tmp_path / "study/proposed-seed1/model_final.pth").stat().st_mtime_ns


def test_two_processes_are_never_at_one_run(study, trained, tmp_path):
    with sole_user(tmp_path / "study/proposed-seed1"), pytest.raises(OccupiedError, match="another process writes to it"):
        study("proposed-seed1")
    assert not trained
    study("proposed-seed1")
    assert steps(trained)


def test_runs_of_another_config_are_never_mixed(study, trained, tmp_path):
    study("proposed-seed1")
    steps(trained)
    other = ["SOLVER.BASE_LR", "0.001"]
    with pytest.raises(ValueError, match=r"seed1 was made with another config \(SOLVER.BASE_LR was 0.0004, is 0.001\)"):
        study("multivit-seed1", "proposed-seed1", opts=other)
    assert steps(trained) == []
    files = study("multivit-seed1", opts=other)
    assert missing(files)["proposed-seed1"] == "made with another config (SOLVER.BASE_LR was 0.0004, is 0.001)"
    assert set(reported(files)) == {"multivit-seed1"}


def test_a_folder_that_was_moved_is_the_same_study(study, trained, tmp_path):
    study("proposed-seed1")
    (tmp_path / "study").rename(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").rename(tmp_path / "study")
    config = tmp_path / "study/proposed-seed1/config.yaml"
    config.write_text(config.read_text().replace(str(tmp_path / "study"), "/elsewhere"))
    assert "proposed-seed1" in reported(study("proposed-seed1"))
    assert len(steps(trained)) == 2


def test_runs_of_before_a_key_was_known_had_its_default(study, trained, tmp_path):
    study("proposed-seed1")
    steps(trained)
    config = tmp_path / "study/proposed-seed1/config.yaml"
    then = yaml.safe_load(config.read_text())
    del then["DATALOADER"]["TRAIN_SHARE"], then["MODEL"]["IMRSF"]["PRETRAIN"]
    config.write_text(yaml.safe_dump(then))
    assert "proposed-seed1" in reported(study("proposed-seed1")) and steps(trained) == []
    with pytest.raises(ValueError, match=r"another config \(DATALOADER.TRAIN_SHARE was 1.0, is 0.5\)"):
        study("proposed-seed1", opts=["DATALOADER.TRAIN_SHARE", "0.5"])


def test_runs_on_other_data_are_never_mixed(study, tmp_path):
    study("proposed-seed1")
    study.data["seed"] = 2
    with pytest.raises(ValueError, match="holds other data than these"):
        study("multivit-seed1")
    with pytest.raises(ValueError, match=r"proposed-seed1: made on other data \(\{'num_train': .*multivit-seed1: not begun"):
        study(report_only=True)


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
    assert load_tool("study").main(["--task", "paper", "--output", str(tmp_path), *arguments]) == 2
    assert message in capsys.readouterr().err.rpartition("error: ")[2]


def test_help_is_quick_and_shows_an_example(tmp_path):
    result = subprocess.run(
        [sys.executable, str(REPOSITORY / "tools/study.py"), "--help"],
        cwd=tmp_path,
        timeout=120,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0 and "python tools/study.py --task semantic --only" in result.stdout


def test_a_study_elsewhere_is_reported_there(tmp_path, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", "restored after the test")
    assert load_tool("study").main(["--task", "paper", "--output", str(tmp_path), "--report-only"]) == 0
    assert missing(((tmp_path / "results.md").read_text(), ""))["proposed-seed1"] == "not begun"


def test_a_report_of_no_run_replaces_no_report(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DETECTRON2_DATASETS", "restored after the test")
    (tmp_path / "results.md").write_text("of another study")
    assert load_tool("study").main(["--task", "paper", "--output", str(tmp_path), "--report-only"]) == 2
    assert "can be reported" in capsys.readouterr().err and (tmp_path / "results.md").read_text() == "of another study"
