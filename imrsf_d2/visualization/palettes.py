"""Names and colors of classes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from detectron2.data import Metadata

from imrsf_d2.data.class_colors import class_colors
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


def _unit(colors: Iterable[Sequence[int]]) -> tuple[RGB, ...]:
    """Colors of 0 to 255 as 0..1."""
    return tuple((red / 255, green / 255, blue / 255) for red, green, blue in colors)


@dataclass(frozen=True)
class Palette:
    """A name and a color for each class.

    Args:
        names: of the classes, in the order of their indices.
        colors: (red, green, blue) in 0..1 for each; empty for those of `class_colors`.

    Raises:
        ValueError: if the numbers of colors and names differ.
    """

    names: tuple[str, ...]
    colors: tuple[RGB, ...] = ()

    def __post_init__(self) -> None:
        if not self.colors:
            object.__setattr__(self, "colors", _unit(class_colors(self.names)))
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


#: Dynamic World in its official colors, which `class_colors` has for the same classes elsewhere.
DYNAMIC_WORLD = Palette(
    ("water", "trees", "grass", "flooded vegetation", "crops", "shrub and scrub", "built", "bare", "snow and ice")
)

#: Palettes by the usual names of the modalities.
_MAPS = {"dnw": DYNAMIC_WORLD, "dynamic_world": DYNAMIC_WORLD}


def modality_palette(modality: Modality, like: Palette | None = None) -> Palette:
    """The palette of a categorical modality.

    Its classes have the names of `Modality.class_names`, or those of a known map if it has that map's name and number of
    classes.

    Args:
        modality: categorical.
        like: of the labels beside it; classes of the same name have the same color.
    """
    names = modality.class_names or tuple(f"class {i}" for i in range(modality.classes))
    known = _MAPS.get(modality.name)
    if known is not None and not modality.class_names and len(known) == modality.classes:
        names = known.names
    beside = {} if like is None else {name.casefold(): color for name, color in zip(like.names, like.colors)}
    given = [beside.get(name.casefold()) for name in names]
    return Palette(names, _unit(class_colors(names, [color and [round(255 * part) for part in color] for color in given])))


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
    return Palette(tuple(names), _unit(colors))
