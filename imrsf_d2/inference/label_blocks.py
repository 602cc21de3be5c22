"""Label maps, block by block: the classes of a block's pixels."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from rasterio.features import geometry_mask

from imrsf_d2.inference.blending import blend
from imrsf_d2.inference.blocks import Block
from imrsf_d2.inference.label_maps import NO_LABEL
from imrsf_d2.inference.predictor import WindowResult
from imrsf_d2.inference.scene import Scene
from imrsf_d2.inference.windows import Window

__all__ = ["blend_labels"]


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
            rows, columns = slice(max(w.top, top), min(w.bottom, bottom)), slice(max(w.left, left), min(w.right, right))
            inner = result.valid[rows.start - w.top : rows.stop - w.top, columns.start - w.left : columns.stop - w.left]
            valid[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] |= inner
            assert result.probabilities is not None
            yield w, result.probabilities

    blended = blend(block.area, found(), classes)
    known = valid & ~np.isnan(blended[0])
    if scene.area is not None:
        part = scene.grid.part(slice(top, bottom), slice(left, right))
        known &= geometry_mask([scene.area], part.shape, part.transform, invert=True)
    labels = np.where(known, np.nan_to_num(blended).argmax(axis=0), NO_LABEL).astype(np.uint8)
    blended[:, ~known] = np.nan
    return labels, blended
