"""Training in two processes whose batches hold different sensors, without a search for unused parameters."""

import functools
import json
from datetime import timedelta

import pytest
import torch
from detectron2.engine import create_ddp_model, launch
from detectron2.utils import comm
from detectron2.utils.events import EventStorage
from torch import nn

from imrsf_d2.engine.loop import TrainingLoop
from tests.modeling.conftest import build, make_images
from tests.processes import run_in_processes
from tests.tiny import DEMO_CONFIGS, OVERRIDES
from tests.tools.test_train_net import load_tool

pytestmark = pytest.mark.slow  # starting a process takes seconds

#: What the samples of the first and of the second process have.
CASES = {
    "one sensor each": ([("sar",), ("sar",)], [("rgb",), ("rgb",)]),
    "a process with nothing": ([(), ()], [("sar", "rgb", "landuse"), ("landuse",)]),
    "nothing anywhere": ([(), ()], [(), ()]),
    "everything beside one": ([("sar", "rgb", "landuse"), ("sar", "rgb", "landuse")], [("landuse",), ("sar", "rgb")]),
}
STEPS = 2  # the second fails if a gradient of the first is still waited for


class Task(nn.Module):
    """A loss that is a mean over samples."""

    def __init__(self, checkpoint_blocks=False):
        super().__init__()
        self.backbone = build(checkpoint_blocks=checkpoint_blocks)

    def forward(self, samples):
        return {"loss": sum(m.square().mean() for m in self.backbone(torch.stack(samples)).values())}


def train(samples, accumulate=1, checkpoint_blocks=False):
    """Gradients of each step on the same samples, and how many buckets of them the processes exchanged."""
    model = Task(checkpoint_blocks)
    wrapped = create_ddp_model(model, broadcast_buffers=False, device_ids=None)
    exchanged = []
    if wrapped is not model:
        from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook

        wrapped.register_comm_hook(None, lambda state, bucket: exchanged.append(bucket) or allreduce_hook(None, bucket))
    loop = TrainingLoop(wrapped, [samples] * STEPS, torch.optim.SGD(model.parameters(), lr=0.01), accumulate=accumulate)
    steps = []
    with EventStorage():
        for _ in range(STEPS):
            loop.run_step()
            steps.append({name: parameter.grad.clone() for name, parameter in model.named_parameters()})
    return steps, len(exchanged)


def train_all_cases(path):
    torch.manual_seed(0)
    results = {}
    for name, rows in CASES.items():
        # Each process has the samples that are its own; the values are those of the whole batch.
        images = list(make_images([*rows[0], *rows[1]]).chunk(2)[comm.get_rank()])
        results[name] = {
            "plain": train(images),
            "accumulated": train(images, accumulate=2),
            "checkpointed": train(images, checkpoint_blocks=True),
        }
    if comm.is_main_process():
        torch.save(results, path)


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    path = tmp_path_factory.mktemp("processes") / "results.pth"
    run_in_processes(train_all_cases, path)
    return torch.load(path)


@pytest.mark.parametrize("way", ["plain", "accumulated", "checkpointed"])
@pytest.mark.parametrize("case", CASES)
def test_gradients_are_those_of_one_process_with_the_whole_batch(two_processes, case, way):
    rows = CASES[case]
    expected, _ = train(list(make_images([*rows[0], *rows[1]])))
    got, _ = two_processes[case][way]
    assert expected and all(expected)
    for step, (mine, theirs) in enumerate(zip(got, expected, strict=True)):
        assert mine.keys() == theirs.keys()
        for name, gradient in theirs.items():
            assert torch.allclose(mine[name], gradient, rtol=1e-8, atol=1e-10), f"{name} at step {step}"


def test_accumulation_exchanges_gradients_once_a_step(two_processes):
    for case in CASES:
        assert 0 < two_processes[case]["accumulated"][1] == two_processes[case]["plain"][1]


@pytest.mark.parametrize("task", ["instance", "semantic"])
def test_train_net_trains_and_scores_in_two_processes_on_the_cpu(task, tiny_root, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("imrsf_d2.engine.launching.usable_cores", lambda: 2)
    monkeypatch.setattr("imrsf_d2.engine.launching.launch", functools.partial(launch, timeout=timedelta(seconds=120)))
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tiny_root))

    def train_net(*arguments, **opts):
        changes = [word for key, value in opts.items() for word in (key.replace("__", "."), str(value))]
        return load_tool("train_net").main(
            ["--config-file", str(DEMO_CONFIGS[task]), "--dist-url", "auto", *arguments, *OVERRIDES, *changes]
        )

    amp = {"SOLVER__AMP__ENABLED": task == "semantic"}
    two, one = tmp_path / "two", tmp_path / "one"
    assert (
        train_net(
            "--num-gpus",
            "2",
            OUTPUT_DIR=two,
            SOLVER__MAX_ITER=2,
            SOLVER__STEPS="(1,)",
            SOLVER__IMS_PER_BATCH=4,
            SOLVER__ACCUMULATE=2,
            **amp,
        )
        == 0
    )
    assert train_net("--eval-only", OUTPUT_DIR=one, MODEL__WEIGHTS=two / "model_final.pth", **amp) == 0
    found = {path.parent.parent.parent.name: json.loads(path.read_text()) for path in tmp_path.glob("*/inference/*/*.json")}
    assert sorted(found) == ["one", "two"]
    if task == "semantic":
        assert found["two"] == found["one"]
    else:
        assert [(r["image_id"], r["segmentation"]) for r in found["two"]] == [
            (r["image_id"], r["segmentation"]) for r in found["one"]
        ]
        assert [r["score"] for r in found["two"]] == pytest.approx([r["score"] for r in found["one"]], abs=1e-5)
    capsys.readouterr()
