"""Areas of interest: which part of a scene is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyogrio.raw
import shapely
from rasterio.crs import CRS
from shapely.affinity import translate
from shapely.geometry.base import BaseGeometry

from imrsf_d2.geo.grids import Grid
from imrsf_d2.geo.projections import Bounds, bounds_text, crs_text, move_bounds, move_points
from imrsf_d2.geo.wrapping import period, turns
from imrsf_d2.utils.errors import InputError, MissingFileError

__all__ = ["read_area", "valid_area"]

#: Edges that are straight in one system are curves in another: none is longer than this share of the map's diagonal.
LONGEST_EDGE = 1 / 128
#: How far around the map an area is kept, as a share of the map's sides.
MARGIN = 0.1


def read_area(path: str, grid: Grid) -> BaseGeometry:
    """What the polygons of a file have of a map, as one geometry in the map's system.

    Args:
        path: anything that GDAL reads as vectors; its first layer counts.
        grid: the map, located.

    Raises:
        MissingFileError: if there is no such file.
        InputError: if it holds no polygon, does not say its system, or shares nothing with the map.
    """
    if not Path(path).exists():
        raise MissingFileError(f"no file {path!r}, expected the polygons of the area of interest.")
    try:
        meta, _, geometry, _ = pyogrio.raw.read(path, columns=[])
    except Exception as error:  # pyogrio has many kinds
        raise InputError(f"area of interest {path}: {error}") from error
    if meta["crs"] is None:
        raise InputError(
            f"the area of interest {path} does not say which coordinate system it is in (a shapefile needs its .prj)."
        )
    what = f"the area of interest {path}"
    area = valid_area([shape for shape in shapely.from_wkb(geometry) if shape is not None], what)
    source = CRS.from_user_input(meta["crs"])
    assert grid.crs is not None  # see `open_scene`
    # Clipped first: what is far from the map may have no place in its system.
    of_map = move_bounds(grid.bounds, grid.crs, source)
    nearby = _clipped(area, _around(of_map), period(source))
    if nearby.area == 0:
        raise InputError(
            f"the area of interest {path} ({bounds_text(area.bounds)}) shares nothing with the map, which covers "
            f"{bounds_text(of_map)} in the area's system, {crs_text(source)}."
        )

    def project(points: np.ndarray) -> np.ndarray:
        moved = move_points(points.T, source, grid.crs)
        if moved is None:
            raise InputError(f"the area of interest {path} has no place in the map's system, {grid.crs}.")
        return np.stack(moved, axis=1)

    return shapely.make_valid(shapely.transform(nearby, project))


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


def _clipped(area: BaseGeometry, box: Bounds, turn: float | None) -> BaseGeometry:
    """What lies in a box, also of areas whole turns around the world away; its edges are short."""
    left, bottom, right, top = box
    moves = [0.0] if turn is None else [k * turn for k in turns(area.bounds[0], area.bounds[2], left, right, turn)]
    parts = [shapely.intersection(translate(area, move), shapely.box(*box)) for move in moves]
    return shapely.segmentize(shapely.union_all(parts), np.hypot(right - left, top - bottom) * LONGEST_EDGE)


def _around(bounds: Bounds) -> Bounds:
    left, bottom, right, top = bounds
    across, down = MARGIN * (right - left), MARGIN * (top - bottom)
    return left - across, bottom - down, right + across, top + down
