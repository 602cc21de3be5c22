"""Cloud-Optimized GeoTIFFs, written part by part: memory does not follow their size."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import numpy as np
import rasterio
import rasterio.shutil
from rasterio.errors import RasterioIOError
from rasterio.io import DatasetWriter

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
        _check_complete(tiled)
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
        _check_complete(target)


def _check_complete(path: str) -> None:
    """See that a GeoTIFF that was closed is on the disk with all its tiles: GDAL does not always say that the disk was full.

    Raises:
        RasterioIOError: if it is not.
    """
    with open(path, "rb") as closed:
        os.fsync(closed.fileno())
        size = os.fstat(closed.fileno()).st_size
    with rasterio.open(path) as file:
        levels: list[int | None] = [None, *range(len(file.overviews(1)))]
    for level in levels:
        options = {} if level is None else {"overview_level": level}
        with rasterio.open(path, **options) as file:
            rows, columns = (-(-side // TILE_PX) for side in file.shape)
            for row in range(rows):
                for column in range(columns):
                    first, length = (
                        int(file.get_tag_item(f"BLOCK_{what}_{column}_{row}", "TIFF", bidx=1) or 0)
                        for what in ("OFFSET", "SIZE")
                    )
                    if not first or first + length > size:
                        raise RasterioIOError("it was closed, but is incomplete")


@contextlib.contextmanager
def _removed(path: str) -> Iterator[None]:
    """Remove a file at the end, whatever happens."""
    try:
        yield
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.remove(path)
