"""Colours and names of classes."""

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
    colour: RGB


@dataclass(frozen=True)
class Palette:
    """A name and a colour for each class.

    Args:
        names: of the classes, in the order of their indices.
        colours: one (red, green, blue) in 0..1 for each; empty for twenty distinct ones, over and over.

    Raises:
        ValueError: if there are not as many colours as names.
    """

    names: tuple[str, ...]
    colours: tuple[RGB, ...] = ()

    def __post_init__(self) -> None:
        if not self.colours:
            twenty = matplotlib.colormaps["tab20"].colors
            object.__setattr__(self, "colours", tuple(twenty[i % len(twenty)] for i in range(len(self.names))))
        if len(self.colours) != len(self.names):
            raise InputError(f"there are {len(self.colours)} colours for the {len(self.names)} classes {self.names}.")

    def __len__(self) -> int:
        return len(self.names)

    def paint(self, labels: np.ndarray, known: np.ndarray, other: RGB) -> np.ndarray:
        """Colour a label map.

        Args:
            labels: [H, W] class indices, of any type.
            known: [H, W] bool, False = the label means nothing and may have any value.
            other: colour of those pixels.

        Returns:
            [H, W, 3] in 0..1.
        """
        table = np.array([*self.colours, other])
        return table[np.where(known, labels, len(self)).astype(np.int64)]

    def key(self, labels: np.ndarray) -> set[KeyEntry]:
        """The entries of the classes that occur among some labels."""
        return {KeyEntry(i, self.names[i], self.colours[i]) for i in np.unique(labels).astype(np.int64).tolist()}


#: Dynamic World as its authors publish it.
DYNAMIC_WORLD = Palette(
    ("water", "trees", "grass", "flooded vegetation", "crops", "shrub and scrub", "built", "bare", "snow and ice"),
    tuple(map(to_rgb, ("#419BDF", "#397D49", "#88B053", "#7A87C6", "#E49635", "#DFC35A", "#C4281B", "#A59B8F",
                       "#B39FE1"))))

#: Official palettes by the usual names of the maps.
_MAPS = {"dnw": DYNAMIC_WORLD}


def modality_palette(modality: Modality) -> Palette:
    """The palette of a categorical modality: the official one if its name and number of classes are known."""
    official = _MAPS.get(modality.name)
    if official is not None and len(official) == modality.classes:
        return official
    return Palette(tuple(f"class {i}" for i in range(modality.classes)))


def dataset_palette(metadata: Metadata) -> Palette:
    """The palette of a semantic data set.

    Args:
        metadata: with `stuff_classes` and, unless any colours will do, `stuff_colors` (0 to 255).

    Raises:
        ValueError: if there are no classes, or not as many colours.
    """
    names: Sequence[str] = metadata.get("stuff_classes") or ()
    if not names:
        raise InputError(f"the metadata of the data set {metadata.name!r} have no stuff_classes, expected the names of "
                         "the classes of its label maps.")
    colours = metadata.get("stuff_colors") or ()
    return Palette(tuple(names), tuple(tuple(value / 255 for value in colour) for colour in colours))
