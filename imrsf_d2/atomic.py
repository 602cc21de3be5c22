"""Files that are either complete or absent."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import IO

__all__ = ["replacing", "write_atomically", "write_text"]


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[str]:
    """A temporary name beside `path` to write to; takes the place of `path` when the block ends without an error.

    Args:
        path: the file; its folder is made if needed. A crash or a kill leaves what stood there before.

    Yields:
        The temporary name, `path` with `.tmp` appended.
    """
    path = os.fspath(path)
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    # One fixed name per file: what a kill leaves behind is overwritten by the next attempt.
    temporary = path + ".tmp"
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.remove(temporary)
        raise


def write_atomically(path: str | os.PathLike, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file and see it on disk before it takes its name (see `replacing`).

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
