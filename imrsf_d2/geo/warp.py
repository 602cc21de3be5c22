"""How one grid's pixels get onto another, through their places on the ground."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from rasterio.enums import Resampling
from rasterio.warp import reproject

from imrsf_d2.geo.grids import Grid
from imrsf_d2.geo.projections import move_points

__all__ = ["Warp"]

#: Points along each side of a grid where it is looked up on another.
OUTLINE = 17


@dataclass(frozen=True)
class Warp:
    """How pixels get from one grid onto another, or onto a part of it, through their places on the ground.

    GDAL is told how wide the interpolation kernel is. It would guess the width from the part that is requested and the part
    of the source that is read, and so use another kernel along the edges of a scene.

    Between two coordinate systems GDAL approximates the projection linearly along each row of the part, to an eighth of a
    source pixel, and rasterio 1.4 has no way to ask for less (`tolerance` is passed on to where GDAL does not look for it).
    Within a part of 512 px the error is far smaller, but the same pixel differs slightly between parts that begin or end in
    different columns: ask for the same parts where results must be equal, as `imrsf_d2.inference.Scene` does. An exact
    projection of each pixel, which a `WarpedVRT` offers, takes some ten times as long.

    Args:
        source, target: both located.
        part: rows and columns of the target that are wanted.
        window: rows and columns of the source that this part depends on.
        scale: target pixels per source pixel along the rows and columns of the source, where the source is finer (then the
            kernel is as wide as a target pixel); otherwise 1.
        inside: the part lies in the source, with some pixels to spare.
    """

    source: Grid
    target: Grid
    part: tuple[slice, slice]
    window: tuple[slice, slice]
    scale: tuple[float, float]
    inside: bool = False

    @classmethod
    def between(cls, source: Grid, target: Grid, part: tuple[slice, slice] | None = None) -> Warp:
        """From the pixels of `source` to those of `target`, or to some of its rows and columns."""
        window, scale, inside = (slice(0, source.height), slice(0, source.width)), (1.0, 1.0), False
        if (places := _places(source, target)) is not None:
            scale = _scale(places[0], target.shape), _scale(places[1], target.shape)
        if part is not None:
            places = _places(source, target.part(*part))
        if places is not None and all(map(_continuous, places)):
            rows, columns = places
            window = _reach(rows, source.height, scale[0]), _reach(columns, source.width, scale[1])
            inside = all(place.min() > 2 and place.max() < size - 2 for place, size in zip(places, source.shape))
        return cls(source, target, part or (slice(0, target.height), slice(0, target.width)), window, scale, inside)

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
        here, there = self.source.part(*self.window), self.target.part(*self.part)
        places = {
            "src_transform": here.transform,
            "src_crs": here.crs,
            "dst_transform": there.transform,
            "dst_crs": there.crs,
        }
        on_target = np.ones(there.shape, dtype=np.uint8)
        if not (self.inside and valid.all()):
            on_target[:] = 0
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


def _places(source: Grid, target: Grid) -> tuple[np.ndarray, np.ndarray] | None:
    """Where points all over the target lie in the source: [OUTLINE, OUTLINE] rows and columns, from the corner of the first
    pixel. None if some of them have no place there."""
    if (moved := move_points(target.points(OUTLINE), target.crs, source.crs)) is None:
        return None
    columns, rows = ~source.transform * moved
    return rows, columns


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
