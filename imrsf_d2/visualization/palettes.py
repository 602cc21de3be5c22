"""Names and colors of classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from detectron2.data import Metadata
from matplotlib.colors import to_rgb

from imrsf_d2.modalities import Modality
from imrsf_d2.utils.errors import InputError

__all__ = ["KeyEntry", "Palette", "dataset_palette", "modality_palette"]

RGB = tuple[float, float, float]


@dataclass(frozen=True, order=True)
class KeyEntry:
    """A class in the key of a panel; sorts by class index."""

    index: int
    name: str
    color: RGB


@dataclass(frozen=True)
class Palette:
    """A name and a color for each class.

    Args:
        names: of the classes, in the order of their indices.
        colors: (red, green, blue) in 0..1 for each; empty for twenty distinct ones, which repeat.

    Raises:
        ValueError: if the numbers of colors and names differ.
    """

    names: tuple[str, ...]
    colors: tuple[RGB, ...] = ()

    def __post_init__(self) -> None:
        if not self.colors:
            twenty = matplotlib.colormaps["tab20"]  # called with an integer, it gives the color of that number
            object.__setattr__(self, "colors", tuple(twenty(i % twenty.N)[:3] for i in range(len(self.names))))
        if len(self.colors) != len(self.names):
            raise InputError(
                f"there are {len(self.colors)} colors for the {len(self.names)} classes {self.names}, expected one each."
            )

    def __len__(self) -> int:
        return len(self.names)

    def paint(self, labels: np.ndarray, known: np.ndarray, other: RGB) -> np.ndarray:
        """Color a label map.

        Args:
            labels: [H, W] class indices, of any type.
            known: [H, W] bool, False = not labeled; the label may then have any value.
            other: color of those pixels.

        Returns:
            [H, W, 3] in 0..1.
        """
        table = np.array([*self.colors, other])
        return table[np.where(known, labels, len(self)).astype(np.int64)]

    def key(self, labels: np.ndarray) -> set[KeyEntry]:
        """The entries of the classes that occur in `labels`."""
        return {KeyEntry(i, self.names[i], self.colors[i]) for i in np.unique(labels).astype(np.int64).tolist()}


#: The official colors of Dynamic World.
DYNAMIC_WORLD = Palette(
    ("water", "trees", "grass", "flooded vegetation", "crops", "shrub and scrub", "built", "bare", "snow and ice"),
    tuple(map(to_rgb, ("#419BDF", "#397D49", "#88B053", "#7A87C6", "#E49635", "#DFC35A", "#C4281B", "#A59B8F", "#B39FE1"))),
)

#: Official palettes by the usual names of the modalities.
_MAPS = {"dnw": DYNAMIC_WORLD}


def modality_palette(modality: Modality) -> Palette:
    """The palette of a categorical modality: the official one if there is one for its name and number of classes."""
    official = _MAPS.get(modality.name)
    if official is not None and len(official) == modality.classes:
        return official
    return Palette(tuple(f"class {i}" for i in range(modality.classes)))


def dataset_palette(metadata: Metadata) -> Palette:
    """The palette of a semantic dataset.

    Args:
        metadata: with `stuff_classes` and optionally `stuff_colors` (0 to 255).

    Raises:
        ValueError: if there are no classes, or the numbers of classes and colors differ.
    """
    names: Sequence[str] = metadata.get("stuff_classes") or ()
    if not names:
        raise InputError(
            f"the metadata of the dataset {metadata.name!r} has no stuff_classes, expected the names of "
            "the classes in its label maps: set them with MetadataCatalog.get(name).set(stuff_classes=[...])."
        )
    colors = metadata.get("stuff_colors") or ()
    return Palette(tuple(names), tuple(tuple(value / 255 for value in color) for color in colors))
