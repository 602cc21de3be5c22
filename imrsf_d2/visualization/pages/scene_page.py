"""The map of a scene as a page: an overview to zoom and pan, with objects to click or classes to fade in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from imrsf_d2.modalities import ModalitySet
from imrsf_d2.visualization.pages.encoding import picture_url
from imrsf_d2.visualization.pages.rendering import render_page
from imrsf_d2.visualization.palettes import Palette
from imrsf_d2.visualization.views import backdrop

__all__ = ["MOST_OBJECTS", "ShownObject", "label_page", "object_page"]

#: More would make the page slow.
MOST_OBJECTS = 20_000


@dataclass(frozen=True, eq=False)
class ShownObject:
    """An object of a map.

    Args:
        shape: in columns and rows of the overview.
        number, label, score, area_m2, sensors, cut: as in the map's file.
    """

    shape: BaseGeometry
    number: int
    label: str
    score: float
    area_m2: float
    sensors: str
    cut: bool


def object_page(name: str, image: np.ndarray, modalities: ModalitySet, objects: Sequence[ShownObject], number: int) -> str:
    """The page of a map of objects.

    Args:
        name: of the map.
        image: the overview, [C + M, H, W] in `modalities`' layout, not normalized.
        modalities: those of the image.
        objects: that are shown.
        number: of all objects of the map.
    """
    data = {
        "objects": [
            {
                "d": _path(o.shape),
                "id": o.number,
                "class": o.label,
                "score": o.score,
                "area": o.area_m2,
                "sensors": o.sensors,
                "cut": o.cut,
            }
            for o in objects
        ]
    }
    return _page(name, image, modalities, data, shown=len(objects), number=number, classes=[], over=None)


def label_page(
    name: str,
    image: np.ndarray,
    modalities: ModalitySet,
    labels: np.ndarray,
    classes: Sequence[str],
    colors: Sequence[Sequence[int]],
) -> str:
    """The page of a label map.

    Args:
        name, image, modalities: as in `object_page`.
        labels: [H, W] class indices; those beyond the classes are no data.
        classes: names.
        colors: (red, green, blue) of each, 0 to 255.
    """
    palette = Palette(tuple(classes), tuple((red / 255, green / 255, blue / 255) for red, green, blue in colors))
    known = labels < len(palette)
    over = picture_url(palette.paint(labels, known, (0, 0, 0)), known, 1, exact=True)
    shares = np.bincount(labels[known].ravel(), minlength=len(classes)) / max(1, known.sum())
    key = [
        {"name": one, "color": "#{:02x}{:02x}{:02x}".format(*color), "share": f"{share:.1%}"}
        for one, color, share in zip(classes, colors, shares)
        if share
    ]
    return _page(name, image, modalities, {"objects": []}, shown=0, number=0, classes=key, over=over)


def _page(name: str, image: np.ndarray, modalities: ModalitySet, data: dict, **values: object) -> str:
    height, width = image.shape[1:]
    seen = picture_url(backdrop(image, modalities), np.ones((height, width), dtype=bool), 1)
    return render_page(
        "scene.html", {**data, "width": width, "height": height}, name=name, seen=seen, width=width, height=height, **values
    )


def _path(shape: BaseGeometry) -> str:
    rings = [ring for part in shapely.get_parts(shape) for ring in (part.exterior, *part.interiors)]
    return "".join("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in shapely.get_coordinates(ring)[:-1]) + "z" for ring in rings)
