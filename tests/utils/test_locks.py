"""Folders that one process has at a time."""

import subprocess
import sys
from pathlib import Path

import pytest

from imrsf_d2.utils.errors import InputError, OccupiedError
from imrsf_d2.utils.locks import make_folder, sole_user

OTHER = """
import pathlib, sys
from imrsf_d2.utils.errors import OccupiedError
from imrsf_d2.utils.locks import sole_user
try:
    with sole_user(pathlib.Path(sys.argv[1])):
        print("free")
except OccupiedError as error:
    print(error)
"""


def other_process(folder):
    command = [sys.executable, "-c", OTHER, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def test_a_folder_has_one_user_at_a_time(tmp_path):
    folder = tmp_path / "new/out"
    with sole_user(folder):
        assert f"{folder} is in use: another process writes to it" in other_process(folder)
        assert "in use" in other_process(folder)  # the one that was refused has not taken the lock away
        with pytest.raises(OccupiedError, match="in use"), sole_user(folder):
            pass
    assert list(folder.iterdir()) == []
    assert other_process(folder) == "free\n"


def test_a_lock_that_a_kill_has_left_keeps_nobody_out(tmp_path):
    (tmp_path / ".lock").touch()
    with sole_user(tmp_path):
        pass


def test_a_folder_that_cannot_be_made_is_named():
    with pytest.raises(InputError, match="the output /proc/new/out cannot be made in /proc: ") as error:
        make_folder(Path("/proc/new/out"))
    assert "Errno" not in str(error.value)
