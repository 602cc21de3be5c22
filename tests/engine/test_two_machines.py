"""Two machines, which are two commands on this one: their processes meet by --dist-url, as those of a cluster do."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap

import pytest
import torch
from detectron2.modeling import build_model

from imrsf_d2.engine.configuration import load_config
from imrsf_d2.engine.pace import using_threads
from tests.engine.test_launching import NOTHING, TOOL, weights
from tests.engine.test_machines import free_port
from tests.inference.command import predict, words, write_sensors
from tests.tiny import DEMO_CONFIG, DEMO_CONFIGS, NUM_VAL, OVERRIDES, PRETRAINING, REPOSITORY

pytestmark = [pytest.mark.slow, pytest.mark.long]  # each start of a process takes seconds

#: From the end of one process to that of the others.
MOST_S = 60
#: Of everything together, on a machine that is busy with other work.
MOST_IN_ALL_S = 1800


@pytest.fixture
def at_once(tiny_root, tmp_path):
    """Runs commands at the same time; returns what came of each: its output, its errors, its exit code."""

    def run(*commands):
        environment = {
            **os.environ,
            "DETECTRON2_DATASETS": str(tiny_root),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(REPOSITORY),
            "PYTHONWARNINGS": "ignore",
        }
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": environment, "cwd": tmp_path}
        options["start_new_session"] = True  # so that nothing it has started outlives the test
        started = [subprocess.Popen([sys.executable, *map(str, command)], **options) for command in commands]
        try:
            return [(*process.communicate(timeout=MOST_IN_ALL_S), process.returncode) for process in started]
        finally:
            for process in started:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)

    return run


@pytest.fixture
def on_machines(at_once):
    """Runs a command on each of several "machines"."""

    def run(command, *overrides, machines=2):
        url = f"tcp://127.0.0.1:{free_port()}" if machines > 1 else "auto"
        places = [("--num-machines", machines, "--machine-rank", rank, "--dist-url", url) for rank in range(machines)]
        return at_once(*([*command, *place, *overrides] for place in places))

    return run


@pytest.fixture
def under_torchrun(at_once):
    """Runs a command under a torchrun of one process on each of two "machines"."""

    def run(*command, restarts=0):
        options = ["--nnodes", 2, "--nproc_per_node", 1, "--max_restarts", restarts, "--rdzv_backend", "c10d"]
        options += ["--rdzv_endpoint", f"127.0.0.1:{free_port()}", "--rdzv_id", "two-machines"]
        return at_once(*[["-m", "torch.distributed.run", *options, *command]] * 2)

    return run


@pytest.fixture
def training(tmp_path):
    """The command of a training run; what a test adds happens in each process after each iteration."""

    def write(output, happens=NOTHING, processes=1):
        script = tmp_path / f"{output}.py"
        text = TOOL.format(repository=str(REPOSITORY), happens=textwrap.dedent(happens))
        # As many threads in each process, however many machines they are on: else their rounding differs.
        script.write_text(text.replace("usable_cores = lambda: 2", f"usable_cores = lambda: {processes}"))
        changes = [*OVERRIDES, *PRETRAINING, "DATASETS.TEST", "()", "OUTPUT_DIR", tmp_path / output]
        return [script, "--config-file", DEMO_CONFIG], changes

    return write


def losses(folder):
    return [json.loads(line)["total_loss"] for line in (folder / "metrics.json").read_text().splitlines()]


def test_two_machines_train_as_two_processes_of_one_do_and_one_writes(training, on_machines, tmp_path):
    command, changes = training("two")
    assert [code for _, _, code in on_machines(command, *changes)] == [0, 0]
    command, changes = training("one", processes=2)
    assert [code for _, _, code in on_machines([*command, "--num-gpus", "2"], *changes, machines=1)] == [0]
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-6)
    assert torch.allclose(weights(tmp_path / "two"), weights(tmp_path / "one"), rtol=1e-6, atol=1e-8)
    names = [sorted(p.name for p in (tmp_path / name).iterdir() if "tfevents" not in p.name) for name in ("two", "one")]
    assert names[0] == names[1]
    assert len(list((tmp_path / "two").glob("*tfevents*"))) == 1


def test_a_machine_that_is_killed_and_started_again_goes_on_from_the_last_checkpoint(training, under_torchrun, tmp_path):
    command, changes = training("whole")
    assert [code for _, _, code in under_torchrun(*command, *changes)] == [0, 0]
    command, changes = training(
        "killed",
        """
        def happens(trainer):
            if trainer.iter == 2 and comm.get_rank() == 1 and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
                os.kill(os.getpid(), signal.SIGKILL)
        """,
    )
    ended = under_torchrun(*command, *changes, restarts=1)
    assert [code for _, _, code in ended] == [0, 0], ended
    assert torch.allclose(weights(tmp_path / "killed"), weights(tmp_path / "whole"), rtol=1e-6, atol=1e-8)
    log = (tmp_path / "killed/log.txt").read_text()
    assert "Started again by torchrun: training continues from the last checkpoint." in log
    assert "Resuming at iteration 2 (training sample 4)." in log  # SOLVER.CHECKPOINT_PERIOD is 2


#: A command whose processes exchange numbers until one of them ends.
ENDS = """
import argparse, os, pathlib, signal, sys, time
sys.path.insert(0, {repository!r})
from imrsf_d2.compat.upstream import prepare
prepare()
from detectron2.utils import comm
from imrsf_d2.engine.launching import launch_run
from imrsf_d2.utils.errors import InputError, exit_code

def work(args):
    comm.synchronize()
    if comm.get_rank() == {rank}:
        pathlib.Path({failed!r}).write_text(str(time.time()))
        {how}
    comm.all_gather(1)

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--num-machines", type=int)
    parser.add_argument("--machine-rank", type=int)
    parser.add_argument("--dist-url")
    args = parser.parse_args(
        namespace=argparse.Namespace(config_file={config!r}, opts=[], num_gpus=1, machine_timeout=300)
    )
    try:
        sys.exit(exit_code(lambda: launch_run(args, work)))
    finally:
        pathlib.Path({failed!r} + str(args.machine_rank)).write_text(str(time.time()))
"""


@pytest.mark.parametrize(
    "rank, how, message",
    [
        (1, "raise InputError('a tile is gone')", "error: a tile is gone"),
        (0, "os.kill(os.getpid(), signal.SIGKILL)", "signal SIGKILL"),
    ],
    ids=["error", "kill"],
)
def test_the_end_of_one_machine_ends_the_other_and_each_says_why(on_machines, tmp_path, rank, how, message):
    failed = str(tmp_path / "failed")
    values = {"repository": str(REPOSITORY), "config": str(DEMO_CONFIG), "failed": failed, "rank": rank, "how": how}
    (tmp_path / "work.py").write_text(ENDS.format(**values))
    ended = on_machines([tmp_path / "work.py"])
    times = [float((tmp_path / f"failed{name}").read_text()) for name in ("", "0", "1")]
    assert max(times) - times[0] < MOST_S
    assert all(code for _, _, code in ended)
    assert message in ended[rank][1], ended
    assert ended[1 - rank][1].startswith("error: another process of this run has ended"), ended


def test_two_machines_score_each_image_once(on_machines, tmp_path):
    config = DEMO_CONFIGS["semantic"]  # whose scores are not 0 without training
    torch.manual_seed(1)
    torch.save({"model": build_model(load_config(config, OVERRIDES)).state_dict()}, tmp_path / "weights.pth")
    rows, printed = {}, {}
    for machines in (1, 2):
        tool = REPOSITORY / "tools/evaluate_modalities.py"
        command = (tool, "--config-file", config, "--output", tmp_path / str(machines), "--subsets", "rgb,sar+dsm")
        options = ("--resamples", "0", "--tiles", "0")
        ended = on_machines((*command, *options), *OVERRIDES, "MODEL.WEIGHTS", tmp_path / "weights.pth", machines=machines)
        assert [code for _, _, code in ended] == [0] * machines, ended
        printed[machines] = [out.count("Report: ") for out, _, _ in ended]
        rows[machines] = json.loads((tmp_path / str(machines) / "modalities.json").read_text())["rows"]
    assert printed == {1: [1], 2: [1, 0]}
    assert [row["modalities"] for row in rows[2]] == [["rgb"], ["sar", "dsm"]]
    for one, two in zip(rows[1], rows[2], strict=True):
        assert one["images"] == two["images"] == NUM_VAL
        scores = [
            {f"{task}/{name}": value for task, of_task in row["results"].items() for name, value in of_task.items()}
            for row in (one, two)
        ]
        assert scores[0]["sem_seg/mIoU"] > 0
        assert scores[1] == pytest.approx(scores[0], rel=1e-3, nan_ok=True)


def test_two_machines_map_a_scene_together(under_torchrun, tmp_path):
    arguments = [*write_sensors(tmp_path), "--min-score", "0"]
    command = ("-m", "tests.inference.torchrun_predict", *words(tmp_path / "map.geojson", *arguments))
    ended = under_torchrun(*command)
    assert [code for _, _, code in ended] == [0, 0], ended
    with using_threads(1):  # as torchrun's processes have: the number of threads changes how products are rounded
        assert predict(tmp_path / "alone.geojson", *arguments).code == 0
    assert (tmp_path / "map.geojson").read_bytes() == (tmp_path / "alone.geojson").read_bytes()
