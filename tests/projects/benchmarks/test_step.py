import pytest
import torch

from imrsf_d2.engine.configuration import load_config
from projects.benchmarks import step
from tests.tiny import DEMO_CONFIG, OVERRIDES


def test_parts_of_a_step_lie_within_it_and_are_all_of_it(tiny_root, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tiny_root))
    monkeypatch.setattr(step, "NUM_BATCHES", 2)
    monkeypatch.setattr(step, "NUM_PROFILED", 2)
    result = step.benchmark_step(load_config(DEMO_CONFIG, [*OVERRIDES, "MODEL.DEVICE", "cpu"]), "tiny", repeats=2)
    timed = {part: measured.seconds for part, measured in result.timings.items()}
    backward = [f"{part}, backward" for part in step.PARTS]
    assert set(timed) == {"step", "loader", step.MATCHER, "optimizer, with clipping", *step.PARTS, *backward}
    assert all(len(seconds) == 2 and min(seconds) > 0 for seconds in timed.values())
    for number in range(2):
        assert timed[step.MATCHER][number] < timed["losses"][number]
        parts = sum(timed[part][number] for part in ["optimizer, with clipping", *step.PARTS, *backward])
        assert 0.7 * timed["step"][number] < parts < timed["step"][number]
    assert len(result.lines) == step.NUM_OPERATORS and all(0 < sum(line.values) / 2 < 100 for line in result.lines)
    assert f"1 thread(s) of {torch.backends.cpu.get_cpu_capability()}" in result.notes[0] or torch.get_num_threads() > 1


@pytest.mark.parametrize("output", [{"a": [torch.ones(1), (torch.ones(2),)], "b": None}])
def test_tensors_are_found_at_any_depth(output):
    assert [len(tensor) for tensor in step._tensors(output)] == [1, 2]
