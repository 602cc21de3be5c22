"""From scenes of any grid to the pixels of one tile."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from rasterio._err import CPLE_BaseError
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.transform import Affine
from rasterio.warp import reproject, transform

from imrsf_d2.preparation.grids import Grid
from imrsf_d2.preparation.scenes import Mosaic, read_window
from imrsf_d2.preparation.sensors import SENSORS

__all__ = ["resample"]

# What one window of a scene may hold at a time, pixels times bands (64 MB); larger ones are read in quarters.
LARGEST_WINDOW = 1 << 24
# Source pixels per grid pixel from which the kernel is widened. Below it plain interpolation misses next to nothing and
# is exact on planes, which a triangle of a pixel and a half is not: it is off by up to a twentieth of a pixel.
WIDEN_FROM = 2.2
# Places along each side of a tile where its outline on the scene is looked up.
OUTLINE = 9


def resample(mosaics: Sequence[Mosaic], grid: Grid) -> np.ndarray:
    """The pixels of a grid, bilinearly interpolated (the nearest for classes), from the first mosaic that has them.

    A pixel has data if the scene's nearest pixel has; only valid pixels take part in its interpolation. Scenes finer
    than half the grid's pixels are averaged with the kernel widened to the grid's pixels.

    Args:
        mosaics: of one sensor, not empty.
        grid: the tile.

    Returns:
        [C, H, W] float32, NaN in all bands of a pixel without data.

    Raises:
        RasterError, ValueError: see `read_window`.
    """
    values = _resample(mosaics[0], grid)
    for mosaic in mosaics[1:]:
        empty = np.isnan(values[0])
        if not empty.any():
            break
        values[:, empty] = _resample(mosaic, grid)[:, empty]
    return values


def _resample(mosaic: Mosaic, grid: Grid) -> np.ndarray:
    bands = len(SENSORS[mosaic.sensor].bands)
    values = np.full((bands, grid.height, grid.width), np.nan, dtype=np.float32)
    outline = _outline(mosaic, grid)
    if outline is None:
        return values
    row_scale, column_scale, (top, left, bottom, right) = outline
    # The interpolation reaches one source pixel further, or one of the grid's where those are larger.
    row_margin, column_margin = math.ceil(max(1, 1 / row_scale)) + 1, math.ceil(max(1, 1 / column_scale)) + 1
    top, left = math.floor(top) - row_margin, math.floor(left) - column_margin
    height, width = math.ceil(bottom) + row_margin - top, math.ceil(right) + column_margin - left
    if not any(top < piece.row + piece.height and piece.row < top + height and
               left < piece.column + piece.width and piece.column < left + width for piece in mosaic.pieces):
        return values
    if bands * height * width > LARGEST_WINDOW and max(grid.height, grid.width) > 1:
        for rows in _halves(grid.height):
            for columns in _halves(grid.width):
                part = grid.part(rows.start, columns.start, rows.stop - rows.start, columns.stop - columns.start)
                values[:, rows, columns] = _resample(mosaic, part)
        return values
    source = read_window(mosaic, top, left, height, width)
    if not np.isnan(source[0]).all():
        a = mosaic.transform
        corner = Affine(a.a, a.b, a.c + a.a * left + a.b * top, a.d, a.e, a.f + a.d * left + a.e * top)
        nearest = SENSORS[mosaic.sensor].categorical
        # tolerance=0: no approximation of the map projection. XSCALE, YSCALE: what GDAL would guess from the window.
        reproject(source, values, src_transform=corner, src_crs=mosaic.crs, dst_transform=grid.transform,
                  dst_crs=grid.crs, src_nodata=np.nan, dst_nodata=np.nan, tolerance=0, XSCALE=column_scale,
                  YSCALE=row_scale, resampling=Resampling.nearest if nearest else Resampling.bilinear)
    return values


def _halves(length: int) -> list[slice]:
    middle = (length + 1) // 2
    return [slice(0, middle), slice(middle, length)] if length > 1 else [slice(0, length)]


def _outline(mosaic: Mosaic, grid: Grid) -> tuple[float, float, tuple[float, float, float, float]] | None:
    """Where a grid lies on a lattice: grid pixels per source pixel along rows and columns (1 for a plain kernel), and
    top, left, bottom, right in source pixels; None if nowhere."""
    left, bottom, right, top = grid.bounds
    xs, ys = np.meshgrid(np.linspace(left, right, OUTLINE), np.linspace(top, bottom, OUTLINE))
    try:
        xs, ys = (np.asarray(side) for side in transform(grid.crs, mosaic.crs, xs.ravel(), ys.ravel()))
    except (RasterioError, CPLE_BaseError):
        return None
    if not (np.isfinite(xs) & np.isfinite(ys)).all():
        return None  # partly outside the domain of the scene's projection, so not in the scene
    inverse = ~mosaic.transform
    rows = (inverse.d * xs + inverse.e * ys + inverse.f).reshape(OUTLINE, OUTLINE)
    columns = (inverse.a * xs + inverse.b * ys + inverse.c).reshape(OUTLINE, OUTLINE)

    def scale(place: np.ndarray) -> float:
        down = np.abs(place[-1] - place[0]).max() / grid.height
        across = np.abs(place[:, -1] - place[:, 0]).max() / grid.width
        ratio = np.hypot(down, across)
        return float(1 / ratio) if ratio > WIDEN_FROM else 1.0

    return scale(rows), scale(columns), (rows.min(), columns.min(), rows.max(), columns.max())
