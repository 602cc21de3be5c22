"""Areas of interest: which part of a scene is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyogrio.raw
import shapely
from rasterio.crs import CRS
from shapely.geometry.base import BaseGeometry

from imrsf_d2.geo.projections import move_points
from imrsf_d2.utils.errors import InputError, MissingFileError

__all__ = ["read_area", "valid_area"]


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
    area = valid_area([shape for shape in shapely.from_wkb(geometry) if shape is not None], f"--aoi {path}")
    source = CRS.from_user_input(meta["crs"])

    def project(points: np.ndarray) -> np.ndarray:
        moved = move_points(points.T, source, crs)
        if moved is None:
            raise InputError(f"--aoi {path} has no place in the map's system, {crs}.")
        return np.stack(moved, axis=1)

    return shapely.make_valid(shapely.transform(area, project))


def valid_area(shapes: Sequence[BaseGeometry], source: str) -> BaseGeometry:
    """What some polygons cover together; one that crosses itself covers what it goes around.

    Args:
        shapes: those that are no polygons do not count.
        source: where they are from, for the message.

    Raises:
        InputError: if they cover nothing.
    """
    parts = shapely.get_parts(shapely.get_parts(shapely.make_valid(list(shapes))))  # of collections of multipolygons, too
    polygons = [part for part in parts if part.area > 0]
    if not polygons:
        raise InputError(f"{source} holds no polygon, expected one at least that covers something.")
    return shapely.union_all(polygons)
