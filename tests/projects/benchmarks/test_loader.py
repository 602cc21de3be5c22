"""The benchmark of the training input measures what it says, in units that add up."""

import re

import pytest

from imrsf_d2.engine.configuration import load_config
from projects.benchmarks.loader import benchmark_loader
from tests.tiny import DEMO_CONFIG, DEMO_CONFIGS, OVERRIDES
from tests.tools.test_train_net import load_tool


def test_every_stage_and_number_of_workers_is_in_the_table(tiny_root, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tiny_root))
    report = benchmark_loader(load_config(DEMO_CONFIG, OVERRIDES), workers=(1,), repeats=1)
    assert "4 tiles of 64 x 64 px" in report
    for stage in ("read sar", "read rgb", "read dsm", "augment", "assemble", "targets"):
        assert re.search(rf"\| +{stage} +\| +[\d.]+ \(", report), stage
    assert "as in training, decoder alone" in report
    shares = [int(share) for share in re.findall(r"(\d+)% \|", report)]
    assert len(shares) == 6 and sum(shares) == pytest.approx(100, abs=4)
    rates = [float(rate) for rate in re.findall(r"\| +(\d+) \(\d+ to \d+\) \|", report)]
    assert len(rates) == 5 and min(rates) > 0


def test_the_tool_writes_tiles_and_prints_the_table(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", "replaced by the tool, restored after the test")
    command = [
        "loader",
        "--output",
        str(tmp_path),
        "--config-file",
        str(DEMO_CONFIGS["lulc"]),
        "--size",
        "64",
        "--tiles",
        "2",
        "--repeats",
        "1",
        "INPUT.CROP.SIZE",
        "[64, 64]",
    ]
    assert load_tool("benchmark").main(command) == 0
    output = capsys.readouterr().out
    assert "2 tiles of 64 x 64 px" in output and "read dnw" in output and "imrsf_d2 " in output
    assert load_tool("benchmark").main([*command, "INPUT.CROPS", "1"]) == 2
