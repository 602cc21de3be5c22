"""Raster files that are either complete or absent."""

from __future__ import annotations

import os

import numpy as np
import rasterio
from rasterio.crs import CRS
from rasterio.transform import Affine

from imrsf_d2.utils.atomic import replacing

__all__ = ["write_raster"]


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
    with (
        replacing(path) as temporary,
        rasterio.open(
            temporary,
            "w",
            driver="GTiff",
            count=len(bands),
            height=bands.shape[1],
            width=bands.shape[2],
            dtype=bands.dtype,
            crs=crs,
            transform=transform,
            nodata=nodata,
            compress="deflate",
            zlevel=1,
        ) as file,
    ):
        file.write(bands)
