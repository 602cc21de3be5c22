"""What a process remembers of the datasets of a run, so that checks, loaders and evaluators do not each ask the disk."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterable

from imrsf_d2.utils.garbage import without_collection

__all__ = ["find_file", "is_gdal_name", "load_once", "may_exist"]

#: The device and inode of each file that was found, by its path.
_found: dict[str, tuple[int, int]] = {}


def load_once(names: Iterable[str]) -> dict[str, list[dict]]:
    """Load registered datasets for a run: until the next call, `DatasetCatalog.get` repeats what they hold now.

    A dataset is read again once it is registered anew, or $DETECTRON2_DATASETS or the working directory has changed, as
    its root may depend on them.

    Args:
        names: of registered datasets.

    Returns:
        Name -> dataset dicts; the caller's own, as are those of every later `DatasetCatalog.get`.
    """
    # Not at the top of the module: what looks for files alone does not need Detectron2, which takes seconds to import.
    from detectron2.data import DatasetCatalog

    _found.clear()
    samples = {}
    for name in dict.fromkeys(names):
        load = DatasetCatalog[name]
        DatasetCatalog[name] = _Remembered(load.load if isinstance(load, _Remembered) else load)
        samples[name] = DatasetCatalog.get(name)
    return samples


def find_file(path: str | os.PathLike) -> tuple[int, int] | None:
    """The device and inode of a file, the same for all its names, links included; None if there is no such file.

    A file that is there is looked for once; one that is missing every time, as its user may put it there.
    """
    path = os.fspath(path)
    if path not in _found:
        try:
            status = os.stat(path)
        except (OSError, ValueError):  # ValueError: no path can hold a null byte
            return None
        _found[path] = status.st_dev, status.st_ino
    return _found[path]


def is_gdal_name(path: str) -> bool:
    """Whether a path is a name that GDAL alone understands: of a part of an archive or file, or of a URL."""
    return path.startswith("/vsi") or ":" in os.path.splitdrive(path)[1]


def may_exist(path: str | os.PathLike) -> bool:
    """False if there is certainly no such file: whether there is what a name of GDAL's means is not known."""
    path = os.fspath(path)
    return is_gdal_name(path) or find_file(path) is not None


class _Remembered:
    """In the place of a registered function, which it calls once.

    Args:
        load: returns dataset dicts.
    """

    def __init__(self, load: Callable[[], Iterable[dict]]):
        self.load = load
        self._packed: bytes | None = None
        self._place: tuple[str | None, str] | None = None

    def __call__(self) -> list[dict]:
        place = os.environ.get("DETECTRON2_DATASETS"), os.getcwd()
        if self._packed is None or place != self._place:
            # Kept as bytes: nobody can change them by mistake, and worker processes do not copy them page by page as
            # they do objects, whose reference counts change.
            self._packed, self._place = pickle.dumps(list(self.load()), pickle.HIGHEST_PROTOCOL), place
        with without_collection():
            return pickle.loads(self._packed)
