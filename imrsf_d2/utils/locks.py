"""Locks that keep several processes out of one folder, and that end with the process, however it ends."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from imrsf_d2.utils.errors import InputError, NotAFolderError, OccupiedError

__all__ = ["LOCK", "make_folder", "sole_user", "take_lock"]

#: Of a file system that has no locks.
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
#: The file of a folder that `sole_user` locks.
LOCK = ".lock"


def take_lock(file: IO, *, shared: bool = False) -> None:
    """Lock an open file until it is closed; on a network file system without locks nobody is kept away.

    Args:
        shared: with others that share it, too.

    Raises:
        BlockingIOError: if another process has it.
    """
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise


def make_folder(output: Path) -> None:
    """Make an output folder if it is not there.

    Raises:
        NotAFolderError: if it, or a folder that it lies in, is a file.
        InputError: if it cannot be made.
    """
    # lexists: a broken link is in the way, too.
    if not (there := next(place for place in (output, *output.absolute().parents) if os.path.lexists(place))).is_dir():
        raise NotAFolderError(
            f"the output {output} cannot be made: {there} is a file, expected a folder. Choose another output."
        )
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"the output {output} cannot be made in {there}: {error.strerror}. Choose another output, or a folder that you may "
            "write to."
        ) from error


@contextlib.contextmanager
def sole_user(output: Path) -> Iterator[None]:
    """In the block, no other process that asks for it, too, writes to a folder, which is made if needed.

    Raises:
        OccupiedError: if another process does.
        InputError, NotAFolderError: see `make_folder`.
    """
    make_folder(output)
    path = output / LOCK
    try:
        file = open(path, "w")
    except OSError as error:
        raise InputError(
            f"cannot write to the output {output}: {error.strerror}. Choose another output, or a folder that you may write to."
        ) from error
    with file:
        try:
            take_lock(file)
            # One that has ended meanwhile has removed the file that it had locked.
            free = path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat())
        except BlockingIOError:
            free = False
        if not free:
            raise OccupiedError(f"{output} is in use: another process writes to it. Wait for it, or choose another output.")
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
