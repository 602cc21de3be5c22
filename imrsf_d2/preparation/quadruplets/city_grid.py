"""The pixel grid of a city's tiles: that of its Sentinel-2 scenes, where possible."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import shapely
from rasterio.crs import CRS

from imrsf_d2.geo.grids import Grid, cover
from imrsf_d2.geo.projections import Bounds, is_metric, metric_crs, move_bounds
from imrsf_d2.preparation.quadruplets.mosaics import LATTICE_TOLERANCE_PX, Mosaic

__all__ = ["city_grid"]


def city_grid(scenes: Sequence[Mosaic], extent: Bounds, crs: CRS, resolution: float) -> tuple[Grid, str]:
    """The grid over a city's labels.

    It continues the pixels of Sentinel-2 scenes with square pixels of size `resolution`, north up, in a metric system, so
    that these can be copied. Among several such lattices it chooses the one that shows the largest share of the extent, or
    the first of equals. Without any, the corners are multiples of the resolution, in the system of the first scene if that
    is metric, otherwise in the UTM zone.

    Args:
        scenes: mosaics of Sentinel-2, one per lattice; may be empty.
        extent, crs: of the labels.
        resolution: m.

    Returns:
        The grid; and the reason why some of the scenes have to be resampled onto it, "" if none have to be.
    """
    shares = [_share(mosaic, extent, crs) if _fits(mosaic, resolution) else 0.0 for mosaic in scenes]
    if any(shares):
        first = scenes[best := shares.index(max(shares))]
        grid = cover(move_bounds(extent, crs, first.crs), first.crs, resolution, (first.transform.c, first.transform.f))
        others = [_name(mosaic) for mosaic in scenes if mosaic is not first]
        reason = (
            f"its files lie on {len(scenes)} different grids; the tiles are on that of {_name(first)}, which shows "
            f"{100 * shares[best]:.0f} % of the labels' extent, and {', '.join(others)} had to be resampled"
        )
        return grid, reason if others else ""
    system = metric_crs(scenes[0].crs if scenes else None, extent, crs)
    grid = cover(move_bounds(extent, crs, system), system, resolution)
    if not scenes:
        return grid, ""
    odd = next((mosaic for mosaic in scenes if not _fits(mosaic, resolution)), scenes[0])
    a, unit = odd.transform, odd.crs.units_factor[0].replace("metre", "m")
    turned = ", turned" if a.b or a.d else ""
    return grid, (
        f"the pixels of {_name(odd)} are {math.hypot(a.a, a.d):g} x {math.hypot(a.b, a.e):g} {unit} in "
        f"{odd.crs.to_string()[:60]}{turned}, those of the tiles {resolution:g} x {resolution:g} m in "
        f"{system.to_string()[:60]}. To keep values as they are, provide scenes with square pixels, north up, in a "
        "metric system, and pass the size of a pixel as --resolution"
    )


def _fits(mosaic: Mosaic, resolution: float) -> bool:
    a = mosaic.transform
    if a.b or a.d or not is_metric(mosaic.crs):
        return False
    extent = max(max(abs(piece.row), abs(piece.column)) + max(piece.height, piece.width) for piece in mosaic.pieces)
    return max(abs(a.a - resolution), abs(a.e + resolution)) * extent < LATTICE_TOLERANCE_PX * resolution


def _share(mosaic: Mosaic, extent: Bounds, crs: CRS) -> float:
    """The share of an extent that a mosaic's files show."""
    try:
        area = shapely.box(*move_bounds(extent, crs, mosaic.crs))
    except ValueError:
        return 0.0  # outside the domain of the projection
    return area.intersection(shapely.union_all([shapely.box(*bounds) for bounds in mosaic.bounds])).area / area.area


def _name(mosaic: Mosaic) -> str:
    more = f" and {len(mosaic.pieces) - 1} more" if len(mosaic.pieces) > 1 else ""
    return f"{Path(mosaic.pieces[0].path).name}{more}"
