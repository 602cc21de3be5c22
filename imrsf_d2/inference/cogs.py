"""Cloud-Optimized GeoTIFFs, written part by part: memory does not follow their size."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import numpy as np
import rasterio
import rasterio.shutil
from rasterio.io import DatasetWriter
from rasterio.windows import Window

from imrsf_d2.geo.gdal import quiet_gdal
from imrsf_d2.geo.grids import Grid
from imrsf_d2.inference.write_errors import written
from imrsf_d2.utils.atomic import replacing

__all__ = ["cog"]

TILE_PX = 512


@contextlib.contextmanager
def cog(
    path: str | os.PathLike, grid: Grid, *, count: int, dtype: str, nodata: float, overviews: str
) -> Iterator[DatasetWriter]:
    """A GeoTIFF to be written in parts, in any order; the file appears when the block ends without an error.

    Args:
        path: of the GeoTIFF.
        grid: its pixels.
        count: of bands.
        dtype: of their values.
        nodata: what stands for no data.
        overviews: how the overviews are resampled, by GDAL's name.

    Yields:
        An open file of the same bands, of which tags, descriptions and palette are taken over.

    Raises:
        InputError: if it cannot be written.
    """
    with replacing(path) as target, contextlib.ExitStack() as stack, quiet_gdal(), written(path):
        tiled = f"{target}.tiled.tif"  # beside the output, where there is room for it
        stack.enter_context(_removed(tiled))
        predictor = 3 if np.dtype(dtype).kind == "f" else 1
        with rasterio.open(
            tiled,
            "w",
            driver="GTiff",
            count=count,
            dtype=dtype,
            height=grid.height,
            width=grid.width,
            crs=grid.crs,
            transform=grid.transform,
            nodata=nodata,
            tiled=True,
            blockxsize=TILE_PX,
            blockysize=TILE_PX,
            interleave="pixel",
            compress="deflate",
            zlevel=1,
            predictor=predictor,
            bigtiff="if_safer",
        ) as file:
            yield file
        rasterio.shutil.copy(
            tiled,
            target,
            driver="COG",
            compress="deflate",
            predictor="floating_point" if predictor == 3 else "no",
            blocksize=TILE_PX,
            bigtiff="if_safer",
            overview_resampling=overviews,
        )
        with rasterio.open(target) as file:  # the last tile is the end of the file: GDAL may not say that the disk is full
            file.read(window=Window(grid.width - 1, grid.height - 1, 1, 1))


@contextlib.contextmanager
def _removed(path: str) -> Iterator[None]:
    """Remove a file at the end, whatever happens."""
    try:
        yield
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.remove(path)
