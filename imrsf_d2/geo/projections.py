"""Places from one coordinate reference system to another, and the system that a city's tiles are made in."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike
from rasterio.crs import CRS
from rasterio.warp import transform, transform_bounds

from imrsf_d2.geo.gdal import GDAL_ERRORS
from imrsf_d2.geo.wrapping import is_mercator, period
from imrsf_d2.utils.errors import InputError

__all__ = [
    "Bounds",
    "WGS84",
    "bounds_text",
    "crs_text",
    "is_metric",
    "longitude_latitude",
    "metric_crs",
    "move_bounds",
    "move_points",
    "utm_zone",
]

#: left, bottom, right, top in map units; left < right also across 180 degrees, where one of them lies beyond 180
Bounds = tuple[float, float, float, float]
WGS84 = CRS.from_epsg(4326)


def bounds_text(bounds: Iterable[float]) -> str:
    """Bounds for a message: "x 10 to 20, y 50 to 60"."""
    left, bottom, right, top = (f"{float(side):.10g}" for side in bounds)
    return f"x {left} to {right}, y {bottom} to {top}"


def crs_text(crs: CRS | None) -> str:
    """A coordinate system for a message: "EPSG:32633"."""
    return "no system" if crs is None else crs.to_string()[:60]


def move_points(places: Iterable[ArrayLike], source: CRS | None, target: CRS | None) -> tuple[np.ndarray, np.ndarray] | None:
    """The x and y of places in another system.

    Args:
        places: their x and their y in `source`, of one shape.

    Returns:
        x and y in `target`, of the same shape; None if some of the places have none there.
    """
    xs, ys = map(np.asarray, places)
    if source == target:
        return xs, ys  # to the bit
    try:
        moved = transform(source, target, xs.ravel(), ys.ravel())
    except GDAL_ERRORS:
        return None
    new_xs, new_ys = (np.reshape(side, xs.shape) for side in moved)
    return (new_xs, new_ys) if (np.isfinite(new_xs) & np.isfinite(new_ys)).all() else None


def move_bounds(bounds: Bounds, source: CRS, target: CRS) -> Bounds:
    """The rectangle in `target` that holds all of a rectangle in `source`.

    Raises:
        ValueError: if there is none.
    """
    if source == target:
        return bounds  # to the bit
    try:
        left, bottom, right, top = transform_bounds(source, target, *bounds, densify_pts=21)
    except (*GDAL_ERRORS, ValueError) as error:
        raise InputError(f"{bounds} in {source.to_string()} has no place in {target.to_string()}: {error}") from error
    if not all(map(math.isfinite, (left, bottom, right, top))):
        raise InputError(f"{bounds} in {source.to_string()} lies outside the domain of {target.to_string()}.")
    turn = period(target)
    if turn is None:
        return left, bottom, right, top
    if not target.is_geographic and right - left > turn / 2:
        # Across 180 degrees, or half the world. Eastings of Mercator are longitudes of another size.
        left, _, right, _ = (edge * turn / 360 for edge in move_bounds(bounds, source, WGS84))
    return left, bottom, right if right >= left else right + turn, top  # GDAL ends at 180 and continues from -180


def longitude_latitude(x: float, y: float, crs: CRS) -> tuple[float, float]:
    """Where a place is on Earth, degrees; the longitude from -180 to 180.

    Raises:
        ValueError: if it is nowhere, or the system itself has no place on Earth, as that of a construction site.
    """
    found = f"({x:g}, {y:g}) in {crs.to_string()[:60]}"  # a system without a code is a page of text
    if (place := move_points(([x], [y]), crs, WGS84)) is None:
        raise InputError(f"{found} is no place on Earth")
    longitude, latitude = (float(side[0]) for side in place)
    if not (abs(longitude) <= 540 and abs(latitude) <= 90):
        raise InputError(f"{found} is longitude {longitude:g}, latitude {latitude:g}, no place on Earth")
    return longitude if abs(longitude) <= 180 else (longitude + 180) % 360 - 180, latitude


def is_metric(crs: CRS) -> bool:
    """Whether a map unit is a meter on the ground, as far as a map can say so."""
    # Mercator's are meters in name only: at 48 degrees north one of them is 0.67 m.
    return crs.is_projected and crs.linear_units_factor[1] == 1.0 and not is_mercator(crs)


def utm_zone(longitude: float, latitude: float) -> int:
    """The EPSG code of the UTM zone (of WGS84) that a place in degrees lies in."""
    return (32600 if latitude >= 0 else 32700) + min(int((longitude + 180) // 6) + 1, 60)


def metric_crs(preferred: CRS | None, bounds: Bounds, crs: CRS) -> CRS:
    """The system that a city's tiles are made in.

    Args:
        preferred: taken if it is metric.
        bounds, crs: where the city is.

    Returns:
        `preferred`, or the UTM zone of the center of `bounds`.

    Raises:
        ValueError: if the center has no longitude and latitude.
    """
    if preferred is not None and is_metric(preferred):
        return preferred
    x, y = (bounds[0] + bounds[2]) / 2, (bounds[1] + bounds[3]) / 2
    longitude, latitude = longitude_latitude(x, y, crs)
    if not -80 <= latitude <= 84:
        raise InputError(
            f"({x:g}, {y:g}) in {crs.to_string()} is longitude {longitude:g}, latitude {latitude:g}, "
            "expected a place between 80 degrees south and 84 north, where UTM is defined."
        )
    return CRS.from_epsg(utm_zone(longitude, latitude))
