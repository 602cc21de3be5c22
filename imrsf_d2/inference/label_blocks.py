"""Label maps, block by block: the classes of a block's pixels, and the files of all blocks."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import numpy as np
from rasterio.features import geometry_mask
from rasterio.windows import Window as RasterWindow

from imrsf_d2.inference.blending import blend
from imrsf_d2.inference.blocks import Block, BlockFolder
from imrsf_d2.inference.cogs import cog
from imrsf_d2.inference.label_maps import NO_LABEL, label_map
from imrsf_d2.inference.predictor import WindowResult
from imrsf_d2.inference.scene import Scene
from imrsf_d2.inference.windows import Window
from imrsf_d2.utils.atomic import write_atomically

__all__ = ["blend_labels", "save_labels", "write_label_map", "write_probabilities"]

#: The part of a block's result that holds the probabilities of its classes.
PROBABILITIES = "probabilities"


def blend_labels(scene: Scene, block: Block, results: Iterator[WindowResult], classes: int) -> tuple[np.ndarray, np.ndarray]:
    """From what the model says of a block's windows to its pixels.

    Args:
        results: of the block's windows, in their order.
        classes: C, of the model.

    Returns:
        The class of each pixel [H, W] uint8, and the probabilities [C, H, W] float32; no data where no sensor has any, or
        nothing was asked for.
    """
    assert block.area is not None
    top, left, bottom, right = block.area
    valid = np.zeros((bottom - top, right - left), dtype=bool)

    def found() -> Iterator[tuple[Window, np.ndarray]]:
        for result in results:
            w = result.window
            assert result.valid is not None and result.probabilities is not None
            rows, columns = slice(max(w.top, top), min(w.bottom, bottom)), slice(max(w.left, left), min(w.right, right))
            inner = result.valid[rows.start - w.top : rows.stop - w.top, columns.start - w.left : columns.stop - w.left]
            valid[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] |= inner
            yield w, result.probabilities

    blended = blend(block.area, found(), classes)
    known = valid & ~np.isnan(blended[0])
    if scene.area is not None:
        part = scene.grid.part(slice(top, bottom), slice(left, right))
        known &= geometry_mask([scene.area], part.shape, part.transform, invert=True)
    labels = np.where(known, np.nan_to_num(blended).argmax(axis=0), NO_LABEL).astype(np.uint8)
    blended[:, ~known] = np.nan
    return labels, blended


def save_labels(folder: BlockFolder, block: Block, labels: np.ndarray, probabilities: np.ndarray | None = None) -> None:
    """Write the result of a block: its classes, and their probabilities unless they are None."""
    if probabilities is not None:
        # Not compressed: there is little gain in it, and it would take longer than the model.
        write_atomically(
            folder.file(block, PROBABILITIES), lambda file: np.savez(file, allow_pickle=False, probabilities=probabilities)
        )
    write_atomically(folder.file(block), lambda file: np.savez_compressed(file, allow_pickle=False, labels=labels))


def write_label_map(
    path: str | os.PathLike,
    scene: Scene,
    blocks: Sequence[Block],
    folder: BlockFolder,
    names: Sequence[str],
    colors: Sequence[Sequence[int]],
) -> None:
    """Write the label map of a scene whose blocks are all computed, as a Cloud-Optimized GeoTIFF."""
    with label_map(path, scene.grid, names, colors) as write:
        for block in blocks:
            with np.load(folder.file(block)) as file:
                write(file["labels"], _place(block))


def write_probabilities(
    path: str | os.PathLike, scene: Scene, blocks: Sequence[Block], folder: BlockFolder, names: Sequence[str]
) -> None:
    """Write the probabilities of a scene whose blocks are all computed with them, as a Cloud-Optimized GeoTIFF.

    They are as the model gives them, float32, NaN for no data: the best class of a pixel is that of the label map, and
    there is no scale that a reader may forget.

    Args:
        path: of the GeoTIFF, which has a band per class.
        names: of the classes, which the bands are described by.
    """
    count = len(names)
    with cog(path, scene.grid, count=count, dtype="float32", nodata=float("nan"), overviews="average") as file:
        file.descriptions = tuple(names)
        for block in blocks:
            with np.load(folder.file(block, PROBABILITIES)) as computed:
                file.write(computed["probabilities"], window=_place(block))


def _place(block: Block) -> RasterWindow:
    assert block.area is not None
    top, left, bottom, right = block.area
    return RasterWindow(left, top, right - left, bottom - top)
