"""Which windows of a scene the model sees, and in which order."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from imrsf_d2.utils.errors import InputError

__all__ = ["Window", "WindowGrid"]

#: The smallest window in which an object can lie that no border cuts, px.
MIN_SIZE = 16


@dataclass(frozen=True, order=True)
class Window:
    """A square of the scene, in scene pixels; where the scene is smaller than a window, it reaches beyond.

    Those of a part of a scene may begin before it and end behind it: they are the whole scene's.

    Args:
        index: place in the order of the scene's windows, row by row.
        top, left: first row and column.
        size: px.
    """

    index: int
    top: int
    left: int
    size: int

    @property
    def bottom(self) -> int:
        """The row after its last."""
        return self.top + self.size

    @property
    def right(self) -> int:
        """The column after its last."""
        return self.left + self.size


@dataclass(frozen=True)
class WindowGrid:
    """The windows that cover a scene, each at least `overlap` over its neighbors; the last of a row or column is shifted
    inward rather than let beyond the scene.

    Args:
        height, width: of the scene, px.
        size: of a window, px.
        overlap: of neighbors, px, at least a quarter of `size`.
        top, left: the first row and column of the first window.

    Raises:
        ValueError: if the numbers make no such cover.
    """

    height: int
    width: int
    size: int
    overlap: int
    top: int = 0
    left: int = 0

    def __post_init__(self):
        if min(self.height, self.width) < 1:
            raise InputError(f"a scene of {self.width} x {self.height} px has no pixel.")
        if self.size < MIN_SIZE:
            raise InputError(
                f"the window is {self.size} px, expected {MIN_SIZE} or more; best is the side of the crops of the training run."
            )
        if not self.size / 4 <= self.overlap < self.size:
            raise InputError(
                f"the overlap is {self.overlap} px, expected from {-(-self.size // 4)} (a quarter of the window) to {self.size - 1}."
            )

    @cached_property
    def tops(self) -> tuple[int, ...]:
        """First rows of the windows, ascending."""
        return _origins(self.top, self.height, self.size, self.size - self.overlap)

    @cached_property
    def lefts(self) -> tuple[int, ...]:
        """First columns of the windows, ascending."""
        return _origins(self.left, self.width, self.size, self.size - self.overlap)

    def __len__(self) -> int:
        return len(self.tops) * len(self.lefts)

    def __getitem__(self, index: int) -> Window:
        row, column = divmod(index, len(self.lefts))
        return Window(index, self.tops[row], self.lefts[column], self.size)

    def __iter__(self) -> Iterator[Window]:
        return (self[index] for index in range(len(self)))

    def part(self, top: int, left: int, bottom: int, right: int) -> WindowGrid:
        """The windows that share a pixel with an area of the scene, as a grid of their own with other indices."""
        windows = self.touching(top, left, bottom, right)
        first, last = windows[0], windows[-1]
        height = min(last.bottom, self.top + self.height) - first.top
        width = min(last.right, self.left + self.width) - first.left
        return replace(self, height=height, width=width, top=first.top, left=first.left)

    def touching(self, top: int, left: int, bottom: int, right: int) -> list[Window]:
        """The windows that share a pixel with an area of the scene, in their order."""
        rows = range(bisect_right(self.tops, top - self.size), bisect_left(self.tops, bottom))
        columns = range(bisect_right(self.lefts, left - self.size), bisect_left(self.lefts, right))
        return [self[row * len(self.lefts) + column] for row in rows for column in columns]


def _origins(first: int, length: int, size: int, stride: int) -> tuple[int, ...]:
    if length <= size:
        return (first,)
    last = first + length - size
    return (*range(first, last, stride), last)
