"""A scene from what a user says of it: its sensors, its grid, and which part of it is wanted."""

from __future__ import annotations

import os
from typing import Any

from shapely.geometry.base import BaseGeometry

from imrsf_d2.geo.projections import Bounds
from imrsf_d2.inference.areas import read_area, valid_area
from imrsf_d2.inference.scene import Scene, open_scene
from imrsf_d2.inference.sensors import NamedRasters, read_crs
from imrsf_d2.modalities import ModalitySet
from imrsf_d2.utils.errors import InputError

__all__ = ["open_sensors"]


def open_sensors(
    modalities: ModalitySet,
    rasters: NamedRasters,
    *,
    reference: str | None = None,
    crs: Any = None,
    resolution: float | None = None,
    bounds: Bounds | None = None,
    area: BaseGeometry | str | os.PathLike | None = None,
    windows: tuple[int, int] | None = None,
    assume_crs: Any = None,
) -> Scene:
    """Open the sensors of a scene on the pixels of the map.

    Args:
        modalities: the model's.
        rasters: of the sensors; they must live as long as the scene is read.
        reference: the sensor whose pixels and extent the map has; None for the finest one.
        crs: of the map, instead: anything that rasterio takes for a coordinate system, e.g. "EPSG:32633".
        resolution: of the map, instead: side of its pixels, in units of its system.
        bounds: (left, bottom, right, top) of the part that is wanted, in the map's system.
        area: the part that is wanted: polygons in the map's system, or a file of polygons in any; objects that touch it
            are kept whole, label maps end there.
        windows: side and overlap of the windows that objects are found in, px; None for a label map.
        assume_crs: of rasters that do not say theirs.

    Raises:
        RasterError: if a raster cannot be opened.
        ValueError: if the options contradict each other, or for what `open_scene` says.
    """
    options: dict[str, Any] = {
        "reference": reference,
        "crs": read_crs(crs, "the crs"),
        "resolution": resolution,
        "assume_crs": read_crs(assume_crs, "the crs to assume"),
    }
    if area is None:
        return open_scene(modalities, rasters.names, bounds=bounds, **options)
    if bounds is not None:
        raise InputError("bounds and an area (--bounds, --aoi) both say which part of the map is wanted; pass one of them.")
    if isinstance(area, BaseGeometry):
        polygons = valid_area([area], "the area")
    else:
        whole = open_scene(modalities, rasters.names, **options)  # only now it is known which system the map is in
        polygons = read_area(os.fspath(area), whole.grid)
    return open_scene(modalities, rasters.names, bounds=polygons.bounds, area=polygons, windows=windows, **options)
