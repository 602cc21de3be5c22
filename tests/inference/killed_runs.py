"""A program that runs the command in processes of its own and kills each at another moment; see test_command_runs.py.

    python -m tests.inference.killed_runs FOLDER MOMENT [MOMENT ...] -- WORDS OF THE COMMAND ...

A moment is a number of events: windows that the model has seen, files that have taken their place, and vector files begun.
FOLDER gets a line per window that was computed, with the number of the run.
"""

import importlib
import os
import signal
import sys
from pathlib import Path

import pyogrio.raw

from imrsf_d2.commands.predict import main
from imrsf_d2.compat.upstream import prepare
from imrsf_d2.inference.predictor import WindowPredictor
from imrsf_d2.utils import atomic
from tests.inference.command import set_block_side


def run(log: Path, number: int, last_event: int | None, words: list[str]) -> int:
    """Run the command, and kill this process at an event."""
    events = 0

    def count() -> None:
        nonlocal events
        events += 1
        if events == last_event:
            os.kill(os.getpid(), signal.SIGKILL)

    def counted(function):
        def call(*args, **kwargs):
            count()
            return function(*args, **kwargs)

        return call

    predict = WindowPredictor._compute

    def logged(self, batch, *args, **kwargs):
        with open(log, "a") as file:
            file.writelines(f"{number} {window.index}\n" for window, _ in batch.held)
        count()
        return predict(self, batch, *args, **kwargs)

    WindowPredictor._compute = logged
    atomic.os.replace, pyogrio.raw.write = counted(os.replace), counted(pyogrio.raw.write)
    return main(words)


if __name__ == "__main__":
    split = sys.argv.index("--")
    folder, moments, words = Path(sys.argv[1]), sys.argv[2:split], sys.argv[split + 1 :]
    prepare()  # once for all
    importlib.import_module("imrsf_d2.engine.scene_mapping")
    set_block_side(100)
    for number, moment in enumerate([*map(int, moments), None]):
        if (child := os.fork()) == 0:
            os._exit(run(folder / "windows.txt", number, moment, words))
        _, status = os.waitpid(child, 0)
        print(f"exit {os.waitstatus_to_exitcode(status)}", flush=True)
