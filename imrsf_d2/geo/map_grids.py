"""Pixel grids on the map: which one a city gets, and how it is cut into tiles."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.transform import Affine, from_origin
from rasterio.warp import transform, transform_bounds

from imrsf_d2.geo.wrapping import period, world_mercator
from imrsf_d2.utils.errors import InputError

__all__ = ["Bounds", "Grid", "cover", "is_metric", "longitude_latitude", "metric_crs", "move_bounds"]

#: left, bottom, right, top in map units; left < right also across 180 degrees, where one of them lies beyond 180
Bounds = tuple[float, float, float, float]
WGS84 = CRS.from_epsg(4326)


@dataclass(frozen=True)
class Grid:
    """Square pixels over a rectangle of the map, north up.

    Args:
        crs: a projected system.
        left, top: of the first pixel's outer corner, map units.
        resolution: side of a pixel, map units.
        height, width: px.
    """

    crs: CRS
    left: float
    top: float
    resolution: float
    height: int
    width: int

    @property
    def transform(self) -> Affine:
        return from_origin(self.left, self.top, self.resolution, self.resolution)

    @property
    def bounds(self) -> Bounds:
        return (self.left, self.top - self.height * self.resolution, self.left + self.width * self.resolution, self.top)

    def part(self, row: int, column: int, height: int, width: int) -> Grid:
        """The pixels of a window, which may reach beyond this grid."""
        return Grid(
            self.crs, self.left + column * self.resolution, self.top - row * self.resolution, self.resolution, height, width
        )

    def tiles(self, size: int) -> Iterator[tuple[int, int, Grid]]:
        """Row, column and grid of ceil(height / size) x ceil(width / size) tiles; the last reach beyond this grid."""
        for row in range(math.ceil(self.height / size)):
            for column in range(math.ceil(self.width / size)):
                yield row, column, self.part(row * size, column * size, size, size)


def cover(bounds: Bounds, crs: CRS, resolution: float, origin: tuple[float, float] = (0.0, 0.0)) -> Grid:
    """The smallest grid over `bounds` whose corners are whole pixels from `origin`, so that grids of one CRS align.

    Args:
        origin: x and y of any corner of any pixel.
    """
    # Rounded: an edge that is a multiple but for the last bit must not cost a row of pixels.
    left, bottom, right, top = (round((edge - origin[i % 2]) / resolution, 6) for i, edge in enumerate(bounds))
    left, bottom, right, top = math.floor(left), math.floor(bottom), math.ceil(right), math.ceil(top)
    return Grid(crs, origin[0] + left * resolution, origin[1] + top * resolution, resolution, top - bottom, right - left)


def is_metric(crs: CRS) -> bool:
    """Whether a map unit is a meter on the ground, as far as a map can say so."""
    # Mercator's are meters in name only: at 48 degrees north one of them is 0.67 m.
    return crs.is_projected and crs.linear_units_factor[1] == 1.0 and not world_mercator(crs)


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
    zone = min(int((longitude + 180) // 6) + 1, 60)
    return CRS.from_epsg((32600 if latitude >= 0 else 32700) + zone)


def longitude_latitude(x: float, y: float, crs: CRS) -> tuple[float, float]:
    """Where a place is on Earth, degrees; the longitude from -180 to 180.

    Raises:
        ValueError: if it is nowhere, or the system itself has no place on Earth, as that of a construction site.
    """
    name = crs.to_string()[:60]  # a system without a code is a page of text
    try:
        (longitude,), (latitude,) = transform(crs, WGS84, [x], [y])
    except (RasterioError, CPLE_BaseError) as error:
        raise InputError(f"({x:g}, {y:g}) in {name} is no place on Earth") from error
    if not (abs(longitude) <= 540 and abs(latitude) <= 90):
        raise InputError(f"({x:g}, {y:g}) in {name} is longitude {longitude:g}, latitude {latitude:g}, no place on Earth")
    return longitude if abs(longitude) <= 180 else (longitude + 180) % 360 - 180, latitude


def move_bounds(bounds: Bounds, source: CRS, target: CRS) -> Bounds:
    """The rectangle in `target` that holds all of a rectangle in `source`.

    Raises:
        ValueError: if there is none.
    """
    if source == target:
        return bounds  # to the bit
    try:
        left, bottom, right, top = transform_bounds(source, target, *bounds, densify_pts=21)
    except (RasterioError, CPLE_BaseError, ValueError) as error:
        raise InputError(f"{bounds} in {source.to_string()} has no place in {target.to_string()}: {error}") from error
    if not all(map(math.isfinite, (left, bottom, right, top))):
        raise InputError(f"{bounds} in {source.to_string()} lies outside the domain of {target.to_string()}.")
    turn = period(target)
    if turn and not target.is_geographic and right - left > turn / 2:
        # Across 180 degrees, or half the world. Eastings of Mercator are longitudes of another size.
        left, _, right, _ = (edge * turn / 360 for edge in move_bounds(bounds, source, WGS84))
    return left, bottom, right if right >= left else right + turn, top  # GDAL ends at 180 and goes on from -180
