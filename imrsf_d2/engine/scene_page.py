"""A scene's finished map as a page: the overview with its objects as vectors, or with its classes laid over it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyogrio
import shapely
from rasterio import warp
from rasterio.crs import CRS
from rasterio.transform import Affine

from imrsf_d2.inference.coarse import coarse_scene, read_labels, read_whole
from imrsf_d2.inference.coarse_outlines import TOLERANCE_PX
from imrsf_d2.inference.scene import Scene
from imrsf_d2.utils.atomic import write_text
from imrsf_d2.utils.errors import InputError
from imrsf_d2.visualization.pages.scene_page import MOST_OBJECTS, ShownObject, label_page, object_page

__all__ = ["ScenePage", "check_page"]

#: Longer side of the overview, px.
LONGEST_PX = 1600
#: Objects that are read at a time.
CHUNK = 5000


def check_page(output: Path) -> None:
    """See that the page can be made of a map.

    Raises:
        InputError: for GeoParquet, which GDAL does not read everywhere.
    """
    if output.suffix.lower() == ".parquet":
        raise InputError(f"--html reads {output.name} again, expected a map that ends in .gpkg, .fgb, .geojson or .tif.")


class ScenePage:
    """Writes the page of a scene's map.

    Args:
        scene: what was mapped.
        name: of the map.
        classes: names of the model's classes.
        colors: (red, green, blue) of each, 0 to 255; empty for a map of objects.
    """

    def __init__(self, scene: Scene, name: str, classes: Sequence[str], colors: Sequence[Sequence[int]] = ()):
        self._scene, self._name, self._classes, self._colors = scene, name, tuple(classes), colors

    def save(self, path: str, output: str) -> None:
        """Write the page.

        Args:
            path: of the page.
            output: the map.
        """
        scene = coarse_scene(self._scene, LONGEST_PX)
        image, modalities = read_whole(scene), scene.modalities
        if self._colors:
            labels = read_labels(output, scene.grid.shape)
            text = label_page(self._name, image, modalities, labels, self._classes, self._colors)
        else:
            number, crs = pyogrio.read_info(output, force_feature_count=True)["features"], self._scene.grid.crs
            assert crs is not None  # see `open_scene`
            objects = list(_objects(output, crs, ~scene.grid.transform, number))
            text = object_page(self._name, image, modalities, objects, number)
        write_text(path, text)


def _objects(path: str | os.PathLike, crs: CRS, to_pixels: Affine, number: int) -> Iterator[ShownObject]:
    """Every object of the map, or every n-th, so that there are at most `MOST_OBJECTS`."""
    step = -(-number // MOST_OBJECTS) or 1
    a, b, c, d, e, f = tuple(to_pixels)[:6]
    for first in range(0, number, CHUNK):
        meta, _, shapes, columns = pyogrio.raw.read(path, skip_features=first, max_features=CHUNK)
        fields = dict(zip(meta["fields"], columns))
        for i in range(-first % step, len(shapes), step):
            shape = shapely.from_wkb(shapes[i])
            if meta["crs"] != crs.to_string():  # GeoJSON
                shape = shapely.transform(
                    shape, lambda xy, system=meta["crs"]: np.stack(warp.transform(system, crs, *xy.T), axis=1)
                )
            shape = shapely.transform(shape, lambda xy: np.stack([xy @ (a, b) + c, xy @ (d, e) + f], axis=1))
            yield ShownObject(
                shape.simplify(TOLERANCE_PX),
                int(fields["id"][i]),
                str(fields["class"][i]),
                float(fields["score"][i]),
                float(fields["area_m2"][i]),
                str(fields["sensors"][i] or ""),
                bool(fields["cut"][i]),
            )
