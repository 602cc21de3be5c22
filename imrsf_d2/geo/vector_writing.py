"""Polygons with columns, to a vector file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy as np
import pyogrio.raw
import shapely
from rasterio.crs import CRS
from shapely.geometry.base import BaseGeometry

__all__ = ["multipolygons", "write_polygons"]


def multipolygons(shapes: Sequence[BaseGeometry]) -> np.ndarray:
    """Polygons and multipolygons as well-known binary of multipolygons alone, [N] object, as a file has one kind."""
    every = [shapely.MultiPolygon([shape]) if shape.geom_type == "Polygon" else shape for shape in shapes]
    return np.asarray(shapely.to_wkb(every), dtype=object)


def write_polygons(
    path: str | os.PathLike,
    shapes: Sequence[BaseGeometry],
    columns: Mapping[str, np.ndarray],
    crs: CRS,
    layer: str,
    *,
    driver: str = "GPKG",
    append: bool = False,
) -> None:
    """Write polygons.

    Args:
        path: of the file, whose name ends as the driver's files do.
        shapes: N polygons or multipolygons.
        columns: name -> [N] values.
        crs: of the shapes, and of the file; GeoJSON is in WGS 84 (RFC 7946).
        layer: its name, in a GeoPackage.
        driver: GDAL's name of the format.
        append: to a file of the same columns.
    """
    pyogrio.raw.write(
        path,
        geometry=multipolygons(shapes),
        field_data=list(columns.values()),
        fields=np.array(list(columns), dtype=object),
        geometry_type="MultiPolygon",
        crs=crs.to_wkt(),
        driver=driver,
        layer=layer,
        layer_options={"RFC7946": "YES"} if driver == "GeoJSON" else {},
        append=append,
    )
