"""Areas of interest: which part of a scene is asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyogrio.raw
import shapely
from rasterio.crs import CRS
from shapely.geometry.base import BaseGeometry

from imrsf_d2.geo.projections import move_points
from imrsf_d2.utils.errors import InputError, MissingFileError

__all__ = ["read_area"]


def read_area(path: str, crs: CRS | None) -> BaseGeometry:
    """The polygons of a file as one, in the map's system.

    Args:
        path: anything that GDAL reads as vectors; its first layer counts.
        crs: of the map.

    Raises:
        MissingFileError: if there is no such file.
        InputError: if it holds no polygon, does not say its system, or has no place in the map's.
    """
    if not Path(path).exists():
        raise MissingFileError(f"no file {path!r}. It is named by --aoi.")
    try:
        meta, _, geometry, _ = pyogrio.raw.read(path, columns=[])
    except Exception as error:  # pyogrio has many kinds
        raise InputError(f"--aoi {path}: {error}") from error
    if meta["crs"] is None:
        raise InputError(f"--aoi {path} does not say which coordinate system it is in (a shapefile needs its .prj).")
    shapes = [shape for shape in shapely.from_wkb(geometry) if shape is not None and shape.area > 0]
    if not shapes:
        raise InputError(f"--aoi {path} holds no polygon.")
    source = CRS.from_user_input(meta["crs"])

    def project(points: np.ndarray) -> np.ndarray:
        moved = move_points(points.T, source, crs)
        if moved is None:
            raise InputError(f"--aoi {path} has no place in the map's system, {crs}.")
        return np.stack(moved, axis=1)

    return shapely.make_valid(shapely.transform(shapely.union_all(shapely.make_valid(shapes)), project))
