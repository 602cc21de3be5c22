"""Raster files that are either complete or absent."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import numpy as np
import rasterio
from rasterio.crs import CRS
from rasterio.io import DatasetWriter, MemoryFile
from rasterio.transform import Affine

from imrsf_d2.geo.gdal import quiet_gdal
from imrsf_d2.utils.atomic import replacing

__all__ = ["new_raster", "write_raster"]


@contextlib.contextmanager
def new_raster(path: str | os.PathLike, **profile: object) -> Iterator[DatasetWriter]:
    """A compressed GeoTIFF to write to, with its mask inside; the file appears, whole, when the block ends without an error.

    Args:
        path: the file; its folder is made if needed.
        profile: as `rasterio.open` takes it.

    Raises:
        OSError: if there is no room for it, for instance.
    """
    # In memory first: what fails when GDAL closes a file, as on a full disk, is raised nowhere. Python's own writes do raise.
    with quiet_gdal(), rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), MemoryFile() as memory:
        with memory.open(driver="GTiff", compress="deflate", zlevel=1, **profile) as file:
            yield file
        with replacing(path) as temporary, open(temporary, "wb") as on_disk:
            on_disk.write(memory.getbuffer())


def write_raster(
    path: str | os.PathLike,
    bands: np.ndarray,
    *,
    crs: CRS | str | None = None,
    transform: Affine | None = None,
    nodata: float | None = None,
) -> None:
    """Write a compressed GeoTIFF, under a temporary name until it is complete.

    Args:
        path: the file; its folder is made if needed.
        bands: [H, W] or [C, H, W], of any raster data type.
        crs, transform: where it lies; None leaves it without a georeference.
        nodata: the file's no-data tag, or None for none.
    """
    bands = bands[None] if bands.ndim == 2 else bands
    with new_raster(
        path,
        count=len(bands),
        height=bands.shape[1],
        width=bands.shape[2],
        dtype=bands.dtype,
        crs=crs,
        transform=transform,
        nodata=nodata,
    ) as file:
        file.write(bands)
