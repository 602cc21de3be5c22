"""Buildings of a map as polygons in a file, on the pixels of the map."""

from __future__ import annotations

import os

import numpy as np
import pycocotools.mask as mask_util
import pyogrio
import shapely
from rasterio.crs import CRS
from shapely.geometry.base import BaseGeometry

from imrsf_d2.evaluation.map_scores import PlacedMask
from imrsf_d2.geo.grids import Grid
from imrsf_d2.utils.errors import InputError

__all__ = ["read_buildings"]


def read_buildings(path: str | os.PathLike, grid: Grid) -> list[PlacedMask]:
    """The polygons of a vector file as masks, rasterized as those of COCO annotations; those outside the grid are left out.

    Args:
        path: a file whose first layer has polygons in the system of the grid.
        grid: the pixels of the map.

    Raises:
        ValueError: if the file is in another system.
    """
    crs = pyogrio.read_info(path)["crs"]
    if not crs or grid.crs != CRS.from_user_input(crs):
        raise InputError(f"{os.fspath(path)} is in {crs or 'no system'}, expected the system of the map, {grid.crs}.")
    _, _, outlines, _ = pyogrio.raw.read(path, columns=[], force_2d=True)
    to_pixels = ~grid.transform
    buildings = []
    for outline in shapely.from_wkb(outlines):
        pixels = shapely.transform(outline, lambda points: np.column_stack(to_pixels * points.T))
        inside = shapely.intersection(pixels, shapely.box(0, 0, grid.width, grid.height))
        if inside.area > 0 and (placed := _rasterize(inside, grid)) is not None:
            buildings.append(placed)
    return buildings


def _rasterize(outline: BaseGeometry, grid: Grid) -> PlacedMask | None:
    """An outline in pixels as a mask; None if it has no pixel."""
    left, top, right, bottom = outline.bounds
    left, top = int(left), int(top)
    height, width = min(int(bottom) + 1, grid.height) - top, min(int(right) + 1, grid.width) - left
    mask = np.zeros((height, width), bool)
    for part in shapely.get_parts(outline):
        if part.geom_type == "Polygon":
            outer, *holes = (_fill(ring, left, top, height, width) for ring in (part.exterior, *part.interiors))
            mask |= outer & ~np.logical_or.reduce([np.zeros_like(outer), *holes])
    return PlacedMask(top, left, mask) if mask.any() else None


def _fill(ring: BaseGeometry, left: int, top: int, height: int, width: int) -> np.ndarray:
    # To 0.01 px, as outlines in annotations are given: a corner that lies on a pixel's must not miss it by the last bit.
    points = np.round(shapely.get_coordinates(ring)[:-1] - (left, top), 2)
    return mask_util.decode(mask_util.frPyObjects([points.ravel().tolist()], height, width))[:, :, 0].astype(bool)
