"""How one grid's pixels get onto another, through their places on the ground."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from rasterio.enums import Resampling

from imrsf_d2.geo.grids import Grid
from imrsf_d2.geo.projecting import project, project_part
from imrsf_d2.geo.projections import move_points
from imrsf_d2.geo.wrapping import move_near, period

__all__ = ["Warp"]

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
        moves: how far along x the source lies where the target's places are projected to, map units: whole turns around the
            world; several where the part lies on both sides of 180 degrees.
    """

    source: Grid
    target: Grid
    part: tuple[slice, slice]
    window: tuple[slice, slice]
    scale: tuple[float, float]
    inside: bool = False
    exact: bool = False
    moves: tuple[float, ...] = (0.0,)

    @classmethod
    def between(cls, source: Grid, target: Grid, part: tuple[slice, slice] | None = None, *, exact: bool = False) -> Warp:
        """From the pixels of `source` to those of `target`, or to some of its rows and columns."""
        window, scale, inside = (slice(0, source.height), slice(0, source.width)), (1.0, 1.0), False
        if (found := _places(source, target)) is not None:
            scale = _scale(found.rows, target.shape), _scale(found.columns, target.shape)
        if part is not None:
            found = _places(source, target.part(*part))
        if found is not None and _continuous(found.rows) and _continuous(found.columns):
            rows, columns = found.rows, found.columns
            window = _reach(rows, source.height, scale[0]), _reach(columns, source.width, scale[1])
            inside = all(place.min() > 2 and place.max() < size - 2 for place, size in zip((rows, columns), source.shape))
        moves = (0.0,) if found is None else found.moves
        part = part or (slice(0, target.height), slice(0, target.width))
        return cls(
            source, target, part, window, scale, inside, exact and moves == (0.0,) and not _beyond_one_turn(source), moves
        )

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
        on_target = np.ones([side.stop - side.start for side in self.part], dtype=bool)
        if not (self.inside and valid.all()):
            marks = np.where(valid, np.float32(1), np.float32(np.nan))
            on_target = np.isfinite(self._project(marks[None], Resampling.nearest, (1.0, 1.0))[0])
        resampling = Resampling.nearest if categorical else Resampling.bilinear
        values = self._project(np.where(valid, bands, np.float32(np.nan)), resampling, self.scale)
        return values, on_target & np.isfinite(values).all(axis=0)

    def _project(self, values: np.ndarray, resampling: Resampling, scale: tuple[float, float]) -> np.ndarray:
        if self.exact:
            return project_part(values, self.window, self.source, self.target, self.part, resampling, scale)
        source, target = self.source.part(*self.window), self.target.part(*self.part)
        found, *others = (project(values, source.moved(move), target, resampling, scale) for move in self.moves)
        for other in others:
            found = np.where(np.isnan(found), other, found)
        return found


@dataclass(frozen=True)
class _Places:
    """Where points all over a target lie in a source.

    Args:
        rows, columns: [OUTLINE, OUTLINE], from the corner of the source's first pixel.
        moves: see `Warp`.
    """

    rows: np.ndarray
    columns: np.ndarray
    moves: tuple[float, ...]


def _beyond_one_turn(source: Grid) -> bool:
    """Whether some of a grid's x coordinates are those that places get only where they are counted on around the world."""
    assert source.crs is not None  # it is located
    left, _, right, _ = source.bounds
    return (turn := period(source.crs)) is not None and max(-left, right) > turn / 2 * (1 + 1e-9)


def _places(source: Grid, target: Grid) -> _Places | None:
    """Where points all over the target lie in the source; None if some of them have no place in its system."""
    if (moved := move_points(target.points(OUTLINE), target.crs, source.crs)) is None:
        return None
    xs, ys = moved
    moves: tuple[float, ...] = (0.0,)
    assert source.crs is not None  # it is located
    if turn := period(source.crs):
        # A place has several x: that nearest to the source counts, and the source lies where the projection has put the place.
        left, _, right, _ = source.bounds
        near = move_near(xs, (left + right) / 2, turn)
        wanted = (float(move) for move in np.unique(np.round((xs - near) / turn)) * turn)
        moves = tuple(move for move in wanted if left + move < xs.max() and xs.min() < right + move) or moves
        xs = near
    columns, rows = ~source.transform * (xs, ys)
    return _Places(rows, columns, moves)


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
