"""Opening raster files with GDAL set up for many small ones, and its errors as one of ours."""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections import OrderedDict
from collections.abc import Iterator

import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from imrsf_d2.utils.errors import InputError

__all__ = ["GDAL_ERRORS", "OpenFiles", "RasterError", "opened", "quiet_gdal"]

#: What rasterio raises where GDAL fails; some of GDAL's own errors pass through it unchanged.
GDAL_ERRORS = (RasterioError, CPLE_BaseError)

#: What GDAL may keep of open files, decoded, MiB.
DECODED_MIB = 256


class RasterError(InputError):
    """A file that cannot be read: truncated, corrupt, not a raster, or gone. `path` and `reason` say which and why."""

    # One positional argument is enough, so that the error survives the way out of a data loader's worker process.
    def __init__(self, message: str, path: str = "", reason: str = ""):
        super().__init__(message)
        self.path, self.reason = path, reason


@contextlib.contextmanager
def opened(path: str | os.PathLike, what: str) -> Iterator[rasterio.DatasetReader]:
    """An open raster.

    Args:
        what: what is read from it, for the message.

    Raises:
        RasterError: if anything goes wrong with the file while it is open.
    """
    with _errors_of(path, what), quiet_gdal(), rasterio.open(path) as file:
        yield file


class OpenFiles:
    """The latest raster files that were read, left open: what GDAL has decoded of them need not be decoded again.

    Not for several threads at a time, as GDAL's handles are not.

    Args:
        number: how many are left open.
    """

    def __init__(self, number: int):
        self._number = number
        self._files: OrderedDict[str, rasterio.DatasetReader] = OrderedDict()

    @contextlib.contextmanager
    def opened(self, path: str | os.PathLike, what: str) -> Iterator[rasterio.DatasetReader]:
        """As `opened`."""
        path = os.fspath(path)
        # A user's own limit goes before ours; GDAL's default is a twentieth of the machine's memory.
        limit = {} if "GDAL_CACHEMAX" in os.environ else {"GDAL_CACHEMAX": DECODED_MIB}
        with _errors_of(path, what), quiet_gdal(), rasterio.Env(**limit):
            if path not in self._files:
                self._files[path] = rasterio.open(path)
            self._files.move_to_end(path)
            while len(self._files) > self._number:
                self._files.popitem(last=False)[1].close()
            yield self._files[path]


@contextlib.contextmanager
def _errors_of(path: str | os.PathLike, what: str) -> Iterator[None]:
    path = os.fspath(path)
    try:
        yield
    except (*GDAL_ERRORS, OSError) as error:  # before rasterio 1.4, a RasterioIOError is an OSError alone
        # rasterio's own words are often "See previous exception for details".
        reason = str(error.__cause__ or error).rstrip(".")
        raise RasterError(
            f"cannot read {path} ({what}): {reason}. The file may be truncated or corrupt; download or create it again.",
            path,
            reason,
        ) from error


@contextlib.contextmanager
def quiet_gdal() -> Iterator[None]:
    """GDAL set up for many small files, and without remarks that would come again in every epoch."""
    log = logging.getLogger("rasterio._env")
    drop = logging.Filter("nothing has this name")  # what is fatal arrives as an exception
    log.addFilter(drop)
    try:
        # TRUE: GDAL need not list a folder of thousands of tiles to find a file's side-cars; it still asks for each.
        with warnings.catch_warnings(), rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="TRUE"):
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            yield
    finally:
        log.removeFilter(drop)
