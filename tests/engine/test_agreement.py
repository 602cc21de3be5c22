"""Processes that were given different things end with an error in all of them, not with a wrong result or a wait."""

import shutil

import pytest
import torch
from detectron2.utils import comm
from torch import nn

from imrsf_d2.engine.agreement import check_same, check_same_config, check_same_weights
from imrsf_d2.engine.configuration import load_config
from imrsf_d2.engine.trainer import Trainer
from imrsf_d2.utils.errors import InputError
from tests.processes import run_in_processes
from tests.tiny import DEMO_CONFIG, OVERRIDES, PRETRAINING


@pytest.fixture
def others(monkeypatch):
    """Lets the other processes answer with `values`."""

    def answer(*values):
        monkeypatch.setattr(comm, "get_world_size", lambda: len(values) + 1)
        monkeypatch.setattr(comm, "all_gather", lambda own: [own, *values])

    return answer


def test_what_differs_is_said_by_rank(others):
    others(3, 0, 3)
    with pytest.raises(
        InputError, match="^the processes of this run differ: the start is 3 on ranks 0, 1, 3 and 0 on rank 2. Share it.$"
    ):
        check_same("the start", 3, "Share it.")
    others(3, 3)
    check_same("the start", 3, "Share it.")


def test_configs_may_differ_in_paths_alone(others, monkeypatch):
    seen = []

    def config(*opts):
        others()
        monkeypatch.setattr(comm, "get_world_size", lambda: 2)
        monkeypatch.setattr(comm, "all_gather", lambda own: seen.append(own) or [own])
        cfg = load_config(DEMO_CONFIG, opts)
        check_same_config(cfg)
        return cfg

    cfg = config("OUTPUT_DIR", "here", "DATALOADER.NUM_WORKERS", "3")
    config("OUTPUT_DIR", "there", "MODEL.WEIGHTS", "x.pth")
    config("SOLVER.MAX_ITER", "7", "SOLVER.STEPS", "()", "SEED", "5", "TEST.EVAL_PERIOD", "2")
    others(seen[1])
    check_same_config(cfg)
    others(seen[2])
    with pytest.raises(InputError, match=r"differ: SEED is 42 on rank 0 and 5 on rank 1; .*; .* \(and 1 more\)\. Start all"):
        check_same_config(cfg)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_the_smallest_difference_between_weights_counts(others, monkeypatch, dtype):
    torch.manual_seed(0)
    model, sums = nn.Linear(5, 3).to(dtype), []
    monkeypatch.setattr(comm, "get_world_size", lambda: 2)
    monkeypatch.setattr(comm, "all_gather", lambda own: sums.append(own) or [own])
    check_same_weights(model, "a file")
    check_same_weights(model, "a file")
    with torch.no_grad():
        model.weight[1, 2] = torch.nextafter(model.weight[1, 2], torch.tensor(9.0, dtype=dtype))
    check_same_weights(model, "a file")
    assert sums[0] == sums[1] != sums[2]
    others(sums[0])
    with pytest.raises(InputError, match="weights, read from a file, is .* on rank 0 and .* on rank 1. Each process reads"):
        check_same_weights(model, "a file")


def resume_from_folders_of_their_own(root):
    """Rank 0 finds its checkpoint; rank 1 an empty folder, then one with other weights, then half of the data."""
    opts = [*OVERRIDES, *PRETRAINING, "DATASETS.TEST", "()", "SOLVER.STEPS", "()"]
    mine = root / f"rank{comm.get_rank()}"

    def resume(folder, *changes):
        cfg = load_config(DEMO_CONFIG, [*opts, "OUTPUT_DIR", str(folder), *changes])
        trainer = Trainer(cfg)
        trainer.resume_or_load(resume=True)
        return trainer

    trainer = Trainer(load_config(DEMO_CONFIG, [*opts, "OUTPUT_DIR", str(root / "rank0"), "SOLVER.MAX_ITER", "2"]))
    trainer.train()
    with pytest.raises(
        InputError,
        match="the iteration that training starts at is 2 on rank 0 and 0 on rank 1. With "
        "--resume each process reads the last checkpoint in OUTPUT_DIR .*/rank",
    ):
        resume(mine)
    comm.synchronize()
    if comm.get_rank() == 1:
        shutil.copytree(root / "rank0", mine, dirs_exist_ok=True)
        content = torch.load(mine / "model_final.pth", weights_only=True)
        content["model"] = {name: value + 1e-6 for name, value in content["model"].items()}
        torch.save(content, mine / "model_final.pth")
    comm.synchronize()
    with pytest.raises(InputError, match="the sum over the bits of the model's weights, read from OUTPUT_DIR"):
        resume(mine)
    comm.synchronize()
    half = ["DATALOADER.TRAIN_SHARE", "0.5"] if comm.get_rank() == 1 else []
    with pytest.raises(InputError, match="the number of training samples is 4 on rank 0 and 2 on rank 1"):
        resume(root / "rank0", *half)
    assert resume(root / "rank0").start_iter == 2


@pytest.mark.slow  # starting a process takes seconds
def test_a_resume_from_a_folder_that_is_not_shared_is_refused_by_all(tiny_root, tmp_path, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tiny_root))
    run_in_processes(resume_from_folders_of_their_own, tmp_path)
