"""Whether a raster has changed since it was last looked at, with all files that it is read from."""

from __future__ import annotations

import os
from collections.abc import Iterator

import rasterio

from imrsf_d2.geo.gdal import GDAL_ERRORS, quiet_gdal
from imrsf_d2.utils.file_state import file_state

__all__ = ["raster_state"]

#: Masks and metadata beside a file.
SIDE_CARS = (".msk", ".aux.xml")


def raster_state(path: str | os.PathLike[str]) -> tuple[tuple[int, int], ...]:
    """Size in bytes and time of change in ns of each file that a raster is read from, itself first.

    These are its side-cars, and the sources of a VRT, be it a file or a name such as `vrt://scene.tif?a_srs=EPSG:32633`.

    Returns:
        Nothing if there is no file, as for an address on a server.
    """
    path = os.fspath(path)
    states = (file_state(file) for file in dict.fromkeys((path, *_files(path, set()))))
    return tuple(state for state in states if state is not None)


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
