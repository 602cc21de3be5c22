"""Coordinates that come round again: longitudes, and the eastings of a Mercator map of the whole world.

A place has as many of them as one likes, a turn apart: 180.1 degrees is -179.9. Files write a scene across 180 degrees
as 179.9 to 180.1, in two parts of which one ends at 180 and the other begins at -180, or from 0 to 360.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import shapely
from rasterio.crs import CRS

__all__ = ["meets", "move_near", "period", "smallest_arc", "turns", "unwrap_polygons", "world_mercator"]

EQUATOR_M = 2 * math.pi * 6378137.0


@functools.lru_cache(maxsize=64)
def world_mercator(crs: CRS) -> bool:
    """Whether a system, with or without heights, is one of the Mercator maps of the whole world."""
    if not crs.is_projected:
        return False
    # Not by its code, which a system with heights does not have.
    terms = crs.to_dict()
    at_equator = terms.get("k", 1) == 1 and not terms.get("lat_ts") and not terms.get("lon_0")
    return terms.get("proj") == "merc" and terms.get("units") == "m" and at_equator


@functools.lru_cache(maxsize=64)
def period(crs: CRS) -> float | None:
    """How far it is once around the world along the x axis of a system, map units; None if x does not come round."""
    if crs.is_geographic:
        return round(2 * math.pi / crs.units_factor[1], 9)
    return EQUATOR_M if world_mercator(crs) else None


def move_near(xs: np.ndarray | float, center: float, turn: float) -> np.ndarray | float:
    """The same places, at most half a turn from `center`."""
    return xs + turn * np.round((center - np.asarray(xs)) / turn)


def turns(left: float, right: float, low: float, high: float, turn: float) -> range:
    """The whole numbers k for which [left, right] + k * turn meets [low, high]."""
    return range(math.ceil((low - right) / turn), math.floor((high - left) / turn) + 1)


def meets(left: np.ndarray, right: np.ndarray, low: float, high: float, turn: float | None) -> np.ndarray:
    """Whether the intervals [left, right] meet [low, high], on a circle unless `turn` is None."""
    if turn is None:
        return (left <= high) & (right >= low)
    return left + np.ceil((low - right) / turn) * turn <= high


def smallest_arc(left: np.ndarray, right: np.ndarray, turn: float | None) -> tuple[float, float]:
    """The shortest stretch that holds intervals, on a circle unless `turn` is None.

    Args:
        left, right: [N], left <= right, N >= 1.
        turn: once around.

    Returns:
        left, right with left <= right <= left + turn: one of them may lie beyond where the numbers begin again.
    """
    low, high = float(left.min()), float(right.max())
    if turn is None or high - low <= turn / 2:
        return low, high  # to the bit
    order = np.argsort(left % turn, kind="stable")
    starts = left[order] % turn
    ends = starts + (right - left)[order]
    # How far the intervals up to each reach; what reaches over the end begins the circle again.
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
    """Polygons that jump from one end of the numbers to the other, with outlines that go on instead.

    A side longer than half a turn is taken for a jump. One of a whole turn is none: it is an edge of the world.

    Args:
        polygons: [N] of one part each.

    Returns:
        [N]; those without a jump are the same objects.
    """
    left, _, right, _ = shapely.bounds(polygons).T
    polygons = polygons.copy()
    for i in np.flatnonzero((right - left > turn / 2) & (right - left < turn)):
        rings = [shapely.get_coordinates(ring) for ring in shapely.get_rings(polygons[i])]
        moves = [-np.cumsum(np.round(np.diff(ring[:, 0], prepend=ring[0, 0]) / turn)) for ring in rings]
        if not any(move.any() for move in moves) or any(move[-1] for move in moves):
            continue  # no jump; or around a pole
        for ring, move in zip(rings, moves):
            ring[:, 0] += turn * move
        shell, *holes = rings
        for hole in holes:
            hole[:, 0] += turn * np.round((np.mean(shell[:, 0]) - np.mean(hole[:, 0])) / turn)
        polygons[i] = shapely.Polygon(shell, holes)
    return polygons
