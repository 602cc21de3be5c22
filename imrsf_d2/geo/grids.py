"""Where a raster's pixels lie on the ground, and how one grid's pixels get onto another."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.transform import Affine, xy
from rasterio.warp import reproject, transform

__all__ = ["Grid", "TOLERANCE_PX", "Warp"]

#: Grids whose corners lie closer than this share of a pixel are one grid.
TOLERANCE_PX = 0.1
#: Points along each side of a grid where it is looked up on another.
OUTLINE = 17


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
        return Grid(
            rows.stop - row,
            columns.stop - column,
            self.crs,
            Affine(a.a, a.b, a.c + a.a * column + a.b * row, a.d, a.e, a.f + a.d * column + a.e * row),
        )

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
        theirs = other.corners(self.crs)
        pixel = np.sqrt(abs(self.transform.determinant))
        return theirs is not None and bool(np.abs(self.corners(self.crs) - theirs).max() <= TOLERANCE_PX * pixel)

    def corners(self, crs: CRS) -> np.ndarray | None:
        """The corners' map coordinates [2, 4] in some system, heights left out (a system with heights, or another datum of
        the same place, is no other place); None if it has no place for them."""
        rows, columns = (0, 0, self.height, self.height), (0, self.width, 0, self.width)
        places = np.array(xy(self.transform, rows, columns, offset="ul"))
        if self.crs == crs:
            return places
        try:
            places = np.array(transform(self.crs, crs, *places.tolist())[:2])
        except (RasterioError, CPLE_BaseError):
            return None
        return places if np.isfinite(places).all() else None

    def meets(self, other: Grid) -> bool:
        """Whether the outlines of two located grids overlap, in the system of either: across 180 degrees one may not do."""
        return self._holds_some_of(other) or other._holds_some_of(self)

    def _holds_some_of(self, other: Grid) -> bool:
        theirs = other.corners(self.crs)
        if theirs is None:
            return False
        a = ~self.transform
        columns, rows = a.a * theirs[0] + a.b * theirs[1] + a.c, a.d * theirs[0] + a.e * theirs[1] + a.f
        return bool(columns.max() > 0 and rows.max() > 0 and columns.min() < self.width and rows.min() < self.height)


@dataclass(frozen=True)
class Warp:
    """How pixels get from one grid onto (a part of) another, through their places on the ground.

    Neither the part that is asked for nor the part of the source that is read changes the kernel: GDAL would guess its width
    from the two, and take another one along the edges of a scene, so it is told. What it does approximate row by row is the
    map projection, by hundredths of a pixel.

    Args:
        source, target: both located.
        part: rows and columns of the target that are wanted.
        window: rows and columns of the source that these depend on.
        scale: target pixels per source pixel along the rows and columns of the source, where the source is finer (then the
            kernel is as wide as a target pixel); otherwise 1.
    """

    source: Grid
    target: Grid
    part: tuple[slice, slice]
    window: tuple[slice, slice]
    scale: tuple[float, float]

    @classmethod
    def between(cls, source: Grid, target: Grid, part: tuple[slice, slice] | None = None) -> Warp:
        """From the pixels of `source` to those of `target`, or of some of its rows and columns."""
        everything = slice(0, target.height), slice(0, target.width)
        places = _places(source, target, everything)
        scale = (1.0, 1.0) if places is None else tuple(_scale(axis, target.shape) for axis in places)
        if part is not None:
            places = _places(source, target, part)
        window = slice(0, source.height), slice(0, source.width)
        if places is not None and all(map(_continuous, places)):
            window = tuple(_reach(axis, size, one_scale) for axis, size, one_scale in zip(places, source.shape, scale))
        return cls(source, target, part or everything, window, scale)

    def resample(self, bands: np.ndarray, valid: np.ndarray, categorical: bool) -> tuple[np.ndarray, np.ndarray]:
        """Bring a raster from one grid onto the other.

        A pixel is valid if the source pixel at its center is; measurements are interpolated bilinearly among the valid
        source pixels alone, so what an invalid pixel holds never shows.

        Args:
            bands: [C, h, w] float32, the source's `window`; what invalid pixels hold does not matter.
            valid: [h, w] bool, True = holds data.
            categorical: class indices, which are taken from the nearest pixel.

        Returns:
            bands [C, H, W] float32 and validity [H, W] bool of the target's `part`. Invalid pixels hold anything.
        """
        here, there = self.source.part(*self.window), self.target.part(*self.part)
        places = {
            "src_transform": here.transform,
            "src_crs": here.crs,
            "dst_transform": there.transform,
            "dst_crs": there.crs,
        }
        on_target = np.zeros(there.shape, dtype=np.uint8)
        reproject(valid.astype(np.uint8), on_target, resampling=Resampling.nearest, **places)
        values = np.full((len(bands), *there.shape), np.nan, dtype=np.float32)
        reproject(
            np.where(valid, bands, np.float32(np.nan)),
            values,
            src_nodata=np.nan,
            dst_nodata=np.nan,
            resampling=Resampling.nearest if categorical else Resampling.bilinear,
            YSCALE=self.scale[0],
            XSCALE=self.scale[1],
            **places,
        )
        return values, (on_target > 0) & np.isfinite(values).all(axis=0)


def _places(source: Grid, target: Grid, part: tuple[slice, slice]) -> tuple[np.ndarray, np.ndarray] | None:
    """Where points all over a part of the target lie in the source: [OUTLINE, OUTLINE] rows and columns, from the corner
    of the first pixel. None if that cannot be said of all of them."""
    rows, columns = (
        np.linspace(side.start, side.stop, OUTLINE)[axis]
        for side, axis in zip(part, ((slice(None), None), (None, slice(None))))
    )
    a = target.transform
    xs, ys = a.a * columns + a.b * rows + a.c, a.d * columns + a.e * rows + a.f
    if source.crs != target.crs:
        try:
            moved = transform(target.crs, source.crs, xs.ravel(), ys.ravel())
        except (RasterioError, CPLE_BaseError):
            return None
        xs, ys = (np.reshape(side, (OUTLINE, OUTLINE)) for side in moved)
        if not (np.isfinite(xs) & np.isfinite(ys)).all():
            return None
    inverse = ~source.transform
    return inverse.d * xs + inverse.e * ys + inverse.f, inverse.a * xs + inverse.b * ys + inverse.c


def _scale(place: np.ndarray, shape: tuple[int, int]) -> float:
    """Target pixels per source pixel along one axis of the source, at most 1."""
    # Medians: where the source's coordinates jump, as at 180 degrees, one step is as long as the Earth is round.
    down, across = (np.median(np.abs(np.diff(place, axis=axis))) * (OUTLINE - 1) / shape[axis] for axis in (0, 1))
    return float(min(1.0, 1.0 / np.hypot(down, across)))


def _continuous(place: np.ndarray) -> bool:
    """True if what lies between neighboring points also lies between them in the source."""
    steps = [np.abs(np.diff(place, axis=axis)) for axis in (0, 1)]
    return all(step.max() <= 4 * np.median(step) + 4 for step in steps)


def _reach(place: np.ndarray, size: int, scale: float) -> slice:
    """The source pixels along one axis that the kernel reaches from these places; at least one, be it in vain."""
    margin = math.ceil(1 / scale) + 2
    first = min(max(math.floor(place.min()) - margin, 0), size - 1)
    return slice(first, max(min(math.ceil(place.max()) + margin, size), first + 1))
