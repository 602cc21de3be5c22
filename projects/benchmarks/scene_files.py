"""Large synthetic rasters of rows of houses, written piece by piece."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from rasterio.windows import Window

from imrsf_d2.geo.grids import Grid
from imrsf_d2.modalities import Modality

__all__ = ["PITCH_PX", "write_houses"]

#: From one house to the next, px: about 20 houses in a window of 256 px.
PITCH_PX = 56
#: Side of the tiles that a file is written in, px.
TILE_PX = 512


def write_houses(path: Path, grid: Grid, modality: Modality, numbers: int, seed: int = 0) -> None:
    """Write a sensor's raster of 8 bits; its first band holds the numbers of houses, the others noise.

    Args:
        grid: its pixels.
        modality: says how many bands there are.
        numbers: houses along a side of the square in which each has a number of its own, from 1; they repeat beyond.
    """
    rng = np.random.default_rng(seed)
    period = numbers * PITCH_PX
    band = np.zeros((period, period), dtype=np.uint8)
    for row in range(numbers):
        for column in range(numbers):
            height, width = rng.integers(14, 46, 2).tolist()
            top, left = row * PITCH_PX + int(rng.integers(2, 10)), column * PITCH_PX + int(rng.integers(2, 10))
            band[top : top + height, left : left + width] = 1 + row * numbers + column
            if rng.random() < 0.5:  # of the shape of an L
                band[top + height // 2 : top + height, left + width // 2 : left + width] = 0
    noise = rng.integers(1, 200, (modality.channels - 1, period, period), dtype=np.uint8)
    pattern = np.concatenate([band[None], noise])
    if modality.categorical:
        pattern %= modality.classes
    options = {"tiled": True, "blockxsize": TILE_PX, "blockysize": TILE_PX, "compress": "lzw", "bigtiff": "if_safer"}
    shape = {"height": grid.height, "width": grid.width, "count": modality.channels, "dtype": "uint8"}
    with rasterio.open(path, "w", driver="GTiff", crs=grid.crs, transform=grid.transform, **shape, **options) as file:
        for top in range(0, grid.height, TILE_PX):
            rows = np.arange(top, min(top + TILE_PX, grid.height)) % period
            for left in range(0, grid.width, TILE_PX):
                columns = np.arange(left, min(left + TILE_PX, grid.width)) % period
                file.write(pattern[:, rows[:, None], columns], window=Window(left, top, len(columns), len(rows)))
