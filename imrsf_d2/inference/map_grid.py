"""Which pixels a map has: those of one of its sensors, or others that are asked for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from rasterio.crs import CRS

from imrsf_d2.geo.grids import Grid, cover
from imrsf_d2.geo.projections import WGS84, Bounds, bounds_text, crs_text, move_bounds, move_points
from imrsf_d2.geo.wrapping import EQUATOR_M, period
from imrsf_d2.inference.scene_reading import SAME_PIXELS, SceneFile
from imrsf_d2.inference.windows import WindowGrid
from imrsf_d2.utils.errors import InputError

__all__ = ["check_place", "cover_with_windows", "cut_grid", "finest_sensor", "map_grid"]

#: Pixels whose sides differ by no more than this factor are equally fine.
SAME_SIDE = 1.001
#: How many times smaller or larger than any sensor's a map's pixels may be.
FAR_RESOLUTION = 100


def finest_sensor(sensors: Mapping[str, Sequence[SceneFile]]) -> str:
    """The sensor with the smallest pixels on the ground; of those with pixels of one size, that with the most."""
    latitude = _latitude(file.grid for files in sensors.values() for file in files)
    sides = {name: min(_pixel_m(file.grid, latitude) for file in files) for name, files in sensors.items()}
    finest = [name for name, side in sides.items() if side <= min(sides.values()) * SAME_SIDE]
    return max(finest, key=lambda name: sum(file.grid.height * file.grid.width for file in sensors[name]))


def map_grid(sensors: Mapping[str, Sequence[SceneFile]], reference: str, crs: CRS | None, resolution: float | None) -> Grid:
    """The pixels of a map.

    Args:
        sensors: name -> files of it, side by side.
        reference: the sensor whose pixels the map has, if nothing else is asked for, and whose extent it has.
        crs, resolution: of the map, instead; of one given alone, the other is the reference's.

    Raises:
        ValueError: if the map would be empty, or its pixels far from any sensor's in size.
    """
    if resolution is not None and not (math.isfinite(resolution) and resolution > 0):
        raise InputError(f"the resolution is {resolution:g}, expected the side of a pixel in map units, more than 0.")
    # Of files with pixels of several sizes, the finest ones' count.
    latitude = _latitude(file.grid for file in sensors[reference])
    files = sorted(sensors[reference], key=lambda file: _pixel_m(file.grid, latitude))
    first = files[0].grid
    if crs is None and resolution is None:
        return _union(files)
    system = crs or first.crs
    bounds = [move_bounds(file.grid.bounds, file.grid.crs, system) for file in files]
    if resolution is None:
        if system != first.crs:
            raise InputError(f"a map in {crs_text(system)} takes a resolution, too: the side of a pixel in its units.")
        return cover(_around(bounds), system, math.sqrt(abs(first.transform.determinant)))
    grid = cover(_around(bounds), system, resolution)
    _check_resolution(grid, resolution, [file.grid for files in sensors.values() for file in files])
    return grid


def cut_grid(grid: Grid, bounds: Bounds) -> Grid:
    """The pixels of a grid that touch some bounds."""
    left, bottom, right, top = bounds
    if not (left < right and bottom < top):
        raise InputError(
            f"the bounds are {bounds_text(bounds)}, expected LEFT BOTTOM RIGHT TOP with LEFT < RIGHT and BOTTOM < TOP."
        )
    columns, rows = map(_touched, ~grid.transform * np.array([(left, left, right, right), (bottom, top, bottom, top)]))
    row_part = slice(max(rows.start, 0), min(rows.stop, grid.height))
    column_part = slice(max(columns.start, 0), min(columns.stop, grid.width))
    if row_part.start >= row_part.stop or column_part.start >= column_part.stop:
        raise InputError(
            f"the area asked for ({bounds_text(bounds)}) holds no pixel of the map ({bounds_text(grid.bounds)} in {crs_text(grid.crs)})."
        )
    return grid.part(row_part, column_part)


def cover_with_windows(whole: Grid, part: Grid, size: int, overlap: int) -> Grid:
    """The pixels of those windows of the whole map that come within a window of a part of it.

    They begin and end where windows of the whole map do: over them, windows are at the same places.

    Args:
        size, overlap: of the windows, px.
    """
    offset = whole.offset_of(part, SAME_PIXELS)
    assert offset is not None  # it is a part of it
    top, left = offset
    area = top - size, left - size, top + part.height + size, left + part.width + size
    windows = WindowGrid(*whole.shape, size, overlap).part(*area)
    rows = slice(windows.top, windows.top + windows.height)
    return whole.part(rows, slice(windows.left, windows.left + windows.width))


def check_place(grid: Grid) -> None:
    """Refuse a map that is not on the ground."""
    crs = grid.crs
    assert crs is not None  # see `look_at`
    if not (crs.is_geographic or crs.is_projected):
        raise InputError(
            f"the map would be in {crs_text(crs)}, expected a geographic or projected coordinate system: pass a crs."
        )
    if crs.is_geographic:
        placed = bool(np.abs(grid.points(2)[1]).max() <= 90 + 1e-9)
    else:
        # The center: the corners of a map of the world may have no place.
        placed = move_points(grid.points(1), crs, WGS84) is not None
    if not placed:
        raise InputError(
            f"the map ({bounds_text(grid.bounds)} in {crs_text(crs)}) has no place on Earth. See whether the rasters' geotransforms and "
            "coordinate systems are right, or pass bounds."
        )


def _union(files: Sequence[SceneFile]) -> Grid:
    """The first file's pixels, continued over all files."""
    first = files[0].grid
    tops, lefts, bottoms, rights = [0], [0], [first.height], [first.width]
    for file in files[1:]:
        corners = file.grid.corners(first.crs)
        if corners is None:
            raise InputError(
                f"{file.path} has no place in {crs_text(first.crs)}, the system of {files[0].path}; pass a crs and a resolution."
            )
        columns, rows = map(_touched, ~first.transform * corners)  # of files on other pixels, those that they touch
        tops.append(rows.start)
        lefts.append(columns.start)
        bottoms.append(rows.stop)
        rights.append(columns.stop)
    return first.part(slice(min(tops), max(bottoms)), slice(min(lefts), max(rights)))


def _check_resolution(grid: Grid, resolution: float, sensors: Sequence[Grid]) -> None:
    """Refuse pixels of a map that are far from those of any sensor: most likely degrees are taken for meters or the other
    way round."""
    latitude = _latitude(sensors)
    side, sides = _pixel_m(grid, latitude), [_pixel_m(sensor, latitude) for sensor in sensors]
    if not min(sides) / FAR_RESOLUTION <= side <= max(sides) * FAR_RESOLUTION:
        raise InputError(
            f"the resolution is {resolution:g} in {crs_text(grid.crs)}, about {side:.3g} m on the ground; expected something near "
            f"the sensors' pixels of {min(sides):.3g} to {max(sides):.3g} m. Its unit is that of the map's system."
        )


def _latitude(grids: Iterable[Grid]) -> float:
    """Where pixels are compared, degrees: the mean over the middles of some grids. Each at its own place, of two files with the
    same pixels in degrees the one farther from the equator would be the finer one."""
    places = [move_points(grid.points(1), grid.crs, WGS84) for grid in grids]
    found = [float(place[1][0, 0]) for place in places if place is not None]
    mean = sum(found) / len(found) if found else 0.0
    return max(-89.0, min(mean, 89.0))  # of places that are nowhere, see `check_place`, too


def _pixel_m(grid: Grid, latitude: float) -> float:
    """The side of a grid's pixels on the ground, in meters, about: the geometric mean of both sides.

    Args:
        latitude: at which, degrees; it matters where the grid is in degrees or on a Mercator map of the world.
    """
    crs, transform = grid.crs, grid.transform
    assert crs is not None  # see `look_at`
    across = down = crs.linear_units_factor[1] if crs.is_projected else 1.0
    if (turn := period(crs)) is not None:
        across = EQUATOR_M / turn * math.cos(math.radians(latitude))
        down = EQUATOR_M / turn if crs.is_geographic else across
    sides = (math.hypot(x * across, y * down) for x, y in ((transform.a, transform.d), (transform.b, transform.e)))
    return math.sqrt(math.prod(sides))


def _touched(places: np.ndarray) -> slice:
    """The rows or columns that some places touch; rounded, as an edge on a pixel's must not cost a row."""
    return slice(math.floor(round(float(places.min()), 3)), math.ceil(round(float(places.max()), 3)))


def _around(bounds: Sequence[Bounds]) -> Bounds:
    lefts, bottoms, rights, tops = zip(*bounds)
    return min(lefts), min(bottoms), max(rights), max(tops)
