"""Whether a file has changed since it was last looked at: by its size and time, or by its content."""

from __future__ import annotations

import hashlib
import os

__all__ = ["file_digest", "file_size", "file_state"]


def file_state(path: str | os.PathLike[str]) -> tuple[int, int] | None:
    """Size in bytes and time of the last change in ns; of a folder, which a Zarr is, that of all files in it.

    Returns:
        None if there is nothing, or if the path is a name that only GDAL understands.
    """
    try:
        state = os.stat(path)
    except (OSError, ValueError):  # ValueError: no path can hold a null byte
        return None
    if not os.path.isdir(path):
        return state.st_size, state.st_mtime_ns
    inside = [os.stat(os.path.join(folder, name)) for folder, _, names in os.walk(os.fspath(path)) for name in names]
    return sum(state.st_size for state in inside), max((state.st_mtime_ns for state in inside), default=state.st_mtime_ns)


def file_size(path: str | os.PathLike[str]) -> int | None:
    """Size of a file in bytes; None if there is none."""
    state = file_state(path)
    return None if state is None else state[0]


def file_digest(path: str | os.PathLike[str]) -> str:
    """What stands for the content of a file: its SHA-256."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
