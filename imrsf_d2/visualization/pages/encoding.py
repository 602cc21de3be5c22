"""Arrays as what a page can hold: images as data URLs, masks as SVG paths."""

from __future__ import annotations

import base64
import io
import itertools

import numpy as np
from PIL import Image
from rasterio.features import shapes

__all__ = ["MOST_PX", "gray_url", "mask_path", "picture_url", "shrunk_labels", "shrunk_masks", "step_of"]

#: Tiles with a longer side are shown smaller.
MOST_PX = 320
QUALITY = 80


def step_of(height: int, width: int) -> int:
    """Every how many pixels of a tile the page shows one, in both directions."""
    return -(-max(height, width) // MOST_PX)


def shrunk_labels(labels: np.ndarray, step: int) -> np.ndarray:
    """Every `step`-th pixel of [..., H, W], from the middle of the first block on."""
    middle = step // 2
    return labels[..., middle::step, middle::step]


def shrunk_masks(masks: np.ndarray, step: int) -> np.ndarray:
    """Masks [n, H, W] bool as `shrunk_labels` has them."""
    return np.asarray(shrunk_labels(masks, step), dtype=bool)


def picture_url(colors: np.ndarray, valid: np.ndarray, step: int, exact: bool = False) -> str:
    """A picture as a data URL.

    Args:
        colors: [H, W, 3] in 0..1.
        valid: [H, W] bool, False = transparent.
        step: as for `shrunk_labels`.
        exact: keep the colors as they are, for those that stand for classes.
    """
    pixels = np.round(255 * np.clip(colors, 0, 1)).astype(np.uint8)
    shown = shrunk_labels(valid, step)
    if step == 1 or exact:
        picture = Image.fromarray(np.moveaxis(shrunk_labels(np.moveaxis(pixels, -1, 0), step), 0, -1))
    else:
        picture = Image.fromarray(pixels).resize(shown.shape[::-1], Image.Resampling.BOX)
    if not shown.all():
        picture.putalpha(Image.fromarray(255 * shown.astype(np.uint8)))
    if shown.all() and not exact:
        return _url(picture, "JPEG", quality=QUALITY, optimize=True)
    return _url(picture, "PNG", optimize=True)


def gray_url(values: np.ndarray) -> str:
    """Numbers [H, W] from 0 to 255 as a data URL of a gray PNG, for a script to read them."""
    return _url(Image.fromarray(np.ascontiguousarray(values, dtype=np.uint8)), "PNG", optimize=True)


def mask_path(mask: np.ndarray) -> str:
    """The outline of a mask [H, W] bool along the edges of its pixels, as an SVG path with the fill rule `evenodd`."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return ""
    top, left = int(rows[0]), int(columns[0])
    part = np.ascontiguousarray(mask[top : rows[-1] + 1, left : columns[-1] + 1]).astype(np.uint8)
    path = []
    for shape, _ in shapes(part, mask=part.astype(bool)):
        for ring in shape["coordinates"]:
            corners = [(int(x), int(y)) for x, y in ring]
            path.append(f"M{corners[0][0] + left} {corners[0][1] + top}")
            # The last side is drawn by z.
            path += [f"h{x1 - x0}" if y0 == y1 else f"v{y1 - y0}" for (x0, y0), (x1, y1) in itertools.pairwise(corners[:-1])]
            path.append("z")
    return "".join(path)


def _url(picture: Image.Image, kind: str, **options: object) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
