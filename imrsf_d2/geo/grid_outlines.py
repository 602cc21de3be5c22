"""Outlines of grids as polygons."""

from __future__ import annotations

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from imrsf_d2.geo.grids import Grid
from imrsf_d2.geo.projections import move_points
from imrsf_d2.geo.wrapping import move_near, period, turns

__all__ = ["outline_of", "outline_on"]

#: Points along each side of a grid where it is looked up on another, and pieces that the sides of outlines are cut into.
POINTS = 17
#: How much farther than the other grid an outline is followed, share of that grid's size.
MARGIN = 0.05


def outline_of(grid: Grid) -> shapely.Polygon:
    """The outline of a grid in its own system."""
    corners = grid.corners(grid.crs)
    assert corners is not None  # in its own system
    return shapely.Polygon(corners.T[[0, 1, 3, 2]])


def outline_on(grid: Grid, other: Grid) -> BaseGeometry:
    """The outline of a grid in the system of another, as far as it lies on or near that one.

    Elsewhere it is cut off: all of a map of the world has no outline in the system of a zone.

    Args:
        grid, other: both located.

    Returns:
        Polygons, also on both sides of 180 degrees; none where the grid has no place in the other's system.
    """
    assert grid.crs is not None and other.crs is not None  # they are located
    own, middle = outline_of(grid), POINTS // 2
    points = other.points(POINTS)
    if (places := move_points(points, other.crs, grid.crs)) is None:
        return _moved(shapely.segmentize(own, own.length / (4 * POINTS)), grid, other)  # a zone has no place for the world
    (xs, ys), turn = places, period(grid.crs)
    margins = MARGIN * np.ptp(xs), MARGIN * np.ptp(ys)
    if turn:
        xs = move_near(xs, float(xs[middle, middle]), turn)
        margins = max(min(MARGIN * np.ptp(xs), (turn - np.ptp(xs)) / 2), 0.0), margins[1]  # no ground twice
        left, _, right, _ = grid.bounds
        copies = [
            shapely.transform(own, lambda xy, k=k: xy + (k * turn, 0)) for k in turns(left, right, xs.min(), xs.max(), turn)
        ]
    else:
        copies = [own]
    near = shapely.box(xs.min() - margins[0], ys.min() - margins[1], xs.max() + margins[0], ys.max() + margins[1])
    cut = shapely.segmentize(shapely.union_all(copies).intersection(near), max(np.ptp(xs), np.ptp(ys)) / POINTS)
    return _moved(cut, grid, other)


def _moved(outline: BaseGeometry, grid: Grid, other: Grid) -> BaseGeometry:
    """An outline in the system of one grid, in that of the other."""
    if outline.is_empty or (moved := move_points(shapely.get_coordinates(outline).T, grid.crs, other.crs)) is None:
        return shapely.Polygon()
    xs, ys = moved
    assert other.crs is not None
    if turn := period(other.crs):
        xs = move_near(xs, float(other.points(1)[0, 0, 0]), turn)
    return shapely.make_valid(shapely.set_coordinates(outline, np.stack([xs, ys], axis=1)))
