"""COCO files, each parsed once per process however many loaders and evaluators read it."""

from __future__ import annotations

import functools
import json
import marshal
import os
from collections.abc import Mapping

from imrsf_d2.utils.errors import InputError
from imrsf_d2.utils.garbage import without_collection

__all__ = ["FileVersion", "file_version", "read_annotation_file"]

#: A file's path and the marks by which a rewritten one is told from it.
FileVersion = tuple[str, int, int, int, int]
#: Files that are kept: those of a training run and its test sets. Each takes about as much memory as on disk.
MOST_FILES = 4


def file_version(path: str | os.PathLike) -> FileVersion:
    """What identifies the content of a file without reading it.

    Raises:
        FileNotFoundError: if there is no such file.
    """
    state = os.stat(path)
    return os.path.abspath(path), state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns


def read_annotation_file(path: str | os.PathLike) -> dict:
    """Read a COCO file.

    Args:
        path: the JSON file.

    Returns:
        The content of the file, with the lists `images`, `annotations` and `categories`, whose items are not checked. It
        is the caller's own: changing it does not affect the next caller.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: naming the file, what was found and what was expected.
    """
    # Kept as bytes: nobody can change them by mistake, and worker processes do not copy them page by page as they do
    # objects, whose reference counts change.
    packed = _packed(file_version(path))
    with without_collection():
        return marshal.loads(packed)


@functools.lru_cache(maxsize=MOST_FILES)
def _packed(version: FileVersion) -> bytes:
    with without_collection():
        return marshal.dumps(_parse(version[0]))


def _parse(path: str) -> dict:
    try:
        with open(path, encoding="utf-8-sig") as file:
            data = json.load(file)
    except (ValueError, RecursionError) as error:  # JSONDecodeError, UnicodeDecodeError
        raise InputError(f"{path} is not JSON ({error}), expected a COCO file; fetch it again.") from error
    for key in ("images", "annotations", "categories"):
        if not isinstance(data, Mapping) or not isinstance(data.get(key), list):
            raise InputError(
                f"{path} has no list {key!r}, expected a COCO file with 'images', 'annotations' and 'categories'."
            )
    if not data["images"]:
        raise InputError(f"{path} has no images, expected at least one in 'images'.")
    return data
