"""Windows of a raster as separate files that differ from it in their extent alone."""

from __future__ import annotations

import os
from collections.abc import Sequence

import rasterio
from rasterio.enums import ColorInterp
from rasterio.transform import Affine

from imrsf_d2.data.geometry import Geometry
from imrsf_d2.geo.gdal import quiet_gdal
from imrsf_d2.geo.stored import read_stored
from imrsf_d2.geo.validity import read_own_mask
from imrsf_d2.geo.writing import new_raster
from imrsf_d2.utils.errors import InputError

__all__ = ["tile_windows", "write_crops"]

RGB = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)


def tile_windows(height: int, width: int, size: int | None) -> list[Geometry]:
    """The windows of `size` px that cover an image, row by row and without overlap; for None, one window of all of it.

    Raises:
        ValueError: if `size` does not divide height and width.
    """
    if size is None:
        return [Geometry(0, 0, height, width)]
    if size < 1 or height % size or width % size:
        raise InputError(f"windows of {size} px do not divide {width} x {height} px without a remainder")
    return [Geometry(top, left, size, size) for top in range(0, height, size) for left in range(0, width, size)]


def write_crops(source: str | os.PathLike, crops: Sequence[tuple[Geometry, str | os.PathLike]]) -> None:
    """Write windows of a raster as GeoTIFFs, each complete or absent.

    Values, data type, CRS, no-data tag, mask, band names, scales and tags are those of the source; the geotransform is
    shifted to the window. Stored statistics are left out, because they describe the whole. Compression is lossless.

    Args:
        source: the raster.
        crops: window (not turned) and path of each.
    """
    with quiet_gdal(), rasterio.open(source) as file:
        bands = read_stored(file, file.indexes)
        mask = read_own_mask(file)
        # A GeoTIFF has one type for all bands. By rasterio's name, as NumPy has no complex integers.
        dtype = file.dtypes[0] if len(set(file.dtypes)) == 1 else bands.dtype
        profile = {
            "count": file.count,
            "dtype": dtype,
            "crs": file.crs,
            "nodata": file.nodata,
            "photometric": "RGB" if file.colorinterp[:3] == RGB else "MINISBLACK",
        }
        for window, path in crops:
            # The identity stands for no georeference; written to a file, it would become one.
            transform = None
            if not file.transform.is_identity:
                transform = file.transform * Affine.translation(window.left, window.top)
            profile.update(height=window.height, width=window.width, transform=transform)
            with new_raster(path, **profile) as crop:
                _copy_description(file, crop)
                crop.write(window.apply(bands))
                if mask is not None:
                    crop.write_mask(window.apply(mask))


def _copy_description(file: rasterio.DatasetReader, crop: rasterio.io.DatasetWriter) -> None:
    if crop.colorinterp != file.colorinterp:
        crop.colorinterp = file.colorinterp
    if any(file.descriptions):
        crop.descriptions = file.descriptions
    if any(scale != 1 for scale in file.scales) or any(file.offsets):
        crop.scales, crop.offsets = file.scales, file.offsets
    if any(file.units):
        crop.units = [unit or "" for unit in file.units]
    for band in (0, *file.indexes):
        tags = {key: value for key, value in file.tags(band).items() if not key.startswith("STATISTICS_")}
        if tags:
            crop.update_tags(band, **tags)
