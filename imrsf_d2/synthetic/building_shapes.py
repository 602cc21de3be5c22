"""Building outlines: drawn, placed, clipped to the tile, rasterized and written as COCO.

Outlines are rasterized by pycocotools everywhere, so that a label never disagrees with its scene. Coordinates are pixels,
x to the right and y down; (0, 0) is the outer corner of the first pixel.
"""

from dataclasses import dataclass, replace

import numpy as np
import shapely
from pycocotools import mask as coco_mask


@dataclass(frozen=True)
class Footprint:
    """One building's outline: disjoint outer rings and the courtyards in them, each [K, 2] xy.

    `axis` is the direction of the long side in radians; it and `center` place the roof's ridge.
    """

    rings: tuple[np.ndarray, ...]
    holes: tuple[np.ndarray, ...] = ()
    axis: float = 0.0
    center: tuple[float, float] = (0.0, 0.0)
    kind: str = "rectangle"


def box(width: float, depth: float, x: float = 0.0, y: float = 0.0) -> np.ndarray:
    """The ring [4, 2] of an upright rectangle around (x, y)."""
    half = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * 0.5
    return half * (width, depth) + (x, y)


def draw_shape(rng: np.random.Generator, kind: str, width: float, depth: float) -> Footprint:
    """An outline of the given kind around the origin, long side along x.

    Args:
        kind: one of `KINDS`.
        width, depth: extent in px; enlarged where a shape with wings or a courtyard would not fit.
    """
    if kind == "rectangle":
        return Footprint((box(width, depth),), kind=kind)
    if kind == "round":
        corners = int(rng.choice([6, 8, 12, 20]))
        angle = 2 * np.pi * (np.arange(corners) + 0.5) / corners
        radius = np.sqrt(width * depth) / 2
        return Footprint((radius * np.stack([np.cos(angle), np.sin(angle)], 1),), kind=kind)
    if kind == "parts":
        gap = rng.uniform(3, 6)
        first = width * rng.uniform(0.45, 0.6)
        left = box(first, depth, -(first + gap) / 2)
        right = box(max(width - first, 9.0), depth * rng.uniform(0.6, 1.0), (max(width - first, 9.0) + gap) / 2)
        return Footprint((left, right), kind=kind)
    width, depth = max(width, 22.0), max(depth, 20.0)
    if kind == "courtyard":
        width, depth = max(width, 28.0), max(depth, 26.0)
        share = rng.uniform(0.35, 0.5)
        return Footprint((box(width, depth),), (box(width * share, depth * share),), kind=kind)
    cut = rng.uniform(0.3, 0.42)
    far, start, stop = 1 - cut, 0.5 - cut / 2, 0.5 + cut / 2
    points = {
        "l": [(0, 0), (1, 0), (1, 1), (cut, 1), (cut, 0.5), (0, 0.5)],
        "t": [(0, 0), (1, 0), (1, 0.5), (far, 0.5), (far, 1), (cut, 1), (cut, 0.5), (0, 0.5)],
        "u": [(0, 0), (1, 0), (1, 1), (stop, 1), (stop, 0.5), (start, 0.5), (start, 1), (0, 1)],
    }[kind]
    return Footprint(((np.array(points) - 0.5) * (width, depth),), kind=kind)


KINDS = ("rectangle", "l", "t", "u", "courtyard", "round", "parts")


def move(footprint: Footprint, angle: float, center: tuple[float, float]) -> Footprint:
    """The outline turned by `angle` (radians) about the origin, then shifted to `center`."""
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[cos, sin], [-sin, cos]])
    place = lambda rings: tuple(ring @ turn + center for ring in rings)  # noqa: E731
    middle = np.asarray(footprint.center) @ turn + center
    return replace(
        footprint,
        rings=place(footprint.rings),
        holes=place(footprint.holes),
        axis=footprint.axis + angle,
        center=(float(middle[0]), float(middle[1])),
    )


def clip(footprint: Footprint, size: int) -> Footprint:
    """The part of the outline inside the tile, on a grid of 0.01 px (what the JSON will hold)."""
    return replace(footprint, rings=tuple(np.round(part, 2) for ring in footprint.rings for part in _clip_ring(ring, size)))


def _clip_ring(ring: np.ndarray, size: int) -> list[np.ndarray]:
    """The parts of a ring that lie in the square [0, size]^2."""
    if ((ring >= 0) & (ring <= size)).all():
        return [ring]
    parts = shapely.get_parts(shapely.Polygon(ring).intersection(shapely.box(0, 0, size, size)))
    # An outline that only touches the border leaves points or lines there, and one that lies outside an empty polygon.
    return [shapely.get_coordinates(part)[:-1] for part in parts[shapely.area(parts) > 0]]


Window = tuple[slice, slice]


def window_around(rings: tuple[np.ndarray, ...], size: int, margin_px: int) -> Window:
    """The rows and columns, at least one of each, of a square scene of `size` px that hold some rings and what lies near."""
    points = np.concatenate(rings) if rings else np.zeros((1, 2))
    # From a column that is a multiple of four: some functions of cv2 round differently at other alignments.
    low = np.clip(np.floor(points.min(0)).astype(int) - margin_px, 0, size - 1) // (4, 1) * (4, 1)
    high = np.clip(np.ceil(points.max(0)).astype(int) + margin_px, low + 1, size)
    return slice(low[1], high[1]), slice(low[0], high[0])


def rasterize(footprint: Footprint, window: Window) -> np.ndarray:
    """The mask [h, w] bool of the outline without its holes, in some rows and columns that hold all of it."""
    mask = _fill(footprint.rings, window)
    return mask & ~_fill(footprint.holes, window) if footprint.holes else mask


def _fill(rings: tuple[np.ndarray, ...], window: Window) -> np.ndarray:
    rows, columns = window
    if not rings:
        return np.zeros((rows.stop - rows.start, columns.stop - columns.start), bool)
    # Rings moved to a window of their own would be rounded differently, so only what lies beyond them is left out.
    parts = coco_mask.frPyObjects([ring.ravel().tolist() for ring in rings], rows.stop, columns.stop)
    return coco_mask.decode(coco_mask.merge(parts))[window].astype(bool)


def to_coco(footprint: Footprint, mask: np.ndarray, form: str) -> dict:
    """The `segmentation`, `area` and `bbox` of an annotation.

    Args:
        mask: [H, W] bool, the rasterized outline.
        form: "polygon", "rle" (counts as a list) or "compressed" (counts as a string). Courtyards need one of the
            last two: COCO polygons have no holes.
    """
    encoded = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    segmentation: list | dict
    if form == "polygon":
        segmentation = [ring.ravel().tolist() for ring in footprint.rings]
    elif form == "compressed":
        segmentation = {"size": list(mask.shape), "counts": encoded["counts"].decode("ascii")}
    else:
        # COCO counts run down the columns and start with the number of zeros.
        flat = mask.ravel(order="F")
        edges = np.flatnonzero(np.diff(flat)) + 1
        counts = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
        segmentation = {"size": list(mask.shape), "counts": [0, *counts] if flat[0] else counts}
    return {
        "segmentation": segmentation,
        "area": float(coco_mask.area(encoded)),
        "bbox": [float(v) for v in coco_mask.toBbox(encoded)],
    }
