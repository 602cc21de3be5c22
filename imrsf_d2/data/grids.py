"""Where a raster's pixels lie on the ground, and how one grid's pixels get onto another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import rasterio
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.transform import Affine, xy
from rasterio.warp import reproject

__all__ = ["Grid", "TOLERANCE_PX", "resample"]

#: Grids whose corners lie closer than this share of a pixel are one grid.
TOLERANCE_PX = 0.1


@dataclass(frozen=True)
class Grid:
    """A raster's pixel grid.

    Args:
        height, width: px.
        crs: coordinate reference system, or None.
        transform: from (column, row) of a pixel's upper left corner to map coordinates.
    """

    height: int
    width: int
    crs: CRS | None
    transform: Affine

    @classmethod
    def of(cls, file: rasterio.DatasetReader) -> Grid:
        """The grid of an open raster."""
        return cls(file.height, file.width, file.crs, file.transform)

    @property
    def located(self) -> bool:
        """True if it is known where on the ground the pixels lie."""
        return self.crs is not None and not self.transform.is_identity and not self.transform.is_degenerate

    def scaled_to(self, height: int, width: int) -> Grid:
        """The same ground in another number of pixels."""
        a, across, down = self.transform, self.width / width, self.height / height
        return Grid(height, width, self.crs, Affine(a.a * across, a.b * down, a.c, a.d * across, a.e * down, a.f))

    def part(self, rows: slice, columns: slice) -> Grid:
        """Some of its rows and columns."""
        a, row, column = self.transform, rows.start, columns.start
        return Grid(rows.stop - row, columns.stop - column, self.crs, Affine(
            a.a, a.b, a.c + a.a * column + a.b * row, a.d, a.e, a.f + a.d * column + a.e * row))

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W)."""
        return self.height, self.width

    def equals(self, other: Grid) -> bool:
        """True if pixel for pixel shows the same place, as far as both say where they lie."""
        if self.shape != other.shape:
            return False
        if not (self.located and other.located):
            return True
        if self.crs != other.crs:
            return False
        rows, columns = (0, 0, self.height, self.height), (0, self.width, 0, self.width)
        ours = np.array(xy(self.transform, rows, columns, offset="ul"))
        theirs = np.array(xy(other.transform, rows, columns, offset="ul"))
        pixel = np.sqrt(abs(self.transform.determinant))
        return bool(np.abs(ours - theirs).max() <= TOLERANCE_PX * pixel)


def resample(bands: np.ndarray, valid: np.ndarray, source: Grid, target: Grid,
             categorical: bool) -> tuple[np.ndarray, np.ndarray]:
    """Bring a raster onto another grid through the places of their pixels on the ground.

    A pixel is valid if the source pixel at its centre is; measurements are interpolated bilinearly among the valid
    source pixels alone, so what an invalid pixel holds never shows.

    Args:
        bands: [C, h, w] float32 on the source grid; what invalid pixels hold does not matter.
        valid: [h, w] bool, True = holds data.
        source, target: both located.
        categorical: class indices, which are taken from the nearest pixel.

    Returns:
        bands [C, H, W] float32 and validity [H, W] bool on the target grid. Invalid pixels hold anything.
    """
    places = {"src_transform": source.transform, "src_crs": source.crs, "dst_transform": target.transform,
              "dst_crs": target.crs, "tolerance": 0}  # no approximation of the map projection
    on_target = np.zeros(target.shape, dtype=np.uint8)
    reproject(valid.astype(np.uint8), on_target, resampling=Resampling.nearest, **places)
    values = np.full((len(bands), *target.shape), np.nan, dtype=np.float32)
    reproject(np.where(valid, bands, np.float32(np.nan)), values, src_nodata=np.nan, dst_nodata=np.nan,
              resampling=Resampling.nearest if categorical else Resampling.bilinear, **places)
    return values, (on_target > 0) & np.isfinite(values).all(axis=0)
