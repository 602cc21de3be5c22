"""Colors and names of classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import matplotlib
import numpy as np
from detectron2.data import Metadata
from matplotlib.colors import to_rgb

from imrsf_d2.modalities import Modality
from imrsf_d2.utils.errors import InputError

__all__ = ["KeyEntry", "Palette", "dataset_palette", "modality_palette"]

RGB = tuple[float, float, float]


class KeyEntry(NamedTuple):
    """A line of a picture's key; sorts by class index."""

    index: int
    name: str
    color: RGB


@dataclass(frozen=True)
class Palette:
    """A name and a color for each class.

    Args:
        names: of the classes, in the order of their indices.
        colors: one (red, green, blue) in 0..1 for each; empty for twenty distinct ones, over and over.

    Raises:
        ValueError: if there are not as many colors as names.
    """

    names: tuple[str, ...]
    colors: tuple[RGB, ...] = ()

    def __post_init__(self) -> None:
        if not self.colors:
            twenty = matplotlib.colormaps["tab20"].colors
            object.__setattr__(self, "colors", tuple(twenty[i % len(twenty)] for i in range(len(self.names))))
        if len(self.colors) != len(self.names):
            raise InputError(f"there are {len(self.colors)} colors for the {len(self.names)} classes {self.names}.")

    def __len__(self) -> int:
        return len(self.names)

    def paint(self, labels: np.ndarray, known: np.ndarray, other: RGB) -> np.ndarray:
        """Color a label map.

        Args:
            labels: [H, W] class indices, of any type.
            known: [H, W] bool, False = the label means nothing and may have any value.
            other: color of those pixels.

        Returns:
            [H, W, 3] in 0..1.
        """
        table = np.array([*self.colors, other])
        return table[np.where(known, labels, len(self)).astype(np.int64)]

    def key(self, labels: np.ndarray) -> set[KeyEntry]:
        """The entries of the classes that occur among some labels."""
        return {KeyEntry(i, self.names[i], self.colors[i]) for i in np.unique(labels).astype(np.int64).tolist()}


#: Dynamic World as its authors publish it.
DYNAMIC_WORLD = Palette(
    ("water", "trees", "grass", "flooded vegetation", "crops", "shrub and scrub", "built", "bare", "snow and ice"),
    tuple(map(to_rgb, ("#419BDF", "#397D49", "#88B053", "#7A87C6", "#E49635", "#DFC35A", "#C4281B", "#A59B8F", "#B39FE1"))),
)

#: Official palettes by the usual names of the maps.
_MAPS = {"dnw": DYNAMIC_WORLD}


def modality_palette(modality: Modality) -> Palette:
    """The palette of a categorical modality: the official one if its name and number of classes are known."""
    official = _MAPS.get(modality.name)
    if official is not None and len(official) == modality.classes:
        return official
    return Palette(tuple(f"class {i}" for i in range(modality.classes)))


def dataset_palette(metadata: Metadata) -> Palette:
    """The palette of a semantic dataset.

    Args:
        metadata: with `stuff_classes` and, unless any colors will do, `stuff_colors` (0 to 255).

    Raises:
        ValueError: if there are no classes, or not as many colors.
    """
    names: Sequence[str] = metadata.get("stuff_classes") or ()
    if not names:
        raise InputError(
            f"the metadata of the dataset {metadata.name!r} have no stuff_classes, expected the names of "
            "the classes of its label maps."
        )
    colors = metadata.get("stuff_colors") or ()
    return Palette(tuple(names), tuple(tuple(value / 255 for value in color) for color in colors))
