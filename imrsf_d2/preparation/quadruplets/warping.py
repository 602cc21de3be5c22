"""Scenes on any grid become the pixels of one tile."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from rasterio.enums import Resampling
from rasterio.transform import Affine

from imrsf_d2.geo.grids import Grid
from imrsf_d2.geo.projecting import project
from imrsf_d2.geo.projections import move_points
from imrsf_d2.geo.wrapping import move_near, period
from imrsf_d2.preparation.quadruplets.antimeridian import moved_near
from imrsf_d2.preparation.quadruplets.mosaics import Mosaic, read_window
from imrsf_d2.preparation.quadruplets.sensors import EXPORTED

__all__ = ["fill_grid"]

# Largest window of a scene that is read at once, pixels times bands (64 MB); larger ones are read in quarters.
LARGEST_WINDOW = 1 << 24
# Source pixels per grid pixel from which the kernel is widened. Below that, plain interpolation misses very little and is
# exact on planes, where a kernel of one and a half pixels is off by up to a twentieth of a pixel.
WIDEN_FROM = 2.2
# Points along each side of a tile at which its outline on the scene is computed.
OUTLINE = 9


def fill_grid(mosaics: Sequence[Mosaic], grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """The pixels of a grid, from the first mosaic that has data there.

    Where the pixels of a scene are those of the grid, they are copied. Otherwise measurements are interpolated
    bilinearly, and classes are taken from the nearest pixel. A pixel has data if the scene's nearest pixel has; only valid
    pixels take part in its interpolation. Scenes finer than half the grid's pixels are averaged with the kernel widened to
    the grid's pixels.

    Args:
        mosaics: of one sensor, not empty.
        grid: of the tile.

    Returns:
        values [C, H, W] float32, NaN in all bands of a pixel without data; and [H, W] bool, True where they are a scene's own.

    Raises:
        RasterError, ValueError: see `read_window`.
    """
    values = np.full((len(EXPORTED[mosaics[0].sensor].bands), grid.height, grid.width), np.nan, dtype=np.float32)
    copied = np.zeros(values.shape[1:], dtype=bool)
    for mosaic in mosaics:
        empty = np.isnan(values[0])
        if not empty.any():
            break
        if (corner := mosaic.offset_of(grid)) is not None:
            found = read_window(mosaic, *corner, grid.height, grid.width)
            copied |= empty & ~np.isnan(found[0])
        else:
            found = _interpolated(mosaic, grid)
        values[:, empty] = found[:, empty]
    return values, copied


def _interpolated(mosaic: Mosaic, grid: Grid) -> np.ndarray:
    center = move_points(grid.points(1), grid.crs, mosaic.crs)
    if center is None:
        return np.full((len(EXPORTED[mosaic.sensor].bands), grid.height, grid.width), np.nan, dtype=np.float32)
    middle = float(center[0][0, 0])
    values, *more = (_project(copy, grid, middle) for copy in moved_near(mosaic, middle))
    for new in more:
        values = np.where(np.isnan(values[0]), new, values)
    return values


def _project(mosaic: Mosaic, grid: Grid, middle: float) -> np.ndarray:
    bands = len(EXPORTED[mosaic.sensor].bands)
    values = np.full((bands, grid.height, grid.width), np.nan, dtype=np.float32)
    outline = _outline(mosaic, grid, middle)
    if outline is None:
        return values
    row_scale, column_scale, (top, left, bottom, right), (west, east) = outline
    # The interpolation reaches one source pixel further, or one pixel of the grid where those are larger.
    row_margin, column_margin = math.ceil(max(1, 1 / row_scale)) + 1, math.ceil(max(1, 1 / column_scale)) + 1
    top, left = math.floor(top) - row_margin, math.floor(left) - column_margin
    height, width = math.ceil(bottom) + row_margin - top, math.ceil(right) + column_margin - left
    if not any(
        top < piece.row + piece.height
        and piece.row < top + height
        and left < piece.column + piece.width
        and piece.column < left + width
        for piece in mosaic.pieces
    ):
        return values
    if bands * height * width > LARGEST_WINDOW and max(grid.height, grid.width) > 1:
        for rows in _halves(grid.height):
            for columns in _halves(grid.width):
                values[:, rows, columns] = _project(mosaic, grid.part(rows, columns), middle)
        return values
    source = read_window(mosaic, top, left, height, width)
    if np.isnan(source[0]).all():
        return values
    corner = mosaic.transform * Affine.translation(left, top)
    nearest = EXPORTED[mosaic.sensor].categorical

    def moved(move: float) -> np.ndarray:
        here = Grid(height, width, mosaic.crs, Affine.translation(move, 0) * corner)
        return project(source, here, grid, Resampling.nearest if nearest else Resampling.bilinear, (row_scale, column_scale))

    values = moved(0)
    turn = period(mosaic.crs)
    if turn and max(-west, east) > turn / 2:
        # Projections end at 180 degrees and continue from -180: pixels beyond are found when the window is moved by a turn.
        values = np.where(np.isnan(values[0]), moved(-turn if east > turn / 2 else turn), values)
    return values


def _halves(length: int) -> list[slice]:
    middle = (length + 1) // 2
    return [slice(0, middle), slice(middle, length)] if length > 1 else [slice(0, length)]


def _outline(
    mosaic: Mosaic, grid: Grid, middle: float
) -> tuple[float, float, tuple[float, float, float, float], tuple[float, float]] | None:
    """Where a grid lies on a lattice: grid pixels per source pixel along rows and columns (1 for a plain kernel); top, left,
    bottom, right in source pixels; smallest and largest x. None if it lies nowhere."""
    if (places := move_points(grid.points(OUTLINE), grid.crs, mosaic.crs)) is None:
        return None  # partly outside the domain of the scene's projection, so not in the scene
    xs, ys = places
    if turn := period(mosaic.crs):
        xs = move_near(xs, middle, turn)
    columns, rows = ~mosaic.transform * (xs, ys)

    def scale(place: np.ndarray) -> float:
        down = np.abs(place[-1] - place[0]).max() / grid.height
        across = np.abs(place[:, -1] - place[:, 0]).max() / grid.width
        ratio = np.hypot(down, across)
        return float(1 / ratio) if ratio > WIDEN_FROM else 1.0

    return (
        scale(rows),
        scale(columns),
        (rows.min(), columns.min(), rows.max(), columns.max()),
        (float(xs.min()), float(xs.max())),
    )
