"""Files that are either complete or absent."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import IO

__all__ = ["write_atomically", "write_text"]


def write_atomically(path: str | os.PathLike, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file under a temporary name, then rename: a crash or a kill leaves what stood there before.

    Args:
        path: the file; its folder is made if needed.
        write: gets the open binary file.
    """
    path = os.fspath(path)
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    # One fixed name per file: what a kill leaves behind is overwritten by the next attempt.
    temporary = path + ".tmp"
    try:
        with open(temporary, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.remove(temporary)
        raise


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write a UTF-8 text file atomically."""
    write_atomically(path, lambda file: file.write(text.encode("utf-8")))
