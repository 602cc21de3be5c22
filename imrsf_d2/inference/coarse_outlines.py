"""Outlines in the few pixels of a picture, noted while the objects of a scene pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import shapely
from rasterio.transform import Affine

from imrsf_d2.inference.vector_files import Feature

__all__ = ["CoarseOutlines"]

#: Corners are left out that change an outline by less, px of the picture.
TOLERANCE_PX = 0.3


class CoarseOutlines:
    """What a picture shows of the objects of a scene; it can travel between processes.

    Args:
        transform: from (column, row) of the picture to the scene's coordinates.
        classes: names of the model's classes.
    """

    def __init__(self, transform: Affine, classes: Sequence[str]):
        self._to_pixels = tuple(~transform)[:6]
        #: name of each class -> the rings of each of its objects, [n, 2] float32 column and row
        self.objects: dict[str, list[list[np.ndarray]]] = {name: [] for name in classes}

    def watch(self, features: Iterable[Feature]) -> Iterator[Feature]:
        """Pass features on, and note their outlines in pixels of the picture."""
        a, b, c, d, e, f = self._to_pixels
        for feature in features:
            corners = shapely.transform(
                feature.geometry, lambda xy: np.stack([xy @ (a, b) + c, xy @ (d, e) + f], axis=1)
            ).simplify(TOLERANCE_PX)
            rings = [
                shapely.get_coordinates(ring).astype(np.float32)
                for part in shapely.get_parts(corners)
                for ring in (part.exterior, *part.interiors)
            ]
            self.objects[feature.label].append(rings)
            yield feature
