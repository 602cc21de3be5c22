"""Objects put together, traced and written while blocks are still computed, by a process of its own: Python's threads would
take turns with those that feed the model."""

from __future__ import annotations

import shutil
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from imrsf_d2.inference.detection_files import load_detections
from imrsf_d2.inference.detections import Detection
from imrsf_d2.inference.outputs import Watcher
from imrsf_d2.inference.plan import ScenePlan
from imrsf_d2.inference.vector_files import write_features
from imrsf_d2.utils.console import quiet_console
from imrsf_d2.utils.errors import is_user_error
from imrsf_d2.utils.processes import SPAWN, end_with_parent, interrupts_held

__all__ = ["Follower", "Written"]

#: Seconds between looks for the next block.
POLL_S = 0.05


@dataclass(frozen=True)
class Written:
    """What has been written.

    Args:
        path: the vector file.
        number: of objects.
        watcher: what was given, after all objects have passed it.
    """

    path: Path
    number: int
    watcher: Watcher | None


class Follower:
    """Writes a vector file of a scene's objects in a process of its own, which waits for block after block.

    The process ends with `close`, or with the process that started it, however that ends.

    Args:
        plan: of the scene; its objects are written.
        files: of its blocks, in their order, which somebody is going to make; each is complete as soon as it is there.
        path: of the vector file; its folder is this object's own, and is removed by `close`.
        watcher: all objects pass it; must be picklable.
    """

    def __init__(self, plan: ScenePlan, files: Sequence[Path], path: Path, watcher: Watcher | None = None):
        self._path = path
        self._written: Written | None = None
        shutil.rmtree(path.parent, ignore_errors=True)  # what a kill has left
        path.parent.mkdir()
        self._outcome, outcome = SPAWN.Pipe(duplex=False)
        self._process = SPAWN.Process(target=_follow, args=(outcome, plan, files, path, watcher), daemon=True)
        with interrupts_held():
            self._process.start()
        outcome.close()

    def check(self) -> None:
        """See that the process is well.

        Raises:
            Exception: what the process failed with.
        """
        if self._written is None and self._outcome.poll():
            self._written = self._receive()

    def finish(self) -> Written:
        """Wait until the file is written.

        Raises:
            Exception: what the process failed with.
        """
        if self._written is None:
            self._written = self._receive()
        return self._written

    def close(self) -> None:
        """End the process, and remove what it has written."""
        self._process.kill()
        self._process.join()
        self._outcome.close()
        shutil.rmtree(self._path.parent, ignore_errors=True)

    def __enter__(self) -> Follower:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _receive(self) -> Written:
        try:
            outcome = self._outcome.recv()
        except EOFError as error:
            self._process.join()
            raise RuntimeError(
                f"the process that writes {self._path} has ended with exit code {self._process.exitcode} (-9: killed, e.g. for lack of memory)."
            ) from error
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome


def _follow(outcome: Connection, plan: ScenePlan, files: Sequence[Path], path: Path, watcher: Watcher | None) -> None:
    """What the process does."""
    end_with_parent()
    with quiet_console():
        try:
            features = plan.features(_finished(files))
            crs = plan.scene.grid.crs
            assert crs is not None  # see `open_scene`
            number = write_features(path, features if watcher is None else watcher.watch(features), crs)
            outcome.send(Written(path, number, watcher))
        except Exception as error:
            if not is_user_error(error):
                error.add_note(traceback.format_exc())
            outcome.send(error)


def _finished(files: Sequence[Path]) -> Iterator[Mapping[int, Sequence[Detection]]]:
    for file in files:
        while not file.is_file():
            time.sleep(POLL_S)
        yield load_detections(file)
