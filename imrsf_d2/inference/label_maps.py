"""Label maps as Cloud-Optimized GeoTIFFs, written block by block."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import rasterio
import rasterio.shutil
from rasterio.enums import ColorInterp
from rasterio.windows import Window

from imrsf_d2.geo.gdal import quiet_gdal
from imrsf_d2.geo.grids import Grid
from imrsf_d2.utils.atomic import replacing
from imrsf_d2.utils.errors import InputError

__all__ = ["NO_LABEL", "check_label_map_name", "label_map"]

TILE_PX = 512
#: What no data is in a label map.
NO_LABEL = 255


def check_label_map_name(path: str | os.PathLike) -> None:
    """See that a file name is one of a GeoTIFF.

    Raises:
        ValueError: if it is not.
    """
    if Path(path).suffix.lower() not in (".tif", ".tiff"):
        raise InputError(f"--output is {os.fspath(path)!r}, expected a name that ends in .tif: the model gives a label map.")


@contextlib.contextmanager
def _removed(path: str) -> Iterator[None]:
    """Remove a file at the end, whatever happens."""
    try:
        yield
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.remove(path)


@contextlib.contextmanager
def label_map(
    path: str | os.PathLike, grid: Grid, names: Sequence[str], colors: Sequence[Sequence[int]]
) -> Iterator[Callable[[np.ndarray, Window], None]]:
    """A label map to be written in parts, in any order; the file appears when the block ends without an error.

    Args:
        path: of the GeoTIFF.
        grid: of the map.
        names: of the classes.
        colors: (red, green, blue) of each class, 0 to 255.

    Yields:
        What writes a part: takes [H, W] class indices (255 = no data) and where they belong.
    """
    with replacing(path) as target, contextlib.ExitStack() as stack, quiet_gdal():
        tiled = f"{target}.tiled.tif"  # beside the output, where there is room for it
        stack.enter_context(_removed(tiled))
        with rasterio.open(
            tiled,
            "w",
            driver="GTiff",
            count=1,
            dtype="uint8",
            height=grid.height,
            width=grid.width,
            crs=grid.crs,
            transform=grid.transform,
            nodata=NO_LABEL,
            tiled=True,
            blockxsize=TILE_PX,
            blockysize=TILE_PX,
            compress="deflate",
            bigtiff="if_safer",
        ) as file:
            file.colorinterp = [ColorInterp.palette]
            palette = {i: (*map(int, color), 255) for i, color in enumerate(colors)}
            file.write_colormap(1, palette | {NO_LABEL: (0, 0, 0, 0)})
            file.update_tags(1, **{f"CLASS_{i}": name for i, name in enumerate(names)})
            yield lambda labels, window: file.write(labels, 1, window=window)
        rasterio.shutil.copy(tiled, target, driver="COG", compress="deflate", blocksize=TILE_PX, resampling="nearest")
