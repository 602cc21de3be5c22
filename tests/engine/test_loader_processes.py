"""The processes of a loader survive signals, and never keep the process that started them from ending."""

import os
import signal
import subprocess
import sys

import pytest
from torch.utils.data import DataLoader

from imrsf_d2.engine.loader_processes import undisturbed

#: An error that leaves a loader in use, in a process of its own.
FAILS = """
from torch.utils.data import DataLoader
from imrsf_d2.engine.loader_processes import undisturbed

if __name__ == "__main__":
    samples = iter(undisturbed(DataLoader(range(100), num_workers=2)))
    next(samples)
    raise RuntimeError("in the middle of an epoch")
"""


def test_an_error_ends_the_process_though_its_loader_is_in_use(tmp_path):
    script = tmp_path / "fails.py"
    script.write_text(FAILS)
    process = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60)
    assert process.returncode == 1 and "in the middle of an epoch" in process.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_does_not_end_a_loader(number):
    samples = iter(undisturbed(DataLoader(range(100), num_workers=1)))
    assert next(samples) == 0
    for worker in samples._workers:
        os.kill(worker.pid, number)
    assert [int(sample) for sample in samples] == list(range(1, 100))
