"""Which files a scene is made of, and where each of them lies."""

from __future__ import annotations

import glob
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace

from rasterio.crs import CRS

from imrsf_d2.data.dataset_memory import is_gdal_name
from imrsf_d2.geo.gdal import opened
from imrsf_d2.geo.grids import Grid
from imrsf_d2.geo.rasters import read_grid
from imrsf_d2.geo.wrapping import period
from imrsf_d2.inference.outputs import ENDINGS
from imrsf_d2.inference.scene_reading import SceneFile
from imrsf_d2.modalities import Modality
from imrsf_d2.utils.errors import InputError, MissingFileError

__all__ = ["find_files", "look_at", "side_by_side"]


def find_files(pattern: str | os.PathLike) -> list[str]:
    """The rasters that a file name, a folder or a glob stands for, in the order of their names.

    A Zarr is a folder, but one raster. What only GDAL understands (an archive, an address, a part of a file such as
    `netcdf:a.nc:height`) is passed on to it.

    Raises:
        MissingFileError: if there are none.
    """
    pattern = os.fspath(pattern)
    if os.path.isdir(pattern) and not _is_zarr(pattern):
        names = sorted(
            entry.path
            for entry in os.scandir(pattern)
            if entry.name.lower().endswith((".tif", ".tiff", ".vrt", ".jp2", ".zarr"))
            and not entry.name.lower().endswith(tuple(ENDINGS.values()))
        )
    elif os.path.exists(pattern):
        names = [pattern]
    else:
        names = sorted(glob.glob(pattern, recursive=True)) or ([pattern] if is_gdal_name(pattern) else [])
    if not names:
        raise MissingFileError(
            f"{pattern} names no raster, expected a file, a folder of .tif, .vrt, .jp2 or .zarr files, or a glob."
        )
    return names


def _is_zarr(folder: str) -> bool:
    return folder.rstrip("/").lower().endswith(".zarr") or any(
        os.path.isfile(os.path.join(folder, name)) for name in (".zgroup", ".zarray", "zarr.json")
    )


def look_at(path: str, modality: Modality, assume_crs: CRS | None) -> SceneFile:
    """Where a file lies, by its header.

    Args:
        assume_crs: of a file that does not say which system it is in.

    Raises:
        RasterError: if it cannot be opened.
        ValueError: if it has other bands or does not say where it lies.
    """
    grid = read_grid(path, modality)
    if not grid.located and _is_unrectified(path):
        raise InputError(
            f"{path} has ground control points or camera parameters instead of a geotransform, expected a raster on a map "
            f"grid: gdalwarp -t_srs EPSG:code {path} OUT.tif makes one."
        )
    if grid.crs is None and assume_crs is not None:
        path = f"vrt://{path}?a_srs={assume_crs.to_string()}"  # GDAL's own way to say more about a file than it does
        grid = read_grid(path)
    if grid.crs is None:
        raise InputError(
            f"{path} does not say which coordinate system it is in; if you know it, pass assume_crs (--assume-crs EPSG:code)."
        )
    if not grid.located:
        raise InputError(
            f"{path} has no usable geotransform ({tuple(grid.transform)[:6]}), expected a raster on a map grid."
        )
    return SceneFile(path, grid)


def side_by_side(sensors: Mapping[str, Sequence[SceneFile]], first: Grid) -> dict[str, tuple[SceneFile, ...]]:
    """The files, those in the system of `first` whole turns around the world away from it brought near it."""
    turn = None if first.crs is None else period(first.crs)

    def near(file: SceneFile) -> SceneFile:
        if turn is None or file.grid.crs != first.crs:
            return file
        turned = turn * round(float(first.points(1)[0, 0, 0] - file.grid.points(1)[0, 0, 0]) / turn)
        return replace(file, grid=file.grid.moved(turned), turned=turned) if turned else file

    return {name: tuple(map(near, files)) for name, files in sensors.items()}


def _is_unrectified(path: str) -> bool:
    with opened(path, "its place") as file:
        return bool(file.gcps[0]) or file.rpcs is not None
