"""Training runs in two processes, started by --num-gpus and by torchrun, to the end, to an error and to a signal."""

import argparse
import json
import os
import subprocess
import sys
import textwrap

import pytest
import torch
from detectron2.modeling import build_model
from detectron2.utils import comm
from torch.multiprocessing import ProcessRaisedException

from imrsf_d2.engine.configuration import load_config
from imrsf_d2.engine.launching import launch_run
from tests.tiny import DEMO_CONFIG, NUM_VAL, OVERRIDES, PRETRAINING, REPOSITORY

pytestmark = pytest.mark.slow  # starting a process takes seconds

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
#: tools/train_net.py on a machine of two cores; what a test adds happens in each of its processes.
TOOL = """
import os, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever shell has started this
sys.path.insert(0, {repository!r})
from imrsf_d2.compat.upstream import prepare
prepare()
from detectron2.utils import comm
from imrsf_d2.engine import launching
from imrsf_d2.engine.trainer import Trainer
from tests.tools.test_train_net import load_tool
launching.usable_cores = lambda: 2
run_step = Trainer.run_step

def step(self):
    run_step(self)
    happens(self)

Trainer.run_step = step
{happens}
if __name__ == "__main__":
    sys.exit(load_tool("train_net").main(sys.argv[1:]))
"""
NOTHING = "def happens(trainer): pass"


@pytest.fixture
def start(tiny_root, tmp_path):
    """Runs the tool as a command of its own; returns what came of it."""

    def run(launcher, *arguments, happens=NOTHING, output="run"):
        script = tmp_path / "tool.py"
        script.write_text(TOOL.format(repository=str(REPOSITORY), happens=textwrap.dedent(happens)))
        environment = {
            **os.environ,
            "DETECTRON2_DATASETS": str(tiny_root),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(REPOSITORY),
            "PYTHONWARNINGS": "ignore",
        }
        return subprocess.run(
            [
                *launcher,
                str(script),
                "--config-file",
                str(DEMO_CONFIG),
                *arguments,
                *OVERRIDES,
                *PRETRAINING,
                "DATASETS.TEST",
                "()",
                "SOLVER.CHECKPOINT_PERIOD",
                "100",
                "OUTPUT_DIR",
                str(tmp_path / output),
            ],
            capture_output=True,
            text=True,
            timeout=300,
            env=environment,
        )

    return run


PYTHON = [sys.executable]
TWO = ("--num-gpus", "2", "--dist-url", "auto")


def weights(folder):
    model = torch.load(folder / "model_final.pth", weights_only=True)["model"]
    return torch.cat([value.flatten().double() for value in model.values()])


def test_torchrun_and_num_gpus_are_one_training_interrupted_or_not(start, tmp_path):
    whole = start(TORCHRUN, output="torchrun")
    assert whole.returncode == 0, whole.stderr
    folder = tmp_path / "torchrun"
    assert {"model_final.pth", "log.txt", "log.txt.rank1", "metrics.json"} <= {path.name for path in folder.iterdir()}
    assert "Rank of current process: 1. World size: 2" in (folder / "log.txt.rank1").read_text()
    assert len((folder / "metrics.json").read_text().splitlines()) == 1  # of one training run, not of two

    # A real signal to the parent alone, while a process is in the second iteration.
    stopped = start(
        PYTHON,
        *TWO,
        happens="""
        def happens(trainer):
            if trainer.iter == 1 and comm.get_rank() == 0:
                os.kill(os.getppid(), signal.SIGTERM)
                time.sleep(1)
        """,
    )
    assert stopped.returncode == 143, stopped.stderr
    assert stopped.stderr.endswith("interrupted at iteration 2; the same command with --resume goes on from here.\n")
    assert "Traceback" not in stopped.stderr
    assert sorted(path.name for path in (tmp_path / "run").glob("*.pth")) == ["model_interrupted.pth"]

    resumed = start(TORCHRUN, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert torch.allclose(weights(tmp_path / "run"), weights(folder), rtol=1e-6, atol=1e-8)
    rates = [json.loads((path / "metrics.json").read_text().splitlines()[-1])["lr"] for path in (folder, tmp_path / "run")]
    assert rates[0] == rates[1]


def fail_in_one_process(args):
    if comm.get_rank() == 1:
        raise ValueError("not enough\nto unpack")
    comm.synchronize()


def test_the_mistake_that_stopped_one_process_is_shown_not_that_another_waited_for_it(monkeypatch):
    monkeypatch.setattr("imrsf_d2.engine.launching.usable_cores", lambda: 2)
    args = argparse.Namespace(config_file=DEMO_CONFIG, opts=[], num_gpus=2, num_machines=1, machine_rank=0, dist_url="auto")
    with pytest.raises(ProcessRaisedException, match="^process 1 failed:\n(.*\n)*.*ValueError: not enough\nto unpack"):
        launch_run(args, fail_in_one_process)


def test_ctrl_c_under_torchrun_leaves_a_checkpoint(start, tmp_path):
    stopped = start(
        TORCHRUN,
        happens="""
        def happens(trainer):
            if trainer.iter == 2 and comm.get_rank() == 0:
                os.kill(os.getppid(), signal.SIGINT)
                time.sleep(1)
        """,
    )
    assert stopped.returncode != 0
    assert stopped.stderr.count("interrupted at iteration 3; the same command with --resume goes on from here.") == 1
    assert sorted(path.name for path in (tmp_path / "run").glob("*.pth")) == ["model_interrupted.pth"]


def test_torchrun_scores_the_subsets_once_and_one_process_reports(tiny_root, tmp_path):
    torch.manual_seed(1)
    torch.save({"model": build_model(load_config(DEMO_CONFIG, OVERRIDES)).state_dict()}, tmp_path / "weights.pth")
    result = subprocess.run(
        [
            *TORCHRUN,
            str(REPOSITORY / "tools/evaluate_modalities.py"),
            "--config-file",
            str(DEMO_CONFIG),
            "--output",
            str(tmp_path / "out"),
            "--subsets",
            "rgb,sar+dsm",
            "--resamples",
            "0",
            *OVERRIDES,
            "MODEL.WEIGHTS",
            str(tmp_path / "weights.pth"),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=tmp_path,
        env={**os.environ, "DETECTRON2_DATASETS": str(tiny_root), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)},
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("Report: ") == 1
    assert "device cpu, 2 processes;" in (tmp_path / "out" / "modalities.md").read_text()
    rows = json.loads((tmp_path / "out" / "modalities.json").read_text())["rows"]
    assert [(row["modalities"], row["images"]) for row in rows] == [(["rgb"], NUM_VAL), (["sar", "dsm"], NUM_VAL)]
