"""Outlines in map coordinates, in the pixels of their tile."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import pyogrio
import shapely
from pyogrio.errors import DataLayerError, DataSourceError
from rasterio.crs import CRS

from imrsf_d2.geo.grids import Grid
from imrsf_d2.geo.projections import move_points
from imrsf_d2.utils.errors import InputError, MissingFileError

__all__ = ["read_footprints"]


def read_footprints(path: str | os.PathLike, grid: Grid) -> Sequence[shapely.Geometry]:
    """Read the polygons of a vector file that has those of one tile.

    Args:
        path: of a file with one layer, such as a GeoJSON file, which without a CRS holds longitudes and latitudes.
        grid: of the tile, located.

    Returns:
        The polygons and multi-polygons that meet the tile, in columns and rows from its upper left corner, in the order
        of the file; features without an area are left out.

    Raises:
        FileNotFoundError: if the file is missing.
        ValueError: if it cannot be read, has other geometries, or coordinates that its CRS does not have.
    """
    path = os.fspath(path)
    if not os.path.isfile(path):
        raise MissingFileError(f"no outlines at {path}, expected a file of polygons (GeoJSON, GeoPackage, shapefile).")
    try:
        meta, _, geometry, _ = pyogrio.raw.read(path, columns=[], force_2d=True)
    except (DataSourceError, DataLayerError) as error:
        raise InputError(f"the outlines {path} cannot be read: {str(error).splitlines()[0]}") from error
    shapes = shapely.from_wkb(geometry)
    shapes = shapes[~(shapely.is_missing(shapes) | shapely.is_empty(shapes))]
    if not len(shapes):
        return []
    kinds = np.unique(shapely.get_type_id(shapes))
    if not np.isin(kinds, (shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON)).all():
        names = ", ".join(shapely.GeometryType(kind).name.capitalize() for kind in kinds)
        raise InputError(f"the outlines {path} are of the kinds {names}, expected polygons and multi-polygons.")
    crs = CRS.from_user_input(meta["crs"]) if meta["crs"] else grid.crs
    places = shapely.get_coordinates(shapes)
    moved = move_points(places.T, crs, grid.crs)
    if moved is None:
        raise InputError(
            f"the outlines {path} have coordinates, {places[0].tolist()} for example, that their coordinate reference "
            f"system ({meta['crs']}) does not have. GeoJSON without a CRS holds longitudes and latitudes."
        )
    shapes = shapely.set_coordinates(shapes, np.column_stack(~grid.transform * moved))
    tile = shapely.box(0, 0, grid.width, grid.height)
    return shapes[(shapely.area(shapes) > 0) & shapely.intersects(shapely.make_valid(shapes), tile)]
