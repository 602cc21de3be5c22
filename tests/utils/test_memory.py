"""The memory that is said to have been held is in bytes, whatever the system counts in."""

import logging
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from detectron2.utils.events import EventStorage

from imrsf_d2.engine import scene_mapping
from imrsf_d2.engine.progress import ProgressWriter
from imrsf_d2.utils import memory
from imrsf_d2.utils.memory import peak_memory


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_it_is_what_linux_says_of_the_process():
    held = np.ones(50 << 20, np.uint8)
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    assert held.nbytes < peak_memory() == pytest.approx(1024 * int(line.split()[1]), rel=0.02)


@pytest.mark.parametrize("platform, counted", [("linux", 3 << 20), ("darwin", 3 << 30)])
def test_training_and_mapping_say_the_same_on_every_system(monkeypatch, caplog, platform, counted):
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(memory.resource, "getrusage", lambda who: SimpleNamespace(ru_maxrss=counted))
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with EventStorage(9) as storage, caplog.at_level(logging.INFO):
        storage.put_scalar("total_loss", 3.0)
        ProgressWriter(max_iter=130).write()
        scene_mapping._tell(3, 9, 20, 60.0)
    trained, mapped = caplog.messages
    assert trained.endswith("memory 3.0 GiB") and mapped.endswith(" to go, 3.0 GiB of memory at most.")
