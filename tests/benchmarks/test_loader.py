"""The benchmark measures what it says, in units that add up."""

import re
import time

import pytest
from tests.tiny import DEMO_CONFIG, DEMO_CONFIGS, OVERRIDES
from tests.tools.test_train_net import load_tool

from imrsf_d2.benchmarks.loader import benchmark_loader
from imrsf_d2.benchmarks.timing import Measurement, measure
from imrsf_d2.engine.configuration import load_config


def test_median_and_spread_by_hand():
    timed = Measurement((0.2, 0.1, 0.4))
    assert timed.median == 0.2 and timed.spread == (0.1, 0.4)
    assert timed.in_ms() == "200.00 (100.00 to 400.00)" and timed.in_ms(10) == "20.00 (10.00 to 40.00)"
    assert timed.rate(10) == "50 (25 to 100)"


def test_the_warm_up_is_not_timed_and_the_device_is_waited_for():
    calls, waits = [], []
    timed = measure(lambda: (calls.append(0), time.sleep(0.2 if len(calls) == 1 else 0.01)), repeats=3,
                    synchronise=lambda: waits.append(0))
    assert len(calls) == 4 and len(timed.seconds) == 3 and len(waits) == 8
    assert 0.01 <= timed.median and timed.spread[0] < 0.2


def test_every_stage_and_number_of_workers_is_in_the_table(tiny_root, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tiny_root))
    report = benchmark_loader(load_config(DEMO_CONFIG, OVERRIDES), workers=(1,), repeats=1)
    assert "4 tiles of 64 x 64 px" in report
    for stage in ("read sar", "read rgb", "read dsm", "augment", "assemble", "targets"):
        assert re.search(rf"\| +{stage} +\| +[\d.]+ \(", report), stage
    shares = [int(share) for share in re.findall(r"(\d+)% \|", report)]
    assert len(shares) == 6 and sum(shares) == pytest.approx(100, abs=4)
    rates = [float(rate) for rate in re.findall(r"\| +(\d+) \(\d+ to \d+\) \|", report)]
    assert len(rates) == 4 and min(rates) > 0


def test_the_tool_writes_tiles_and_prints_the_table(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", "replaced by the tool, restored after the test")
    command = ["loader", "--output", str(tmp_path), "--config-file", str(DEMO_CONFIGS["lulc"]), "--size", "64",
               "--tiles", "2", "--repeats", "1", "INPUT.CROP.SIZE", "[64, 64]"]
    assert load_tool("benchmark").main(command) == 0
    output = capsys.readouterr().out
    assert "2 tiles of 64 x 64 px" in output and "read dnw" in output and "imrsf_d2 " in output
    assert load_tool("benchmark").main([*command, "INPUT.CROPS", "1"]) == 2
