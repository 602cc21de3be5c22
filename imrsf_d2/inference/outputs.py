"""What is written of a scene: the map, and what may come with it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from imrsf_d2.inference.vector_files import Feature
from imrsf_d2.utils.errors import InputError

__all__ = ["ENDINGS", "Drawing", "Extras", "Picture", "Watcher", "check_outputs"]

#: What is written beside a map -> how its name ends, after that of the map.
ENDINGS = {"probabilities": ".probabilities.tif", "importance": ".importance.tif", "picture": ".png", "page": ".html"}


@dataclass(frozen=True)
class Extras:
    """What is written beside a map.

    Args:
        probabilities: of each class, for a label map.
        importance: which sensor the model listened to (paper, III-B, eq. 3).
        picture: a quick look.
        page: a quick look to zoom and pan, in a browser.
    """

    probabilities: bool = False
    importance: bool = False
    picture: bool = False
    page: bool = False

    def check_for_objects(self) -> None:
        """See that everything exists for a map of objects.

        Raises:
            InputError: if probabilities are asked for.
        """
        if self.probabilities:
            raise InputError("probabilities are those of a label map's classes; objects have a score each.")

    def paths(self, output: str | os.PathLike) -> dict[str, Path]:
        """What is written -> its file, beside the map: of cover.tif, cover.tif.importance.tif and so on, so that cover.gpkg has
        others."""
        output = Path(output)
        return {key: output.with_name(f"{output.name}{end}") for key, end in ENDINGS.items() if getattr(self, key)}


def check_outputs(outputs: Iterable[Path], inputs: Iterable[str | os.PathLike]) -> None:
    """See that files can be written without the loss of others.

    Args:
        outputs: what would be written.
        inputs: what the map is made from.

    Raises:
        InputError: if a file is among the inputs, or a folder.
    """
    taken = {os.path.realpath(path) for path in inputs}
    for path in outputs:
        if os.path.realpath(path) in taken:
            raise InputError(f"{path} would be written, and the map is made from it: name another --output.")
        if path.is_dir():
            raise InputError(f"{path} would be written, and is a folder: name another --output.")


class Watcher(Protocol):
    """What sees the objects of a map while they are written, in whichever process that is."""

    def watch(self, features: Iterable[Feature]) -> Iterator[Feature]:
        """Pass features on, and note what is to be drawn."""
        ...


class Drawing(Protocol):
    """What draws a map."""

    def save(self, path: str, output: str) -> None:
        """Write the file.

        Args:
            path: of the file.
            output: the map, which is complete; it may not be in its place yet.
        """
        ...


class Picture(Drawing, Protocol):
    """What draws a quick look of a map, a PNG.

    Args:
        outlines: see all objects before `save` is called; picklable, as a copy may see them in another process and take the
            place of what was given.
    """

    outlines: Any  # a Watcher of the picture's own
