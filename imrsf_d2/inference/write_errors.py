"""What is said if a file cannot be written."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator

from pyogrio.errors import CRSError, DataLayerError, DataSourceError

from imrsf_d2.geo.gdal import GDAL_ERRORS
from imrsf_d2.utils.errors import InputError

__all__ = ["written"]


@contextlib.contextmanager
def written(path: str | os.PathLike) -> Iterator[None]:
    """Where GDAL writes a file: its errors say which file it was and how much room there is.

    Raises:
        InputError: in place of any error of GDAL's.
    """
    try:
        yield
    except (*GDAL_ERRORS, DataSourceError, DataLayerError, CRSError) as error:
        if isinstance(error, InputError):
            raise
        reason = str(error.__cause__ or error).rstrip(".")
        folder = os.path.dirname(os.path.abspath(path))
        free = shutil.disk_usage(folder).free / 2**20 if os.path.isdir(folder) else 0
        raise InputError(
            f"cannot write {os.fspath(path)}: {reason}. Its disk has {free:,.0f} MiB left. Make room, or name another place; what "
            "was there before is unchanged."
        ) from error
