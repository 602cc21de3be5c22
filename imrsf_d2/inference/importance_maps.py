"""Maps of which sensor the model listened to, with a pixel per patch.

Windows begin anywhere, the last ones of a row or column at least, so their patches do not share a grid. The map's pixels
are patches counted from its corner; each gets the patches of all windows that lie over it, by the area that they share,
weighted like the probabilities of label maps: most in the middle of a window.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from rasterio.features import geometry_mask
from rasterio.windows import Window as RasterWindow

from imrsf_d2.inference.blending import hann_weights
from imrsf_d2.inference.blocks import Block, BlockFolder
from imrsf_d2.inference.cogs import cog
from imrsf_d2.inference.importance import load_importance
from imrsf_d2.inference.scene import Scene
from imrsf_d2.inference.windows import Window

__all__ = ["IMPORTANCE", "blend_importance", "write_importance"]

#: The part of a block's result that holds the weights of its windows.
IMPORTANCE = "importance"
#: Rows of the map that are made at a time.
BAND_ROWS = 128


def write_importance(
    path: str | os.PathLike, scene: Scene, blocks: Sequence[Block], folder: BlockFolder, patch_px: int
) -> None:
    """Write the map of a scene whose blocks are all computed, as a Cloud-Optimized GeoTIFF with a band per sensor.

    Its pixels are patches; those of the last row and column may reach beyond the scene. Over the sensors of a pixel they sum
    to 1; NaN where a sensor is missing, or nothing was asked for.

    Args:
        path: of the GeoTIFF.
        blocks: with a part `IMPORTANCE` in the folder.
        patch_px: the model's patches, px.
    """
    names = scene.modalities.names
    rows, columns = (-(-side // patch_px) for side in scene.grid.shape)
    grid = scene.grid.part(slice(0, rows * patch_px), slice(0, columns * patch_px)).scaled_to(rows, columns)
    with cog(path, grid, count=len(names), dtype="float32", nodata=float("nan"), overviews="average") as file:
        file.descriptions = names
        for top in range(0, rows, BAND_ROWS):
            bottom = min(top + BAND_ROWS, rows)
            found = _windows_over(blocks, folder, top * patch_px, bottom * patch_px)
            weights = blend_importance(found, (top, bottom), columns, len(names), patch_px)
            if scene.area is not None:
                part = grid.part(slice(top, bottom), slice(0, columns))
                weights[:, geometry_mask([scene.area], part.shape, part.transform, all_touched=True)] = np.nan
            file.write(weights, window=RasterWindow(0, top, columns, bottom - top))


def _windows_over(
    blocks: Sequence[Block], folder: BlockFolder, top: int, bottom: int
) -> Iterator[tuple[Window, np.ndarray]]:
    """The windows that touch some rows of the scene, each once and in their order, and their weights."""
    found: dict[int, tuple[Window, np.ndarray]] = {}
    for block in blocks:
        over = {window.index: window for window in block.windows if window.top < bottom and window.bottom > top}
        if over.keys() - found.keys():  # blocks of label maps share windows
            weights = load_importance(folder.file(block, IMPORTANCE))
            found |= {index: (over[index], weights[index]) for index in over.keys() & weights.keys()}
    return (found[index] for index in sorted(found))


def blend_importance(
    found: Iterable[tuple[Window, np.ndarray]], rows: tuple[int, int], columns: int, sensors: int, patch_px: int
) -> np.ndarray:
    """Some rows of the map.

    Args:
        found: the windows that touch them, and their weights [M, n, n].
        rows: the first row, and the one after the last.
        columns: of the map.
        sensors: M.
        patch_px: side of a pixel and of a patch, px of the scene.

    Returns:
        [M, rows, columns] float32.
    """
    top, bottom = rows
    sums = np.zeros((sensors, bottom - top, columns))
    shares = np.zeros_like(sums)
    for window, beta in found:
        (first_row, down), (first_column, across) = (
            _shares(origin, window.size, patch_px) for origin in (window.top, window.left)
        )
        here = ~np.isnan(beta)
        weighted = hann_weights(beta.shape[-1]) * np.where(here, beta, 0)
        start, stop = max(first_row, top), min(first_row + len(down), bottom)
        # A window of a small scene reaches beyond it, and one of a part of a map on either side.
        before, behind = max(first_column, 0), min(first_column + len(across), columns)
        place = np.s_[:, start - top : stop - top, before:behind]
        inner = np.s_[:, start - first_row : stop - first_row, before - first_column : behind - first_column]
        sums[place] += (down @ weighted @ across.T)[inner]
        shares[place] += (down @ here @ across.T)[inner]
    total = sums.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(shares > 0, sums / total, np.nan).astype(np.float32)


def _shares(origin: int, size: int, patch_px: int) -> tuple[int, np.ndarray]:
    """Along one axis, the first pixel of the map that a window touches, and what its patches share with the pixels from
    there on: [pixels, patches], px."""
    first, last = origin // patch_px, -(-(origin + size) // patch_px)
    pixels = np.arange(first, last) * patch_px
    patches = np.arange(-(-size // patch_px)) * patch_px + origin
    ends = np.minimum(patches + patch_px, origin + size)
    shared = np.minimum(pixels[:, None] + patch_px, ends) - np.maximum(pixels[:, None], patches)
    return first, np.maximum(shared, 0).astype(np.float64)
