"""What stopped one of several processes, as it was: torch hands on the text of one traceback, not always of the first."""

from __future__ import annotations

import pickle
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from detectron2.utils import comm
from torch.multiprocessing import ProcessRaisedException

from imrsf_d2.utils.atomic import write_atomically
from imrsf_d2.utils.errors import InputError, Interrupted, is_mendable

__all__ = ["noting_errors", "raise_what_stopped"]

Result = TypeVar("Result")


@dataclass(frozen=True)
class _Note:
    """What stopped a process: the error itself, if it is for the user or an orderly end, and its traceback."""

    seconds: float  # of the machine's clock
    rank: int  # on this machine
    error: BaseException | None
    text: str


def noting_errors(work: Callable[[], Result], folder: str) -> Result:
    """Do a process's work, and leave a note of an error in `folder`, before the others can fail because of it."""
    try:
        return work()
    except (Exception, Interrupted) as error:
        kept = error if isinstance(error, Interrupted) or is_mendable(error) else None
        try:
            pickle.loads(pickle.dumps(kept))
        except Exception:  # of whatever a class of errors does with its arguments
            kept = InputError(str(error))
        note = _Note(time.monotonic(), comm.get_local_rank(), kept, traceback.format_exc())
        write_atomically(Path(folder) / f"{note.rank}.pickle", lambda file: pickle.dump(note, file))
        raise


def raise_what_stopped(folder: str, failure: Exception | None, received: int | None) -> None:
    """Raise what ended the processes: the first error that a user can mend, an orderly end, or the first mistake of ours.

    Args:
        folder: of their notes; nothing is raised if there is none and nothing failed.
        failure: what torch says of the process that it saw end first, which often has only waited for another in vain.
        received: the signal that this process has passed on to them.

    Raises:
        UserError, OSError: as a process raised it.
        Interrupted: if they were interrupted.
        ProcessRaisedException, ProcessExitedException: of any other error, with its traceback.
    """
    notes = sorted(
        (pickle.loads(path.read_bytes()) for path in Path(folder).glob("*.pickle")), key=lambda note: note.seconds
    )
    stops = [note.error for note in notes if isinstance(note.error, Interrupted)]
    for note in notes:
        if note.error is not None and note.error not in stops:
            raise note.error from failure
    # If some process has failed before another one was told to end, that is what happened.
    if (received and (failure or stops)) or (stops and notes[0].error in stops):
        raise Interrupted(received or stops[0].number, stops[0].message if stops else "")
    if notes:
        raise ProcessRaisedException(f"process {notes[0].rank} failed:\n{notes[0].text}", notes[0].rank, 0)
    if failure:
        raise failure
