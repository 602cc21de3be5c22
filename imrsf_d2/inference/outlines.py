"""From masks to polygons in the scene's coordinates, and their area on the ground."""

from __future__ import annotations

import numpy as np
import shapely
from rasterio.crs import CRS
from rasterio.features import shapes
from rasterio.transform import Affine
from rasterio.warp import transform
from shapely.geometry import LinearRing, LineString, MultiPolygon, Polygon, shape
from shapely.geometry.base import BaseGeometry

__all__ = ["area_m2", "outline"]

#: Straight edges in degrees are no straight edges in meters: none is longer than this when an area is measured.
LONGEST_EDGE_DEGREES = 0.001


def outline(mask: np.ndarray, transform: Affine, simplify: float = 0.0) -> BaseGeometry:
    """The outline of a mask along the edges of its pixels, holes included.

    Args:
        mask: [H, W] bool with at least one pixel.
        transform: from (column, row) of the mask to the scene's coordinates.
        simplify: how far the outline may be moved to leave corners out, in units of the coordinates; 0 keeps every pixel
            edge, so that the polygon rasterizes to the mask.

    Returns:
        A valid Polygon, or a MultiPolygon if the mask has several parts; pixels that meet at a corner alone are two parts.
    """
    parts = [shape(part) for part, _ in shapes(mask.view(np.uint8), mask=mask, connectivity=4, transform=transform)]
    geometry = parts[0] if len(parts) == 1 else shapely.union_all(parts)
    geometry = geometry if geometry.is_valid else _polygons(shapely.make_valid(geometry))
    return _simplified(geometry, simplify) if simplify > 0 else geometry


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
    """The area of a geometry in square meters: on the ellipsoid where the coordinates are degrees, else on the map.

    Args:
        geometry: in the system `crs`.
    """
    if not crs.is_geographic:
        return float(geometry.area * crs.linear_units_factor[1] ** 2)
    dense = shapely.segmentize(geometry, LONGEST_EDGE_DEGREES)
    middle = dense.centroid
    # Equal in area on the ellipsoid, wherever its center lies.
    local = CRS.from_proj4(f"+proj=laea +lat_0={middle.y:.6f} +lon_0={middle.x:.6f} +datum=WGS84 +units=m")

    def project(points: np.ndarray) -> np.ndarray:
        return np.stack(transform(crs, local, points[:, 0], points[:, 1])[:2], axis=1)

    return float(shapely.transform(dense, project).area)
