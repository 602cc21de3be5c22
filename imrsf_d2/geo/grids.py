"""Where a raster's pixels lie on the ground."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import rasterio
from rasterio.crs import CRS
from rasterio.transform import Affine, from_origin

from imrsf_d2.geo.projections import Bounds, move_points
from imrsf_d2.geo.wrapping import period, turns

__all__ = ["Grid", "TOLERANCE_PX", "cover"]

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

    @classmethod
    def north_up(cls, crs: CRS, left: float, top: float, resolution: float, height: int, width: int) -> Grid:
        """A grid of square pixels whose rows run from west to east.

        Args:
            left, top: of the first pixel's outer corner, map units.
            resolution: side of a pixel, map units.
        """
        return cls(height, width, crs, from_origin(left, top, resolution, resolution))

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W)."""
        return self.height, self.width

    @property
    def located(self) -> bool:
        """True if it is known where on the ground the pixels lie."""
        return self.crs is not None and not self.transform.is_identity and not self.transform.is_degenerate

    @property
    def bounds(self) -> Bounds:
        """The rectangle of the map that holds all pixels."""
        (left, bottom), (right, top) = self._corners().min(axis=1).tolist(), self._corners().max(axis=1).tolist()
        return left, bottom, right, top

    @property
    def longest_side(self) -> float:
        """The longer side of a pixel, map units."""
        transform = self.transform
        return max(math.hypot(transform.a, transform.d), math.hypot(transform.b, transform.e))

    def part(self, rows: slice, columns: slice) -> Grid:
        """Some of its rows and columns, which may reach beyond it."""
        return Grid(
            rows.stop - rows.start,
            columns.stop - columns.start,
            self.crs,
            self.transform * Affine.translation(columns.start, rows.start),
        )

    def moved(self, along_x: float) -> Grid:
        """A grid of the same pixels elsewhere on the map, map units away along x."""
        return replace(self, transform=Affine.translation(along_x, 0.0) * self.transform) if along_x else self

    def tiles(self, size: int) -> Iterator[tuple[int, int, Grid]]:
        """Row, column and grid of ceil(height / size) x ceil(width / size) tiles; the last ones reach beyond this grid."""
        for row in range(math.ceil(self.height / size)):
            for column in range(math.ceil(self.width / size)):
                rows, columns = (slice(size * index, size * (index + 1)) for index in (row, column))
                yield row, column, self.part(rows, columns)

    def scaled_to(self, height: int, width: int) -> Grid:
        """The same ground in another number of pixels."""
        return Grid(height, width, self.crs, self.transform * Affine.scale(self.width / width, self.height / height))

    def equals(self, other: Grid) -> bool:
        """True if each pixel shows the same place as in another grid, as far as both say where they lie."""
        if self.shape != other.shape:
            return False
        if not (self.located and other.located):
            return True
        theirs = other.corners(self.crs)
        pixel = np.sqrt(abs(self.transform.determinant))
        return theirs is not None and bool(np.abs(self._corners() - theirs).max() <= TOLERANCE_PX * pixel)

    def meets(self, other: Grid) -> bool:
        """True if the outlines of two located grids overlap. Compared in both systems: across 180 degrees one may fail."""
        return self._holds_some_of(other) or other._holds_some_of(self)

    def offset_of(self, other: Grid, tolerance_px: float) -> tuple[int, int] | None:
        """Row and column of this grid's pixels at which another grid begins, before or beyond its own edges, too.

        Args:
            other: located, like this one.
            tolerance_px: how far a corner may be from a pixel's.

        Returns:
            None if the pixels of the two are not the same.
        """
        if (corners := other.corners(self.crs)) is None:
            return None
        columns, rows = ~self.transform * corners
        row, column = round(rows[0]), round(columns[0])
        expected = Affine.translation(column, row) * other._corner_pixels()
        return (row, column) if np.abs(np.subtract((columns, rows), expected)).max() < tolerance_px else None

    def points(self, count: int) -> np.ndarray:
        """Map coordinates [2, count, count] of points spread evenly from corner to corner; for a count of 1, of the center."""
        across, down = ([side / 2] if count == 1 else np.linspace(0, side, count) for side in (self.width, self.height))
        return np.array(self.transform * np.meshgrid(across, down))

    def corners(self, crs: CRS | None) -> np.ndarray | None:
        """The corners' map coordinates [2, 4] in some system; None if it has no place for them.

        Heights are left out: a system with heights, or another datum of the same place, is no other place.
        """
        moved = move_points(self._corners(), self.crs, crs)
        return None if moved is None else np.array(moved)

    def _corners(self) -> np.ndarray:
        return np.array(self.transform * self._corner_pixels())

    def _corner_pixels(self) -> np.ndarray:
        """Column and row of the corners, [2, 4]."""
        return np.array([(0, self.width, 0, self.width), (0, 0, self.height, self.height)])

    def _holds_some_of(self, other: Grid) -> bool:
        theirs = other.corners(self.crs)
        if theirs is None:
            return False
        moves = [0.0]
        if self.crs is not None and (turn := period(self.crs)):
            # As they lie in each turn around the world that this grid has something of.
            (left, _, right, _), xs = self.bounds, theirs[0]
            moves = [-k * turn for k in turns(left, right, float(xs.min()), float(xs.max()), turn)]
        for move in moves:
            columns, rows = ~self.transform * (theirs[0] + move, theirs[1])
            if columns.max() > 0 and rows.max() > 0 and columns.min() < self.width and rows.min() < self.height:
                return True
        return False


def cover(bounds: Bounds, crs: CRS, resolution: float, origin: tuple[float, float] = (0.0, 0.0)) -> Grid:
    """The smallest grid over `bounds` whose corners are whole pixels from `origin`, so that grids of one CRS align.

    Args:
        resolution: side of a pixel, map units.
        origin: x and y of any corner of any pixel.
    """
    # Rounded: an edge that is a multiple but for the last bit must not cost a row of pixels.
    left, bottom, right, top = (round((edge - origin[i % 2]) / resolution, 6) for i, edge in enumerate(bounds))
    left, bottom, right, top = math.floor(left), math.floor(bottom), math.ceil(right), math.ceil(top)
    return Grid.north_up(
        crs, origin[0] + left * resolution, origin[1] + top * resolution, resolution, top - bottom, right - left
    )
