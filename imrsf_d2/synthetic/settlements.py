"""Buildings in a synthetic landscape: halls and blocks of flats, large enough to be told apart at 10 m."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from imrsf_d2.synthetic.landscape import GRASS, PAVED, ROOF, URBAN, Landscape

__all__ = ["SettlementStyle", "add_buildings"]


@dataclass(frozen=True)
class SettlementStyle:
    """How towns are built.

    Attributes:
        spacing_px: one attempt to place a building for each square of this side of urban fabric; many find no room.
        side_px: (least, most) side of a building.
        gap_px: least distance between two, so that each is an object of its own.
        height_m: (least, most) height.
    """

    spacing_px: float = 4.0
    side_px: tuple[float, float] = (4.0, 10.0)
    gap_px: int = 2
    height_m: tuple[float, float] = (8.0, 30.0)


def add_buildings(rng: np.random.Generator, land: Landscape, style: SettlementStyle) -> tuple[Landscape, np.ndarray]:
    """Build on the urban fabric of a landscape, whose loose roofs are taken away, so that every roof is that of a building.

    Returns:
        The landscape, whose roofs and heights are those of the buildings; and [S, S] int32 the number of the building that
        stands on a pixel, 0 for none.
    """
    size, free = len(land.label), (land.label == URBAN).astype(np.uint8)
    cover = np.where(land.cover == ROOF, np.where(free == 1, PAVED, GRASS), land.cover).astype(np.uint8)
    height_m, buildings = land.height_m.copy(), np.zeros((size, size), dtype=np.int32)
    sites = np.argwhere(free)
    sites = sites[rng.permutation(len(sites))[: round(len(sites) / style.spacing_px**2)]]
    angle = rng.uniform(0, 90)  # of the streets of a town
    border = np.ones((2 * style.gap_px + 1,) * 2, dtype=np.uint8)
    count = 0
    for row, column in sites.tolist():
        corners = cv2.boxPoints(((column, row), tuple(rng.uniform(*style.side_px, 2)), angle))
        height = rng.uniform(*style.height_m)
        shape = cv2.fillPoly(np.zeros((size, size), dtype=np.uint8), [np.rint(corners).astype(np.int32)], 1)
        if (shape > free).any():
            continue
        count += 1
        place = shape == 1
        buildings[place] = count
        cover[place] = ROOF
        height_m[place] += height
        free[cv2.dilate(shape, border) == 1] = 0
    return replace(land, cover=cover, height_m=height_m), buildings
