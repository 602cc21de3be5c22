"""One geometric transform for everything on a sample's pixel grid: bands, validity, masks, label maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

__all__ = ["Geometry", "draw_geometry"]


@dataclass(frozen=True)
class Geometry:
    """Crop a window, resize it if asked to, then rotate it by quarter turns and mirror it.

    Args:
        top, left: the window's corner in the image, px.
        height, width: its size, px; the part beyond the image's lower or right edge is filled.
        turns: quarter turns counter-clockwise, 0 to 3.
        mirror: flip left and right after turning.
        resized: (height, width) that the window is resized to before turning; None leaves it.
    """

    top: int
    left: int
    height: int
    width: int
    turns: int = 0
    mirror: bool = False
    resized: tuple[int, int] | None = None

    @property
    def output_size(self) -> tuple[int, int]:
        """(H, W) of a transformed array."""
        height, width = self._size
        return (width, height) if self.turns % 2 else (height, width)

    @property
    def rows(self) -> np.ndarray:
        """The image row at the center of each row of the resized window, before turning; ascending."""
        return self.top + _nearest(self.height, self._size[0])

    @property
    def columns(self) -> np.ndarray:
        """As `rows`, for the columns."""
        return self.left + _nearest(self.width, self._size[1])

    def window(self, size: tuple[int, int]) -> tuple[slice, slice]:
        """The rows and columns of an image of `size` (H, W) that it needs."""
        return (
            slice(self.top, min(self.top + self.height, size[0])),
            slice(self.left, min(self.left + self.width, size[1])),
        )

    @property
    def within_window(self) -> Geometry:
        """The same transform for an image of which only `window` was read."""
        return replace(self, top=0, left=0)

    def apply(self, array: np.ndarray, fill: np.ndarray | float = 0.0) -> np.ndarray:
        """Transform [..., H, W] by moving pixels without ever mixing them, so that validity and classes stay exact.

        Args:
            array: any array whose last two axes are the image's grid.
            fill: value beyond the image's edge; broadcast against the window.

        Returns:
            [..., *output_size]; may be a view.
        """
        window = self._window(array, fill)
        if self._size != (self.height, self.width):
            window = window[..., (self.rows - self.top)[:, None], self.columns - self.left]
        return self._turn(window)

    def apply_measurements(
        self, bands: np.ndarray, valid: np.ndarray, fill: Sequence[float] | np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Transform bands of which some pixels hold no data: as `apply`, but interpolating where it resizes.

        A resized pixel is valid if the pixel at its center is, and its value is interpolated from valid pixels only.

        Args:
            bands: [C, H, W] float32; the values of invalid pixels do not matter.
            valid: [H, W] bool.
            fill: one value per band for pixels beyond the image's edge, and where it resizes for invalid pixels.

        Returns:
            bands [C, *output_size] and validity [*output_size].
        """
        values = np.asarray(fill, dtype=bands.dtype)[:, None, None]
        if self._size == (self.height, self.width):
            return self.apply(bands, values), self.apply(valid, False)
        moved_valid = self.apply(valid, False)
        counts = self._window(valid, False)
        # Not multiplied by 0: invalid pixels may be NaN.
        moved = self._turn(self._interpolate(np.where(counts, self._window(bands, values), np.float32(0))))
        share = self._turn(self._interpolate(counts[None].astype(np.float32)))
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(moved_valid, moved / share, values), moved_valid

    def unturn(self, array: np.ndarray) -> np.ndarray:
        """Undo turning and mirroring of a transformed array: a view of the resized window, to write into."""
        array = array[..., ::-1] if self.mirror else array
        return np.rot90(array, -self.turns, axes=(-2, -1))

    @property
    def _size(self) -> tuple[int, int]:
        return self.resized or (self.height, self.width)

    def _window(self, array: np.ndarray, fill: np.ndarray | float) -> np.ndarray:
        window = array[..., self.top : self.top + self.height, self.left : self.left + self.width]
        rows, columns = window.shape[-2:]
        if (rows, columns) == (self.height, self.width):
            return window
        padded = np.empty((*array.shape[:-2], self.height, self.width), dtype=array.dtype)
        padded[...] = fill
        padded[..., :rows, :columns] = window
        return padded

    def _interpolate(self, window: np.ndarray) -> np.ndarray:
        height, width = self._size
        # Average over the area when shrinking: noise decreases as in a coarser sensor. Where one side grows, OpenCV's
        # INTER_AREA means something else, which may ignore the pixel at the center.
        shrinks = height <= self.height and width <= self.width
        method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        return np.stack([cv2.resize(band, (width, height), interpolation=method) for band in window])

    def _turn(self, window: np.ndarray) -> np.ndarray:
        window = np.rot90(window, self.turns, axes=(-2, -1))
        return window[..., ::-1] if self.mirror else window


def draw_geometry(
    size: tuple[int, int],
    crop: tuple[int, int] | None,
    dihedral: bool,
    rng: np.random.Generator,
    scale: tuple[float, float] = (1.0, 1.0),
) -> Geometry:
    """Draw a training sample's transform.

    Args:
        size: (H, W) of the image.
        crop: (height, width) of the result before turning; None is the image's own size.
        dihedral: draw one of the eight symmetries of a square, all equally likely.
        rng: the sample's own generator.
        scale: (least, most) factor by which objects grow, drawn log-uniformly: large-scale jitter. The window is smaller
            or larger than `crop` by that factor and placed anywhere inside the image; an image smaller than the window
            is placed in its upper left corner.
    """
    height, width = out = crop or size
    if scale != (1.0, 1.0):
        factor = np.exp(rng.uniform(*np.log(scale)))
        height, width = (max(round(side / factor), 1) for side in out)
    top = int(rng.integers(max(size[0] - height, 0) + 1))
    left = int(rng.integers(max(size[1] - width, 0) + 1))
    symmetry = int(rng.integers(8)) if dihedral else 0
    return Geometry(
        top, left, height, width, turns=symmetry % 4, mirror=symmetry >= 4, resized=None if (height, width) == out else out
    )


def _nearest(before: int, after: int) -> np.ndarray:
    """For each of `after` pixels, the one among `before` pixels in which its center lies."""
    return (2 * np.arange(after) + 1) * before // (2 * after)
