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

from imrsf_d2.errors import InputError

__all__ = ["Bounds", "Grid", "cover", "longitude_latitude", "metric_crs", "move_bounds"]

#: left, bottom, right, top in map units
Bounds = tuple[float, float, float, float]
# Metres in name only: at 48 degrees north a "metre" of Web Mercator is 0.67 m on the ground.
MERCATOR = (3395, 3857, 900913)


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
        return Grid(self.crs, self.left + column * self.resolution, self.top - row * self.resolution, self.resolution,
                    height, width)

    def tiles(self, size: int) -> Iterator[tuple[int, int, Grid]]:
        """Row, column and grid of ceil(height / size) x ceil(width / size) tiles; the last reach beyond this grid."""
        for row in range(math.ceil(self.height / size)):
            for column in range(math.ceil(self.width / size)):
                yield row, column, self.part(row * size, column * size, size, size)


def cover(bounds: Bounds, crs: CRS, resolution: float) -> Grid:
    """The smallest grid over `bounds` whose corners are multiples of the resolution, so that grids of one CRS align."""
    # Rounded: an edge that is a multiple but for the last bit must not cost a row of pixels.
    left, bottom, right, top = (round(edge / resolution, 6) for edge in bounds)
    left, bottom, right, top = math.floor(left), math.floor(bottom), math.ceil(right), math.ceil(top)
    return Grid(crs, left * resolution, top * resolution, resolution, top - bottom, right - left)


def metric_crs(preferred: CRS | None, bounds: Bounds, crs: CRS) -> CRS:
    """The system that a city's tiles are made in.

    Args:
        preferred: taken if it is projected, in metres, and no Mercator of the whole world.
        bounds, crs: where the city is.

    Returns:
        `preferred`, or the UTM zone of the centre of `bounds`.

    Raises:
        ValueError: if the centre has no longitude and latitude.
    """
    if preferred is not None and preferred.is_projected and preferred.linear_units_factor[1] == 1.0:
        if preferred.to_epsg() not in MERCATOR:
            return preferred
    x, y = (bounds[0] + bounds[2]) / 2, (bounds[1] + bounds[3]) / 2
    longitude, latitude = longitude_latitude(x, y, crs)
    if not (-180 <= longitude <= 180 and -80 <= latitude <= 84):
        raise InputError(f"({x:g}, {y:g}) in {crs.to_string()} is longitude {longitude:g}, latitude {latitude:g}, "
                         "expected a place between 80 degrees south and 84 north, where UTM is defined.")
    zone = min(int((longitude + 180) // 6) + 1, 60)
    return CRS.from_epsg((32600 if latitude >= 0 else 32700) + zone)


def longitude_latitude(x: float, y: float, crs: CRS) -> tuple[float, float]:
    """Where a place is on Earth, degrees.

    Raises:
        ValueError: if it is nowhere, or the system itself has no place on Earth, as that of a construction site.
    """
    name = crs.to_string()[:60]  # a system without a code is a page of text
    try:
        (longitude,), (latitude,) = transform(crs, CRS.from_epsg(4326), [x], [y])
    except (RasterioError, CPLE_BaseError) as error:
        raise InputError(f"({x:g}, {y:g}) in {name} is no place on Earth") from error
    if not (abs(longitude) <= 360 and abs(latitude) <= 90):
        raise InputError(f"({x:g}, {y:g}) in {name} is longitude {longitude:g}, latitude {latitude:g}, no place on "
                         "Earth")
    return longitude, latitude


def move_bounds(bounds: Bounds, source: CRS, target: CRS) -> Bounds:
    """The rectangle in `target` that holds all of a rectangle in `source`.

    Raises:
        ValueError: if there is none.
    """
    if source == target:
        return bounds  # to the bit
    try:
        moved = transform_bounds(source, target, *bounds, densify_pts=21)
    except (RasterioError, CPLE_BaseError, ValueError) as error:
        raise InputError(f"{bounds} in {source.to_string()} has no place in {target.to_string()}: {error}") from error
    if not all(map(math.isfinite, moved)):
        raise InputError(f"{bounds} in {source.to_string()} lies outside the domain of {target.to_string()}.")
    return moved
