"""Coordinates that repeat around the world: longitudes, and the eastings of a Mercator map of the whole world.

A place has many of them, one turn apart: 180.1 degrees is -179.9. A scene across 180 degrees is stored as 179.9 to 180.1, as
two parts that end at 180 and begin at -180, or with longitudes from 0 to 360.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import shapely
from rasterio.crs import CRS

__all__ = ["EQUATOR_M", "is_mercator", "meets", "move_near", "period", "smallest_arc", "turns", "unwrap_polygons"]

EQUATOR_M = 2 * math.pi * 6378137.0


@functools.lru_cache(maxsize=64)
def is_mercator(crs: CRS) -> bool:
    """Whether a system is a Mercator map, of the world or a region, with or without heights. Its scale grows with the distance
    from the equator: its meters are those on the ground at one latitude alone."""
    return crs.is_projected and crs.to_dict().get("proj") == "merc"


def _of_the_world(crs: CRS) -> bool:
    """Whether a Mercator map is one of the whole world."""
    # Not by its code, which a system with heights does not have.
    terms = crs.to_dict()
    at_equator = terms.get("k", 1) == 1 and not terms.get("lat_ts") and not terms.get("lon_0")
    return terms.get("units") == "m" and at_equator


@functools.lru_cache(maxsize=64)
def period(crs: CRS) -> float | None:
    """The length of one turn around the world along the x axis of a system, map units; None if x does not repeat."""
    if crs.is_geographic:
        return round(2 * math.pi / crs.units_factor[1], 9)
    return EQUATOR_M if is_mercator(crs) and _of_the_world(crs) else None


def move_near(xs: np.ndarray, center: float, turn: float) -> np.ndarray:
    """The same places, at most half a turn from `center`."""
    return xs + turn * np.round((center - xs) / turn)


def turns(left: float, right: float, low: float, high: float, turn: float) -> range:
    """The whole numbers k for which [left, right] + k * turn meets [low, high]."""
    return range(math.ceil((low - right) / turn), math.floor((high - left) / turn) + 1)


def meets(left: np.ndarray, right: np.ndarray, low: float, high: float, turn: float | None) -> np.ndarray:
    """Whether the intervals [left, right] meet [low, high], on a circle unless `turn` is None."""
    if turn is None:
        return (left <= high) & (right >= low)
    return left + np.ceil((low - right) / turn) * turn <= high


def smallest_arc(left: np.ndarray, right: np.ndarray, turn: float | None) -> tuple[float, float]:
    """The shortest interval that contains all of some intervals, on a circle unless `turn` is None.

    Args:
        left, right: [N], left <= right, N >= 1.
        turn: length of the circle.

    Returns:
        left, right with left <= right <= left + turn; one of them may lie outside the range of the input.
    """
    low, high = float(left.min()), float(right.max())
    if turn is None or high - low <= turn / 2:
        return low, high  # to the bit
    order = np.argsort(left % turn, kind="stable")
    starts = left[order] % turn
    ends = starts + (right - left)[order]
    # How far each interval and those before it reach; one that crosses the end continues at the start.
    reach = np.maximum(np.maximum.accumulate(ends), ends.max() - turn)
    following = np.append(starts[1:], starts[0] + turn)
    widest = int(np.argmax(following - reach))
    gap = float(following[widest] - reach[widest])
    if gap <= 0:
        return low, low + turn
    start, length = float(starts[(widest + 1) % len(starts)]), turn - gap
    start -= turn * round((start + length / 2) / turn)
    return start, start + length


def unwrap_polygons(polygons: np.ndarray, turn: float) -> np.ndarray:
    """Polygons whose outlines jump from one end of the map to the other, with continuous outlines instead.

    A side longer than half a turn counts as a jump; one of a whole turn does not, as it is an edge of the map.

    Args:
        polygons: [N] of one part each.

    Returns:
        [N]; polygons without a jump are the same objects.
    """
    left, _, right, _ = shapely.bounds(polygons).T
    polygons = polygons.copy()
    for i in np.flatnonzero((right - left > turn / 2) & (right - left < turn)):
        rings = [shapely.get_coordinates(ring) for ring in shapely.get_rings(polygons[i])]
        moves = [-np.cumsum(np.round(np.diff(ring[:, 0], prepend=ring[0, 0]) / turn)) for ring in rings]
        if not any(move.any() for move in moves) or any(move[-1] for move in moves):
            continue  # no jump, or a polygon around a pole
        for ring, move in zip(rings, moves):
            ring[:, 0] += turn * move
        shell, *holes = rings
        for hole in holes:
            hole[:, 0] += turn * np.round((np.mean(shell[:, 0]) - np.mean(hole[:, 0])) / turn)
        polygons[i] = shapely.Polygon(shell, holes)
    return polygons
