"""The error that stopped a run of several processes: torch passes on the text of one traceback, not always the first."""

from __future__ import annotations

import pickle
import re
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from detectron2.utils import comm
from torch.multiprocessing import ProcessExitedException, ProcessRaisedException

from imrsf_d2.utils.atomic import write_atomically
from imrsf_d2.utils.errors import InputError, Interrupted, is_user_error

__all__ = ["noting_errors", "raise_what_stopped"]

Result = TypeVar("Result")

#: How gloo and NCCL name the end of a process that they were connected to.
_LOST = re.compile(r"Connection (?:closed|reset) by peer(?: \[[^]\s]+\]:\d+)?|ncclRemoteError")


@dataclass(frozen=True)
class _Note:
    """What stopped a process: the error itself, if it is a user's error or an interruption, and its traceback.

    `lost` is what is said of the connection if the process ended only because another one had.
    """

    seconds: float  # on the machine's monotonic clock
    rank: int  # on this machine
    error: BaseException | None
    text: str
    lost: str = ""


def noting_errors(work: Callable[[], Result], folder: str) -> Result:
    """Do a process's work; if it fails, record the error in `folder` before other processes can fail because of it."""
    try:
        return work()
    except (Exception, Interrupted) as error:
        kept = error if isinstance(error, Interrupted) or is_user_error(error) else None
        try:
            pickle.loads(pickle.dumps(kept))
        except Exception:  # an error's class may do anything with its arguments
            kept = InputError(str(error))
        note = _Note(time.monotonic(), comm.get_local_rank(), kept, traceback.format_exc(), _lost_connection(error))
        write_atomically(Path(folder) / f"{note.rank}.pickle", lambda file: pickle.dump(note, file))
        raise


def _lost_connection(error: BaseException) -> str:
    """What an error says of the end of another process; empty if it is of something else."""
    found = _LOST.search(str(error)) if isinstance(error, RuntimeError) else None
    return found[0] if found else ""


def raise_what_stopped(folder: str, failure: Exception | None, received: int | None) -> None:
    """Raise the error that ended the processes: the first that a user can fix, else an interruption, else the first bug.

    Args:
        folder: holds the recorded errors; nothing is raised if there are none and nothing failed.
        failure: torch's error for the process that it saw end first, which often had only waited for another one.
        received: the signal that this process forwarded to them, if any.

    Raises:
        UserError, OSError: the error of a process.
        Interrupted: if they were interrupted.
        ProcessRaisedException, ProcessExitedException: after any other error, with its traceback.
        InputError: if the processes of this machine ended only because one of another machine had.
    """
    notes = sorted(
        (pickle.loads(path.read_bytes()) for path in Path(folder).glob("*.pickle")), key=lambda note: note.seconds
    )
    stops = [note.error for note in notes if isinstance(note.error, Interrupted)]
    for note in notes:
        if note.error is not None and note.error not in stops:
            raise note.error from failure
    # If a process failed before another one was interrupted, the failure is the reason.
    if (received and (failure or stops)) or (stops and notes[0].error in stops):
        raise Interrupted(received or stops[0].number, stops[0].message if stops else "")
    own = [note for note in notes if not note.lost]
    if notes and not own and not isinstance(failure, ProcessExitedException):
        raise InputError(
            f"another process of this run has ended, and the processes here with it ({notes[0].lost}). Its own error is in "
            "the output of the machine that it ran on. Training goes on from its last checkpoint with --resume."
        ) from failure
    notes = own
    if notes:
        raise ProcessRaisedException(f"process {notes[0].rank} failed:\n{notes[0].text}", notes[0].rank, 0)
    if failure:
        raise failure
