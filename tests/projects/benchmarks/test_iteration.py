import pytest
import torch

from imrsf_d2.engine.configuration import load_config
from projects.benchmarks import iteration
from tests.tiny import DEMO_CONFIG, OVERRIDES
from tests.tools.test_train_net import load_tool


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_the_parts_of_an_iteration_lie_within_it(tiny_root, monkeypatch, device):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tiny_root))
    monkeypatch.setattr(iteration, "NUM_BATCHES", 2)
    monkeypatch.setattr(iteration, "WARM_UP", 1)
    result = iteration.benchmark_iteration(
        load_config(DEMO_CONFIG, [*OVERRIDES, "MODEL.DEVICE", device, "SOLVER.AMP.ENABLED", "True"]), repeats=2
    )
    timed = {what: measured.seconds for what, measured in result.timings.items()}
    assert all(len(seconds) == 2 and min(seconds) > 0 for seconds in timed.values())
    for i in range(2):
        assert timed["the matcher of the losses"][i] < timed["losses"][i]
        assert sum(timed[part][i] for part in iteration.PARTS if part != "the matcher of the losses") < timed["forward"][i]
    assert [line.what for line in result.lines] == ["images", "memory at its peak"][: 1 + (device == "cuda")]
    assert "2 samples of 64 x 64 px in memory, bf16" in result.as_markdown()


def test_a_device_that_is_not_there_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert load_tool("benchmark").main(["backbone", "--device", "cuda"]) == 2
    assert "--device is cuda, but torch finds no GPU here" in capsys.readouterr().err
