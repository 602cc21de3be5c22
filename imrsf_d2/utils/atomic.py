"""Files that are either complete or absent, even if several processes write them at the same time."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from typing import IO

__all__ = ["remove_temporaries", "replacing", "replacing_together", "write_atomically", "write_text"]

#: What `replacing` appends: writers of one file have a name each.
_TEMPORARY = re.compile(r".\.[0-9a-f]{12}\.tmp$")
#: Seconds after which a temporary file is abandoned: an unfinished write would have changed it since.
_ABANDONED_S = 24 * 3600
#: Errors of a write that do not say which file they are about.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[str]:
    """A temporary name beside `path` to write to; takes the place of `path` when the block ends without an error.

    Of several writers at the same time, the last one to end wins, whole.

    Args:
        path: the file; its folder is made if needed. A symbolic link stays, and the file that it leads to is replaced. A
            crash or a kill leaves the old file in place. A temporary file that a kill leaves is removed a day later, by the
            next process that writes into the folder.

    Yields:
        The temporary name, that of the file with twelve random digits and `.tmp` appended; no such file exists yet.
    """
    path = _followed(path)
    folder = os.path.dirname(path) or "."
    os.makedirs(folder, exist_ok=True)
    _remove_abandoned(os.path.abspath(folder))
    # The name alone is new: the writer makes the file, with the permissions that it gives to any file.
    temporary = f"{path}.{secrets.token_hex(6)}.tmp"
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException as error:
        if isinstance(error, OSError) and error.errno in _FULL and error.filename is None:
            error.filename = path
        with contextlib.suppress(FileNotFoundError):
            os.remove(temporary)
        raise


@contextlib.contextmanager
def replacing_together(folder: str | os.PathLike) -> Iterator[Callable[[str | os.PathLike], str]]:
    """Several files that take their places together, when all are complete.

    Args:
        folder: where they are made, each under its own name; best on the disk of their places, and removed at the end,
            whatever happens.

    Yields:
        What gives the path to write to for the path of a file. The first one asked for is the last to take its place.
    """
    folder = os.fspath(folder)
    places: dict[str, str] = {}

    def made_at(path: str | os.PathLike) -> str:
        path = os.fspath(path)
        made = os.path.join(folder, os.path.basename(path))
        places[made] = path
        return made

    shutil.rmtree(folder, ignore_errors=True)  # what a kill has left
    os.makedirs(folder)
    try:
        yield made_at
        for made, path in reversed(places.items()):
            _take_place(made, _followed(path))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _followed(path: str | os.PathLike) -> str:
    """The file that a symbolic link leads to, there or not; any other path as it is."""
    return os.path.realpath(path) if os.path.islink(path) else os.fspath(path)


def _take_place(made: str, path: str) -> None:
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)  # where a link leads
    try:
        os.replace(made, path)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with replacing(path) as temporary:  # a link to another disk
            shutil.copyfile(made, temporary)


@functools.cache  # a folder of many tiles is listed once, not before each of them
def _remove_abandoned(folder: str) -> None:
    """Remove what killed writers left in a folder, if it is so old that nobody writes to it any more."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:  # failing to tidy up must not stop the write
        for entry in entries:
            if _TEMPORARY.search(entry.name) and time.time() - entry.stat(follow_symlinks=False).st_mtime > _ABANDONED_S:
                os.remove(entry.path)


def remove_temporaries(folder: str | os.PathLike) -> None:
    """Remove what killed writers left in a folder and all below it, however new; for one that nobody else writes to."""
    for parent, _, names in os.walk(os.fspath(folder)):
        for name in filter(_TEMPORARY.search, names):
            with contextlib.suppress(FileNotFoundError):
                os.remove(os.path.join(parent, name))


def write_atomically(path: str | os.PathLike, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file and flush it to disk before it takes its name (see `replacing`).

    Args:
        path: the file.
        write: gets the open binary file.
    """
    with replacing(path) as temporary, open(temporary, "wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write a UTF-8 text file atomically."""
    write_atomically(path, lambda file: file.write(text.encode("utf-8")))
