"""A scene in few pixels, for a picture of it: read through overviews where files have them, in little memory anyway."""

from __future__ import annotations

import math
import os
from dataclasses import replace

import numpy as np

from imrsf_d2.geo.gdal import RasterError, opened
from imrsf_d2.geo.grids import Grid
from imrsf_d2.geo.rasters import read_grid
from imrsf_d2.inference.scene import Scene, SceneFile
from imrsf_d2.inference.windows import Window

__all__ = ["coarse_scene", "read_labels", "read_whole"]

#: Files with so many more pixels than the picture are read in fewer.
FINER = 1.5


def coarse_scene(scene: Scene, longest_px: int) -> Scene:
    """The same ground in pixels of which the longer side has at most `longest_px`; the scene itself if it has no more."""
    scale = max(scene.grid.shape) / longest_px
    if scale <= 1:
        return scene
    grid = scene.grid.scaled_to(*(max(1, round(side / scale)) for side in scene.grid.shape))
    sensors = {
        name: [_coarse_file(file, grid, scene.modalities[name].categorical) for file in files]
        for name, files in scene.sensors.items()
    }
    return Scene(scene.modalities, grid, sensors, scene.area)


def read_whole(scene: Scene) -> np.ndarray:
    """All of a small scene, [C + M, H, W]; without any valid pixel if no sensor has one."""
    height, width = scene.grid.shape
    image = scene.read(Window(0, 0, 0, max(height, width)))
    if image is None:
        return np.zeros((scene.modalities.num_channels, height, width), dtype=np.float32)
    return image[:, :height, :width]


def read_labels(path: str | os.PathLike, shape: tuple[int, int]) -> np.ndarray:
    """A label map in (H, W) pixels, through its overviews."""
    with opened(path, "the label map") as file:
        return file.read(1, out_shape=shape)


def _coarse_file(file: SceneFile, grid: Grid, categorical: bool) -> SceneFile:
    corners = file.grid.corners(grid.crs)
    if corners is None:
        return file
    columns, rows = ~grid.transform * corners
    size = [math.ceil(np.ptp(side)) for side in (columns, rows)]
    if not all(0 < FINER * few < many for few, many in zip(size, (file.grid.width, file.grid.height))):
        return file
    # GDAL reads it so, as a file of fewer pixels, through the overviews if there are any.
    options = f"outsize={size[0]},{size[1]}&r={'nearest' if categorical else 'average'}"
    path = f"{file.path}&{options}" if file.path.startswith("vrt://") else f"vrt://{file.path}?{options}"
    try:
        return replace(file, path=path, grid=read_grid(path).moved(file.turned))
    except RasterError:  # GDAL is older than 3.7, or the name has a question mark: then all pixels are read
        return file
