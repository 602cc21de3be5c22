"""The benchmark of mapping maps the whole scene, and compares it with the model on the same windows."""

import math

import pytest
import torch

from imrsf_d2.engine.configuration import load_config
from projects.benchmarks import scene as benchmark
from projects.benchmarks.scene import benchmark_scene
from tests.tiny import DEMO_CONFIGS, OVERRIDES
from tests.tools.test_train_net import load_tool


@pytest.mark.parametrize("task", ["instance", "lulc"])
def test_every_window_goes_through_the_model_in_the_map_and_alone(task, monkeypatch):
    seen = []

    def build(cfg):
        model = build_model(cfg)
        model.register_forward_pre_hook(lambda _, inputs: seen.append([sample["image"].clone() for sample in inputs[0]]))
        return model

    build_model = benchmark.build_model
    monkeypatch.setattr(benchmark, "build_model", build)
    cfg = load_config(DEMO_CONFIGS[task], [*OVERRIDES, "INPUT.CROP.SIZE", "[64, 64]"])
    result = benchmark_scene(cfg, side=160, batch_size=4, repeats=1)
    lines = {line.what: line for line in result.lines}
    assert lines["windows per second, over the model alone"].target == 0.9
    assert all(math.isfinite(line.median) and line.median > 0 for line in lines.values())
    # A round to warm up and one that is timed, each with the map and the model alone: in turn, in reverse in the second.
    number = 9  # windows of 64 px, 48 px apart
    batches = -(-number // 4)
    assert len(seen) == 4 * batches and sum(map(len, seen)) == 4 * number
    for mapped, alone in zip(seen[:batches], seen[batches : 2 * batches]):
        torch.testing.assert_close(torch.stack(mapped), torch.stack(alone), rtol=0, atol=0)
    if task == "instance":
        assert lines["objects written, for each window"].median == pytest.approx(9 / number, abs=0.5)


def test_the_tool_prints_the_table(tmp_path, capsys):
    command = ["scene", "--quick", "--repeats", "1", "--scene", "100"]
    assert load_tool("benchmark").main(command) == 0
    output = capsys.readouterr().out
    assert "Scene of 100 x 100 px to objects" in output and "windows per second, over the model alone" in output
