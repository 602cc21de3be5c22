"""How one grid's pixels get onto another, through their places on the ground."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rasterio.enums import Resampling

from imrsf_d2.geo.grids import Grid
from imrsf_d2.geo.projecting import project, project_part
from imrsf_d2.geo.projections import move_points
from imrsf_d2.geo.wrapping import move_near, period, turns

__all__ = ["Warp", "resample_each"]

#: Points along each side of a grid where it is looked up on another.
OUTLINE = 17


@dataclass(frozen=True)
class Warp:
    """How pixels get from one grid onto another, or onto a part of it, through their places on the ground.

    Between two coordinate systems, what a pixel is may differ slightly between parts that begin or end in different columns
    (see `project`), unless it is asked for exactly, which takes longer (see `project_part`).

    Args:
        source, target: both located.
        part: rows and columns of the target that are wanted.
        window: rows and columns of the source that this part depends on.
        scale: target pixels per source pixel along the rows and columns of the source, where the source is finer (then the
            kernel is as wide as a target pixel); otherwise 1.
        inside: the part lies in the source, with some pixels to spare.
        exact: a part is just what a resampling of the whole has there; not of a source that reaches beyond 180 degrees, which
            `project_part` cannot place.
    """

    source: Grid
    target: Grid
    part: tuple[slice, slice]
    window: tuple[slice, slice]
    scale: tuple[float, float]
    inside: bool = False
    exact: bool = False

    @classmethod
    def between(cls, source: Grid, target: Grid, part: tuple[slice, slice] | None = None, *, exact: bool = False) -> Warp:
        """From the pixels of `source` to those of `target`, or to some of its rows and columns."""
        window, scale, inside = (slice(0, source.height), slice(0, source.width)), (1.0, 1.0), False
        if (places := _places(source, target)) is not None:
            scale = _scale(places[0], target.shape), _scale(places[1], target.shape)
        if part is not None:
            places = _places(source, target.part(*part))
        if places is not None and not all(map(_continuous, places)):
            places = _places(source, target if part is None else target.part(*part), near=True)
        if places is not None and all(map(_continuous, places)):
            rows, columns = places
            window = _reach(rows, source.height, scale[0]), _reach(columns, source.width, scale[1])
            inside = all(place.min() > 2 and place.max() < size - 2 for place, size in zip(places, source.shape))
        part = part or (slice(0, target.height), slice(0, target.width))
        return cls(source, target, part, window, scale, inside, exact and not _beyond_one_turn(source))

    @classmethod
    def each_between(
        cls, source: Grid, target: Grid, part: tuple[slice, slice] | None = None, *, exact: bool = False
    ) -> list[Warp]:
        """The same for each turn around the world in which the source has something of the part, or one if it has nothing of it.

        A place has several x in degrees and on Mercator maps, and is projected to one of them, while a source may be stored in any.
        Several are needed where the source is found on both sides of 180 degrees or, from 0 to 360, of 0.
        """
        return [cls.between(source.moved(move), target, part, exact=exact) for move in _moves(source, target, part)]

    def resample(self, bands: np.ndarray, valid: np.ndarray, categorical: bool) -> tuple[np.ndarray, np.ndarray]:
        """Bring a raster from one grid onto the other.

        A pixel is valid if the source pixel at its center is. Measurements are interpolated bilinearly from valid source
        pixels only, so that the content of an invalid pixel never shows.

        Args:
            bands: [C, h, w] float32, the source's `window`; the content of invalid pixels does not matter.
            valid: [h, w] bool, True = holds data.
            categorical: class indices, which are taken from the nearest pixel.

        Returns:
            bands [C, H, W] float32 and validity [H, W] bool of the target's `part`. The content of invalid pixels is undefined.
        """
        return resample_each([self], [(bands, valid)], categorical)

    def nearest_valid(self, valid: np.ndarray) -> np.ndarray:
        """Where the source pixel at the center of a pixel [H, W] is valid, of `valid` [h, w] in the source's window."""
        if self.inside and valid.all():
            return np.ones([side.stop - side.start for side in self.part], dtype=bool)
        return self.nearest_marked(valid)

    def nearest_marked(self, valid: np.ndarray) -> np.ndarray:
        """The same as GDAL finds it."""
        marks = np.where(valid, np.float32(1), np.float32(np.nan))
        return np.isfinite(self._project(marks[None], Resampling.nearest, (1.0, 1.0))[0])

    def values(self, bands: np.ndarray, valid: np.ndarray, categorical: bool) -> np.ndarray:
        """Interpolated values [C, H, W], NaN where there are none; arguments as of `resample`."""
        resampling = Resampling.nearest if categorical else Resampling.bilinear
        return self._project(np.where(valid, bands, np.float32(np.nan)), resampling, self.scale)

    def _project(self, values: np.ndarray, resampling: Resampling, scale: tuple[float, float]) -> np.ndarray:
        if self.exact:
            return project_part(values, self.window, self.source, self.target, self.part, resampling, scale)
        return project(values, self.source.part(*self.window), self.target.part(*self.part), resampling, scale)


def resample_each(
    warps: Sequence[Warp], pieces: Sequence[tuple[np.ndarray, np.ndarray]], categorical: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Bring what a raster has in each turn around the world onto a grid.

    Args:
        warps: as `Warp.each_between` returns them.
        pieces: bands [C, h, w] float32 and validity [h, w] bool in the window of each one.
        categorical: see `Warp.resample`.

    Returns:
        See `Warp.resample`.
    """
    on_target = np.logical_or.reduce([warp.nearest_valid(valid) for warp, (_, valid) in zip(warps, pieces)])
    values, *others = (warp.values(*piece, categorical) for warp, piece in zip(warps, pieces))
    for other in others:
        values = np.where(np.isnan(values), other, values)
    finite = np.isfinite(values).all(axis=0)
    if others and all(warp.inside for warp in warps) and not on_target.all():
        # At the line between two turns GDAL finds no nearest pixel; those around it are all valid where there is a value.
        everywhere = (np.ones_like(valid) for _, valid in pieces)
        on_target |= ~np.logical_or.reduce([warp.nearest_marked(marks) for warp, marks in zip(warps, everywhere)]) & finite
    return values, on_target & finite


def _beyond_one_turn(source: Grid) -> bool:
    """Whether some of a grid's x coordinates are those that places get only where they are counted on around the world."""
    assert source.crs is not None  # it is located
    left, _, right, _ = source.bounds
    return (turn := period(source.crs)) is not None and max(-left, right) > turn / 2 * (1 + 1e-9)


def _places(source: Grid, target: Grid, near: bool = False) -> tuple[np.ndarray, np.ndarray] | None:
    """Where points all over the target lie in the source: [OUTLINE, OUTLINE] rows and columns, from the corner of the first
    pixel. None if some of them have no place there.

    Args:
        near: of the several x of a place around the world, the one nearest to the source counts.
    """
    if (moved := move_points(target.points(OUTLINE), target.crs, source.crs)) is None:
        return None
    xs, ys = moved
    assert source.crs is not None  # it is located
    if near and (turn := period(source.crs)):
        left, _, right, _ = source.bounds
        xs = move_near(xs, (left + right) / 2, turn)
    columns, rows = ~source.transform * (xs, ys)
    return rows, columns


def _moves(source: Grid, target: Grid, part: tuple[slice, slice] | None) -> list[float]:
    """How far along x the source lies in each turn around the world in which it has something of a part, map units."""
    assert source.crs is not None  # it is located
    if not (turn := period(source.crs)):
        return [0.0]
    rows, columns = part or (slice(0, target.height), slice(0, target.width))
    # What a part has beyond its grid is no reason to look at the other end of the world.
    rows, columns = (slice(max(side.start, 0), min(side.stop, size)) for side, size in zip((rows, columns), target.shape))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return [0.0]
    if (places := move_points(target.part(rows, columns).points(OUTLINE), target.crs, source.crs)) is None:
        return [0.0]
    (left, _, right, _), low, high = source.bounds, float(places[0].min()), float(places[0].max())
    shared = {
        move: min(right + move, high) - max(left + move, low)
        for move in (k * turn for k in turns(left, right, low, high, turn))
    }
    most = max(shared, key=lambda move: shared[move], default=0.0)
    # Less than a pixel: edges of maps of the world often lie half a pixel off.
    return [move for move in shared if move == most or shared[move] > source.longest_side] or [0.0]


def _scale(place: np.ndarray, shape: tuple[int, int]) -> float:
    """Target pixels per source pixel along one axis of the source, at most 1."""
    # Medians: where the source's coordinates jump, as at 180 degrees, one step spans the whole Earth.
    down, across = (np.median(np.abs(np.diff(place, axis=axis))) * (OUTLINE - 1) / shape[axis] for axis in (0, 1))
    return float(min(1.0, 1.0 / np.hypot(down, across)))


def _continuous(place: np.ndarray) -> bool:
    """True if neighboring points of the target are neighbors in the source, too."""
    steps = [np.abs(np.diff(place, axis=axis)) for axis in (0, 1)]
    return all(step.max() <= 4 * np.median(step) + 4 for step in steps)


def _reach(place: np.ndarray, size: int, scale: float) -> slice:
    """The source pixels along one axis that the kernel reaches from these places; one of them even if it reaches none."""
    margin = math.ceil(1 / scale) + 2
    first = min(max(math.floor(place.min()) - margin, 0), size - 1)
    return slice(first, max(min(math.ceil(place.max()) + margin, size), first + 1))
