"""What a model's classes are called, and how a label map shows them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from imrsf_d2.data.class_colors import class_colors

__all__ = ["ClassNames"]


@dataclass(frozen=True)
class ClassNames:
    """Names and colors of a model's classes.

    Args:
        names: by class index.
        colors: (red, green, blue) of each, 0 to 255; if there are not as many, those of `class_colors`.
    """

    names: tuple[str, ...]
    colors: tuple[tuple[int, ...], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))
        colors = tuple(tuple(map(int, color)) for color in self.colors)
        if len(colors) != len(self.names):
            colors = class_colors(self.names)
        object.__setattr__(self, "colors", colors)

    @classmethod
    def of(cls, datasets: Iterable[Any], number: int, *, instances: bool) -> ClassNames:
        """Those of the first dataset that has as many; "class 0", "class 1" ... if none has.

        Args:
            datasets: Detectron2's metadata of each, with `thing_classes` and `thing_colors`, or `stuff_...`.
            number: of the model's classes.
            instances: whether they are of objects ("thing") or of pixels ("stuff").
        """
        kind = "thing" if instances else "stuff"
        for metadata in datasets:
            if len(names := metadata.get(f"{kind}_classes", ())) == number:
                return cls(tuple(names), tuple(metadata.get(f"{kind}_colors", ())))
        return cls(tuple(f"class {i}" for i in range(number)))
