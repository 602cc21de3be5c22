"""A scene: rasters of any grid, extent and number of files, opened as one pixel grid that can be read window by window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from rasterio.crs import CRS
from shapely.geometry.base import BaseGeometry

from imrsf_d2.geo.projections import Bounds, bounds_text, crs_text
from imrsf_d2.inference.map_grid import check_place, cover_with_windows, cut_grid, finest_sensor, map_grid
from imrsf_d2.inference.scene_files import find_files, look_at, side_by_side
from imrsf_d2.inference.scene_reading import Scene, SceneFile
from imrsf_d2.modalities import ModalitySet
from imrsf_d2.utils.errors import InputError, some_of

__all__ = ["Scene", "SceneFile", "find_files", "open_scene"]


def open_scene(
    modalities: ModalitySet,
    sensors: Mapping[str, Sequence[str]],
    *,
    reference: str | None = None,
    crs: CRS | None = None,
    resolution: float | None = None,
    bounds: Bounds | None = None,
    area: BaseGeometry | None = None,
    windows: tuple[int, int] | None = None,
    assume_crs: CRS | None = None,
) -> Scene:
    """Look at the headers of a scene's files, and choose the pixels of the map.

    Args:
        modalities: the model's.
        sensors: name of a modality -> its files; those left out are missing.
        reference: the sensor whose pixels the map has; None for the finest one, of equally fine ones that with the most
            pixels. The map's extent is that sensor's.
        crs, resolution: instead, a map in this system and of this pixel size (map units); of one given alone, the other is
            the reference's.
        bounds: the part of the map that is wanted, in its system; None for all.
        area: polygons in the map's system, outside which nothing is asked for.
        windows: side and overlap, px, of the windows that objects are found in, if those that touch the area are to be whole:
            then the map has those windows of the whole map that come within a window of `bounds`, and ends where they end.
        assume_crs: of files that do not say which system they are in.

    Raises:
        RasterError: if a file cannot be opened.
        ValueError: if a sensor is unknown, a file has other bands or does not say where it lies, sensors do not overlap, or
            the map would be empty or its pixels far from any sensor's in size.
    """
    if not sensors:
        raise InputError("a scene has no sensor, expected at least one with its files.")
    looked = {
        name: tuple(look_at(path, modalities[name], assume_crs) for path in sensors[name])
        for name in modalities.check_subset(sensors, "the scene")
    }
    if reference is not None and reference not in looked:
        raise InputError(f"the reference is {reference!r}, expected one of the sensors given: {', '.join(looked)}.")
    reference = reference or finest_sensor(looked)
    looked = side_by_side(looked, looked[reference][0].grid)
    whole = map_grid(looked, reference, crs, resolution)
    grid = whole if bounds is None else cut_grid(whole, bounds)
    if windows is not None:
        grid = cover_with_windows(whole, grid, *windows)
    check_place(grid)
    away = [name for name, files in looked.items() if not any(grid.meets(file.grid) for file in files)]
    if away:
        extents = "; ".join(f"{name}: {_extent(files, grid.crs)}" for name, files in looked.items())
        raise InputError(
            f"{some_of(away)} and the map ({bounds_text(grid.bounds)} in {crs_text(grid.crs)}) do not overlap. In the map's system the "
            f"sensors cover {extents}. Leave the sensor out, or see whether its coordinate system is right."
        )
    return Scene(modalities, grid, looked, area, cut_from=whole, around=windows[0] if windows else 0)


def _extent(files: Sequence[SceneFile], crs: CRS | None) -> str:
    corners = [corners for file in files if (corners := file.grid.corners(crs)) is not None]
    if not corners:
        return "nothing there"
    points = np.concatenate(corners, axis=1)
    return bounds_text((points[0].min(), points[1].min(), points[0].max(), points[1].max()))
