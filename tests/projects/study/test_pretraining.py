"""The pre-training demo on a few tiles: runs are kept or resumed, and start from the weights that are there."""

import json
import subprocess
import sys

import pytest
import torch

from imrsf_d2.engine.configuration import load_config
from imrsf_d2.engine.trainer import Trainer
from projects.study import pretraining
from projects.study.report import run_topic
from projects.study.runs import WEIGHTS, perform
from tests import tiny
from tests.projects.study.test_running import TWO_ITERATIONS, missing, reported, steps
from tests.test_configs import REPOSITORY
from tests.tiny import DEMO_CONFIG, NUM_TRAIN, NUM_VAL, SIZE
from tests.tools.test_train_net import load_tool

PRETRAIN = "MODEL.IMRSF.PRETRAIN"
TINY = [
    *TWO_ITERATIONS,
    f"{PRETRAIN}.VISIBLE_TOKENS",
    "64",
    f"{PRETRAIN}.DECODER_DIM",
    "16",
    f"{PRETRAIN}.DECODER_HEADS",
    "2",
    f"{PRETRAIN}.CONTRASTIVE.DIM",
    "8",
    f"{PRETRAIN}.PICTURES.PERIOD",
    "1",
    f"{PRETRAIN}.PICTURES.SAMPLES",
    "1",
    "DATALOADER.TRAIN_SHARE",
    "0.5",
]


@pytest.fixture
def demo(tmp_path, monkeypatch):
    """Runs the demo on a few tiles; returns its report and its table of runs."""
    monkeypatch.setenv("DETECTRON2_DATASETS", "replaced by the demo, restored after the test")
    monkeypatch.setattr(pretraining, "DATA", {"num_train": NUM_TRAIN, "num_val": NUM_VAL, "size": SIZE, "seed": 1})

    def run(*only, opts=(), **options):
        results = tmp_path / "docs/results.md"
        topic = pretraining.pretraining_topic()
        run_topic(topic, ["demo"], tmp_path / "demo", results, only=only, opts=[*TINY, *opts], **options)
        return results.read_text(), (tmp_path / "docs/results_runs.csv").read_text()

    return run


@pytest.mark.slow
def test_from_pretraining_to_the_report(demo, trained, tmp_path):
    files = demo("finetune_g-seed1", "partial", "scratch-seed1")
    ran = ["g-seed1", "gc-seed1", "scratch-seed1", "finetune_g-seed1", "partial-seed1"]
    # Each pre-training before what starts from it.
    assert steps(trained) == [(name, i) for name in ran for i in (0, 1)]
    assert set(reported(files)) == set(ran) and list(missing(files).values()) == ["not begun"] * 20
    for picture in ("results.png", "pretraining.png"):
        assert f"]({picture})" in files[0] and (tmp_path / "docs" / picture).is_file()

    folder = tmp_path / "demo/gc-seed1"
    record = json.loads((folder / "record.json").read_text())
    logged = [json.loads(line) for line in (folder / "metrics.json").read_text().splitlines()]
    assert record["losses"]["total_loss"] == [logged[0]["total_loss"], logged[-1]["total_loss"]]
    assert set(record["losses"]) == {"sar", "rgb", "dsm", "contrastive", "total_loss"}
    assert not (folder / "modalities.json").exists()
    log = (tmp_path / "demo/partial-seed1/log.txt").read_text()
    assert f"{folder / 'model_final.pth'} fills" in log and "training on 2 of the 4 samples" in log
    assert json.loads((tmp_path / "demo/partial-seed1/origin.json").read_text())["weights"] == record["weights"]

    # Nothing is done twice, nor after the folder was moved.
    assert demo("finetune_g-seed1", "partial", "scratch-seed1") == files and steps(trained) == []
    (tmp_path / "demo").rename(tmp_path / "moved")
    (tmp_path / "moved").rename(tmp_path / "demo")
    config = tmp_path / "demo/partial-seed1/config.yaml"
    config.write_text(config.read_text().replace(str(tmp_path / "demo"), "/elsewhere"))
    assert demo(report_only=True) == files

    # Of the pre-training run only the record was kept: what would begin with its weights says so, and what goes on does not.
    (folder / "model_final.pth").rename(tmp_path / "kept.pth")
    with pytest.raises(
        ValueError, match=r"gc-seed1 has the record of a run and not its weights, which finetune_gc-seed1 needs"
    ):
        demo("finetune_gc-seed1")
    (tmp_path / "demo/partial-seed1/record.json").unlink()
    files = demo("partial")
    assert "partial-seed1" in reported(files) and steps(trained) == []
    (tmp_path / "kept.pth").rename(folder / "model_final.pth")

    # A new pre-training run invalidates the runs that started from the old one.
    (folder / "record.json").unlink()
    with pytest.raises(ValueError, match=r"partial-seed1 was made from weights of gc-seed1 that are no longer there\."):
        demo("partial")
    assert missing(demo(report_only=True))["partial-seed1"] == "made from weights of gc-seed1 that are no longer there"
    (folder / "record.json").write_text(json.dumps({**record, "weights": "others"}))
    with pytest.raises(ValueError, match="no longer there"):
        demo("partial")
    (folder / "record.json").write_text(json.dumps(record))
    with pytest.raises(
        ValueError, match=r"gc-seed1: made with another config \(MODEL.IMRSF.PRETRAIN.ALPHA was 1.0, is 2.0\)"
    ):
        demo(report_only=True, opts=[f"{PRETRAIN}.ALPHA", "2.0"])


@pytest.mark.parametrize("origin, left", [("digest", [1]), (None, [0, 1])], ids=["of another run", "of anybody"])
def test_an_unfinished_run_resumes_though_the_weights_it_started_from_were_moved(
    tiny_root, trained, tmp_path, monkeypatch, origin, left
):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tiny_root))

    def config(weights):
        return load_config(
            DEMO_CONFIG,
            [*TWO_ITERATIONS, *tiny.PRETRAINING, "OUTPUT_DIR", str(tmp_path / "run"), WEIGHTS, str(tmp_path / weights)],
        )

    def interrupted(self):
        if self.iter == 1:
            raise KeyboardInterrupt
        step(self)

    step = Trainer.run_step
    torch.save({"model": Trainer.build_model(config("then.pth")).state_dict()}, tmp_path / "then.pth")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Trainer, "run_step", interrupted)
        perform(config("then.pth"), DEMO_CONFIG, {}, origin, roots=(tiny_root, None))
    assert steps(trained) == [("run", 0)]
    (tmp_path / "then.pth").rename(tmp_path / "now.pth")
    perform(config("now.pth"), DEMO_CONFIG, {}, origin, roots=(tiny_root, None))
    assert steps(trained) == [("run", iteration) for iteration in left]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--only", "nothing"], "--only names 'nothing', expected a model or a run: finetune_g, finetune_g-seed1"),
        (["MODEL.WEIGHTS", "mine.pth"], "MODEL.WEIGHTS is set for each run"),
        (["--report-only", "--only", "nothing"], "--only names 'nothing'"),
    ],
)
def test_mistakes_end_with_one_line_and_exit_code_2(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DETECTRON2_DATASETS", "restored after the test")
    assert load_tool("pretrain_demo").main(["--output", str(tmp_path), *arguments]) == 2
    assert message in capsys.readouterr().err.rpartition("error: ")[2]


def test_a_demo_elsewhere_is_reported_there(tmp_path, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", "restored after the test")
    assert load_tool("pretrain_demo").main(["--output", str(tmp_path), "--report-only"]) == 0
    assert missing(((tmp_path / "results.md").read_text(), ""))["gc-seed1"] == "not begun"


def test_help_is_quick_and_shows_an_example(tmp_path):
    result = subprocess.run(
        [sys.executable, str(REPOSITORY / "tools/pretrain_demo.py"), "--help"],
        cwd=tmp_path,
        timeout=120,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0 and "python tools/pretrain_demo.py --only" in result.stdout
