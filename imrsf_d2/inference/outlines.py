"""From masks to polygons in the scene's coordinates, and their area on the ground."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import shapely
from rasterio.crs import CRS
from rasterio.features import shapes
from rasterio.transform import Affine
from rasterio.warp import transform
from shapely.geometry import LinearRing, LineString, MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry

from imrsf_d2.geo.projections import longitude_latitude
from imrsf_d2.geo.wrapping import EQUATOR_M, is_mercator, period

__all__ = ["area_m2", "outline", "outlines"]

#: Pixels that are traced at a time.
SHEET_PX = 1 << 21
#: Edges that are straight on a map of the world are curves elsewhere: none is longer than this when an area is measured.
LONGEST_EDGE_DEGREES = 0.001


def outline(mask: np.ndarray, transform: Affine, simplify: float = 0.0) -> BaseGeometry:
    """The outline of one mask; see `outlines`."""
    (geometry,) = outlines([(0, 0, mask)], transform, simplify)
    return geometry


def outlines(
    masks: Iterable[tuple[int, int, np.ndarray]], transform: Affine, simplify: float = 0.0
) -> Iterator[BaseGeometry]:
    """The outlines of masks along the edges of their pixels, holes included.

    Args:
        masks: first row and column in the scene, and [h, w] bool with at least one pixel; taken in some at a time.
        transform: from (column, row) of the scene to its coordinates.
        simplify: how far an outline may be moved to leave corners out, in units of the coordinates; 0 keeps every pixel
            edge, so that the polygon rasterizes to the mask.

    Yields:
        For each mask a valid Polygon, or a MultiPolygon if it has several parts; pixels that meet at a corner alone are two
        parts.
    """
    for sheet in _sheets(masks):
        for parts in _trace(sheet, transform):
            geometry = parts[0] if len(parts) == 1 else shapely.union_all(parts)
            geometry = geometry if geometry.is_valid else _polygons(shapely.make_valid(geometry))
            yield _simplified(geometry, simplify) if simplify > 0 else geometry


def _sheets(masks: Iterable[tuple[int, int, np.ndarray]]) -> Iterator[list[tuple[int, int, np.ndarray]]]:
    """Masks that are traced together: beside each other they take no more than `SHEET_PX`."""
    sheet: list[tuple[int, int, np.ndarray]] = []
    height = width = 0
    for top, left, mask in masks:
        height, width = max(height, mask.shape[0]), width + mask.shape[1] + 1
        if sheet and height * width > SHEET_PX:
            yield sheet
            sheet, height, width = [], mask.shape[0], mask.shape[1] + 1
        sheet.append((top, left, mask))
    if sheet:
        yield sheet


def _trace(sheet: Sequence[tuple[int, int, np.ndarray]], transform: Affine) -> list[list[Polygon]]:
    """The polygons of each mask of a sheet, from one call of GDAL: most of its time would be the beginning of calls."""
    height = max(mask.shape[0] for _, _, mask in sheet)
    starts = np.cumsum([0, *(mask.shape[1] + 1 for _, _, mask in sheet)]).tolist()
    numbers = np.zeros((height, starts[-1]), dtype=np.int32)
    for number, ((_, _, mask), start) in enumerate(zip(sheet, starts), start=1):
        numbers[: mask.shape[0], start : start + mask.shape[1]][mask] = number
    parts: list[list[Polygon]] = [[] for _ in sheet]
    for part, number in shapes(numbers, mask=numbers > 0, connectivity=4):
        top, left, _ = sheet[int(number) - 1]
        start = starts[int(number) - 1]
        rings = []
        for ring in part["coordinates"]:
            columns, rows = np.array(ring).T
            rings.append(np.transpose(transform * (columns + (left - start), rows + top)))
        parts[int(number) - 1].append(Polygon(rings[0], rings[1:]))
    return parts


def _simplified(geometry: BaseGeometry, tolerance: float) -> BaseGeometry:
    """Fewer corners, each of those left out within the tolerance of the new outline; holes and parts stay.

    Ring by ring, as GEOS's way of keeping polygons valid moves outlines by more than is asked for. Where rings would cross,
    less is simplified.
    """
    for divisor in (1, 2, 4):
        simpler = [
            Polygon(
                _fewer(polygon.exterior, tolerance / divisor),
                [_fewer(hole, tolerance / divisor) for hole in polygon.interiors],
            )
            for polygon in shapely.get_parts(geometry)
        ]
        result = simpler[0] if len(simpler) == 1 else MultiPolygon(simpler)
        if result.is_valid:
            return result
    return geometry


def _fewer(ring: LinearRing, tolerance: float) -> np.ndarray:
    corners = LineString(ring.coords).simplify(tolerance, preserve_topology=False).coords
    return np.array(corners if len(corners) >= 4 else ring.coords)


def _polygons(geometry: BaseGeometry) -> BaseGeometry:
    """What has an area of what a repair has left."""
    if isinstance(geometry, (Polygon, MultiPolygon)):
        return geometry
    parts = [part for part in shapely.get_parts(geometry) if isinstance(part, (Polygon, MultiPolygon))]
    return shapely.union_all(parts) if parts else Polygon()


def area_m2(geometry: BaseGeometry, crs: CRS) -> float:
    """The area of a geometry in square meters: on the ellipsoid where the coordinates are degrees or those of a Mercator map, whose
    meters are shorter the farther they are from the equator; else on the map.

    Args:
        geometry: in the system `crs`.

    Raises:
        InputError: if it is to be measured on the ellipsoid, and its center has no place there.
    """
    if not (crs.is_geographic or is_mercator(crs)):
        return float(geometry.area * crs.linear_units_factor[1] ** 2)
    turn = period(crs) or EQUATOR_M / crs.linear_units_factor[1]  # of a map of a region: about
    dense = shapely.segmentize(geometry, LONGEST_EDGE_DEGREES * turn / 360)
    longitude, latitude = longitude_latitude(dense.centroid.x, dense.centroid.y, crs)
    # Equal in area on the ellipsoid, wherever its center lies.
    local = CRS.from_proj4(f"+proj=laea +lat_0={latitude:.6f} +lon_0={longitude:.6f} +datum=WGS84 +units=m")

    def project(points: np.ndarray) -> np.ndarray:
        return np.stack(transform(crs, local, points[:, 0], points[:, 1])[:2], axis=1)

    return float(shapely.transform(dense, project).area)
