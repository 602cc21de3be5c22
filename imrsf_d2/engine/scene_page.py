"""A scene's finished map as a page: the overview with its objects as vectors, or with its classes laid over it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyogrio
import shapely
from rasterio import warp

from imrsf_d2.inference.coarse import coarse_scene, read_labels, read_whole
from imrsf_d2.inference.coarse_outlines import TOLERANCE_PX
from imrsf_d2.inference.job import SceneJob
from imrsf_d2.utils.atomic import write_text
from imrsf_d2.utils.errors import InputError
from imrsf_d2.visualization.pages.scene_page import MOST_OBJECTS, ShownObject, label_page, object_page

__all__ = ["check_page", "page_path", "write_scene_page"]

#: Longer side of the overview, px.
LONGEST_PX = 1600
#: Objects that are read at a time.
CHUNK = 5000


def page_path(job: SceneJob) -> Path:
    """Beside the map: cover.tif.html."""
    return job.output.with_name(f"{job.output.name}.html")


def check_page(job: SceneJob) -> None:
    """See that the page can be made of the map.

    Raises:
        InputError: for GeoParquet, which GDAL does not read everywhere.
    """
    if job.output.suffix.lower() == ".parquet":
        raise InputError(f"--html reads {job.output.name} again, expected a map that ends in .gpkg, .fgb, .geojson or .tif.")


def write_scene_page(job: SceneJob) -> Path:
    """Write the page of a map that is complete; returns its path."""
    scene = coarse_scene(job.scene, LONGEST_PX)
    image, name = read_whole(scene), job.output.name
    if not job.instances:
        labels = read_labels(job.output, scene.grid.shape)
        text = label_page(name, image, scene.modalities, labels, job.classes, job.colors)
    else:
        number = pyogrio.read_info(job.output)["features"]
        text = object_page(name, image, scene.modalities, list(_objects(job, ~scene.grid.transform, number)), number)
    write_text(page_path(job), text)
    return page_path(job)


def _objects(job: SceneJob, to_pixels, number: int) -> Iterator[ShownObject]:
    """Every object of the map, or every n-th, so that there are at most `MOST_OBJECTS`."""
    step, crs = -(-number // MOST_OBJECTS) or 1, job.scene.grid.crs
    assert crs is not None  # see `open_scene`
    a, b, c, d, e, f = tuple(to_pixels)[:6]
    for first in range(0, number, CHUNK):
        meta, _, shapes, columns = pyogrio.raw.read(job.output, skip_features=first, max_features=CHUNK)
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
