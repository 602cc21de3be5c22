"""All files that a raster is read from, and whether they have changed since they were last looked at."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

import rasterio

from imrsf_d2.geo.gdal import GDAL_ERRORS, quiet_gdal
from imrsf_d2.utils.file_state import file_state

__all__ = ["file_states", "raster_files", "raster_state"]

#: Masks and metadata beside a file.
SIDE_CARS = (".msk", ".aux.xml")


def raster_files(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """What a raster is read from, itself first: side-cars that it has or might have, and the sources of a VRT, be it a file or a
    name such as `vrt://scene.tif?a_srs=EPSG:32633`.

    Returns:
        The raster's name alone if it cannot be opened.
    """
    path = os.fspath(path)
    return tuple(dict.fromkeys((path, *_files(path, set()))))


def raster_state(path: str | os.PathLike[str]) -> tuple[tuple[int, int], ...]:
    """Size in bytes and time of change in ns of each file that a raster is read from; see `raster_files`.

    Returns:
        Nothing if there is no file, as for an address on a server.
    """
    return file_states(raster_files(path))


def file_states(files: Iterable[str]) -> tuple[tuple[int, int], ...]:
    """Size in bytes and time of change in ns of those files that are there."""
    return tuple(state for file in files if (state := file_state(file)) is not None)


def _files(path: str, seen: set[str]) -> Iterator[str]:
    """The files of a raster and of its sources, those of GDAL's list first."""
    seen.add(path)
    try:
        with quiet_gdal(), rasterio.open(path) as file:
            files = file.files
    except (*GDAL_ERRORS, OSError):  # whoever reads it says so
        return
    yield from files
    for name in files:
        yield from (name + ending for ending in SIDE_CARS)  # GDAL lists those of the raster, not of a VRT's sources
        if name not in seen and name.lower().endswith(".vrt"):
            yield from _files(name, seen)
