"""One geometric transform for everything that shares a pixel grid: bands, validity, masks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Geometry", "draw_geometry"]


@dataclass(frozen=True)
class Geometry:
    """Cut a window, then turn and mirror it. Moves pixels and never mixes them, so validity and classes stay exact.

    Args:
        top, left: the window's corner in the image, px.
        height, width: its size, px; where it reaches beyond the image's lower or right edge it is filled.
        turns: quarter turns counter-clockwise, 0 to 3.
        mirror: flip left and right after turning.
    """

    top: int
    left: int
    height: int
    width: int
    turns: int = 0
    mirror: bool = False

    def apply(self, array: np.ndarray, fill: np.ndarray | float = 0.0) -> np.ndarray:
        """Transform [..., H, W].

        Args:
            array: any array whose last two axes are the image's grid.
            fill: value beyond the image's edge; broadcast against the window.

        Returns:
            [..., height, width], or [..., width, height] after an odd number of turns; may be a view.
        """
        window = array[..., self.top:self.top + self.height, self.left:self.left + self.width]
        rows, columns = window.shape[-2:]
        if (rows, columns) != (self.height, self.width):
            padded = np.empty((*array.shape[:-2], self.height, self.width), dtype=array.dtype)
            padded[...] = fill
            padded[..., :rows, :columns] = window
            window = padded
        window = np.rot90(window, self.turns, axes=(-2, -1))
        return window[..., ::-1] if self.mirror else window

    @property
    def output_size(self) -> tuple[int, int]:
        """(H, W) of a transformed array."""
        return (self.width, self.height) if self.turns % 2 else (self.height, self.width)

    def unturn(self, array: np.ndarray) -> np.ndarray:
        """Undo turns and mirroring of a transformed array: a view of the window as it was cut, for writing into it."""
        array = array[..., ::-1] if self.mirror else array
        return np.rot90(array, -self.turns, axes=(-2, -1))


def draw_geometry(size: tuple[int, int], crop: tuple[int, int] | None, dihedral: bool,
                  rng: np.random.Generator) -> Geometry:
    """Draw a training sample's transform.

    Args:
        size: (H, W) of the image.
        crop: (height, width) of the window, placed anywhere inside the image; None keeps the whole image. An image
            smaller than the window stands in its upper left corner.
        dihedral: one of the eight symmetries of a square, all equally likely.
        rng: the sample's own generator.
    """
    height, width = crop or size
    top = int(rng.integers(max(size[0] - height, 0) + 1))
    left = int(rng.integers(max(size[1] - width, 0) + 1))
    symmetry = int(rng.integers(8)) if dihedral else 0
    return Geometry(top, left, height, width, turns=symmetry % 4, mirror=symmetry >= 4)
