"""Processes that torchrun starts: where they find their place, and what of it is refused."""

import argparse

import pytest

from imrsf_d2.engine import launching
from imrsf_d2.engine.launching import launch_run
from imrsf_d2.engine.torchrun import Place, all_processes, is_first_process, processes_here, read_place
from imrsf_d2.utils.errors import InputError
from tests.tiny import DEMO_CONFIG, OVERRIDES
from tests.tools.test_train_net import load_tool

TORCHRUN = {
    "RANK": "3",
    "WORLD_SIZE": "4",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "node0",
    "MASTER_PORT": "29500",
}


def test_the_place_of_a_process_on_the_second_of_two_machines():
    assert read_place(TORCHRUN) == Place(rank=3, world_size=4, local_rank=1, local_world_size=2)


@pytest.mark.parametrize(
    "environment",
    [{}, {"MASTER_ADDR": "node0", "MASTER_PORT": "29500", "SLURM_PROCID": "1"}],
    ids=["nothing", "a cluster's meeting point"],
)
def test_a_process_that_something_else_started_has_no_place(environment):
    assert read_place(environment) is None


@pytest.mark.parametrize(
    "changes, message",
    [
        (
            {"WORLD_SIZE": None},
            "the environment has RANK=3, LOCAL_RANK=1, LOCAL_WORLD_SIZE=2, but no WORLD_SIZE. Start with",
        ),
        ({"RANK": None, "MASTER_PORT": None}, "but no RANK, MASTER_PORT"),
        ({"LOCAL_RANK": None, "LOCAL_WORLD_SIZE": None}, "RANK=3, WORLD_SIZE=4, but no LOCAL_RANK, LOCAL_WORLD_SIZE"),
        ({"RANK": "three"}, "RANK=three, .* expected whole numbers"),
        ({"RANK": "5"}, "expected RANK below WORLD_SIZE"),
        ({"LOCAL_RANK": "0"}, "LOCAL_RANK equal to RANK modulo LOCAL_WORLD_SIZE"),
        ({"LOCAL_WORLD_SIZE": "3"}, "WORLD_SIZE is not a multiple of LOCAL_WORLD_SIZE"),
        ({"LOCAL_WORLD_SIZE": "0"}, "expected as many processes on each machine|expected RANK"),
        ({"LOCAL_WORLD_SIZE": "8"}, "WORLD_SIZE is not a multiple of LOCAL_WORLD_SIZE"),
    ],
    ids=lambda value: "" if isinstance(value, str) else "+".join(value),
)
def test_half_a_place_and_contradictions_are_named(changes, message):
    environment = {name: value for name, value in {**TORCHRUN, **changes}.items() if value is not None}
    with pytest.raises(InputError, match=message):
        read_place(environment)


@pytest.fixture
def torchrun(monkeypatch):
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)


def test_the_number_of_processes_is_torchruns_unless_it_is_contradicted(torchrun):
    assert processes_here(None) == processes_here(2, num_machines=2) == 2 and not is_first_process()
    assert all_processes(None) == 4
    with pytest.raises(InputError, match="--num-gpus is 4, but torchrun started 2 processes on this machine"):
        processes_here(4)
    with pytest.raises(InputError, match="--num-gpus is 1, but torchrun started 2"):
        processes_here(1)
    with pytest.raises(InputError, match="--num-machines is 3, but torchrun started processes on 2"):
        processes_here(2, num_machines=3)


def test_without_torchrun_it_is_the_options_or_one():
    assert (processes_here(None), processes_here(3)) == (1, 3) == (all_processes(None), all_processes(3))
    assert is_first_process()
    with pytest.raises(InputError, match="--num-gpus is 0, expected 1 or more"):
        processes_here(0)


def test_without_torchrun_the_options_number_machines_and_processes():
    assert all_processes(2, num_machines=3) == 6
    assert is_first_process(machine_rank=0) and not is_first_process(machine_rank=1)


@pytest.mark.parametrize(
    "num_machines, machine_rank, dist_url, message",
    [
        (0, 0, "auto", "--num-machines is 0, expected 1 or more"),
        (1, 1, "auto", "--machine-rank is 1, expected 0 to 0: each of the 1 machine "),
        (2, 2, "tcp://node0:29500", "--machine-rank is 2, expected 0 to 1: each of the 2 machines"),
        (2, -1, "tcp://node0:29500", "--machine-rank is -1"),
        (2, 1, "auto", "--dist-url is not given, .* of 2 machines meet: add --dist-url tcp://HOST:PORT"),
    ],
)
def test_machines_that_could_not_meet_are_refused(num_machines, machine_rank, dist_url, message):
    machines = {"num_machines": num_machines, "machine_rank": machine_rank, "dist_url": dist_url}
    args = argparse.Namespace(config_file=DEMO_CONFIG, opts=OVERRIDES, num_gpus=None, **machines)
    with pytest.raises(InputError, match=message):
        launch_run(args, None)


@pytest.mark.parametrize("device, backend", [("cpu", "gloo"), ("cuda", "nccl")])
def test_processes_meet_by_what_their_device_can(torchrun, monkeypatch, device, backend):
    """As Detectron2's launch would have them meet, on the GPU of their place."""
    done = []
    for name in (
        "dist.init_process_group",
        "dist.destroy_process_group",
        "dist.get_backend",
        "torch.cuda.set_device",
        "comm.create_local_process_group",
        "comm.synchronize",
    ):
        monkeypatch.setattr(
            f"imrsf_d2.engine.launching.{name}",
            lambda *values, name=name, **_: done.append((name.partition(".")[2], *values)),
        )
    monkeypatch.setattr(launching.torch.cuda, "device_count", lambda: 2)
    args = argparse.Namespace(
        config_file=DEMO_CONFIG, opts=[*OVERRIDES, "MODEL.DEVICE", device], num_gpus=None, num_machines=1
    )
    launch_run(args, lambda args: done.append(("work",)))
    device = [("cuda.set_device", 1)] if device == "cuda" else []
    assert done == [
        *device,
        ("init_process_group", backend),
        ("create_local_process_group", 2),
        ("synchronize",),
        ("work",),
        ("synchronize",),
        ("destroy_process_group",),
    ]


def test_more_processes_than_gpus_are_refused(torchrun, monkeypatch):
    monkeypatch.setattr(launching.torch.cuda, "device_count", lambda: 1)
    args = argparse.Namespace(config_file=DEMO_CONFIG, opts=["MODEL.DEVICE", "cuda"], num_gpus=None, num_machines=1)
    with pytest.raises(InputError, match="torchrun started 2 processes on this machine .*, which has 1 GPUs: give"):
        launch_run(args, None)


@pytest.mark.parametrize(
    "tool, arguments",
    [
        ("demo", []),
        ("study", []),
        ("pretrain_demo", []),
        ("benchmark", ["loader"]),
        ("visualize", ["--config-file", "none.yaml", "--output", "none"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_tool_of_one_process_does_not_work_twice(torchrun, capsys, tool, arguments):
    assert load_tool(tool).main(arguments) == 2
    assert capsys.readouterr().err == (
        f"error: torchrun started 4 processes (WORLD_SIZE), but tools/{tool}.py works in one: start it without torchrun.\n"
    )
