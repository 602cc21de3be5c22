"""Which of many rasters may show a place, found without a look at each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely

from imrsf_d2.geo.grids import Grid
from imrsf_d2.geo.projections import WGS84, move_points
from imrsf_d2.geo.wrapping import move_near

__all__ = ["Nearby"]

#: Points along each side of a grid that are looked up, and how far around them it may reach, as a share of their extent.
POINTS, MARGIN = 5, 0.1


class Nearby:
    """Grids by their places on Earth.

    Args:
        grids: located, in any systems.
    """

    def __init__(self, grids: Sequence[Grid]):
        boxes = [_box(grid) for grid in grids]
        self._anywhere = [position for position, box in enumerate(boxes) if box is None]
        self._placed = [position for position, box in enumerate(boxes) if box is not None]
        self._tree = shapely.STRtree([box for box in boxes if box is not None])
        self._count = len(boxes)

    def of(self, grid: Grid) -> list[int]:
        """The positions of the grids that may meet another one, ascending; those that do are among them."""
        box = _box(grid)
        if box is None:
            return list(range(self._count))
        left, bottom, right, top = box.bounds
        # 180 degrees east is 180 degrees west.
        moved = [shapely.box(left + turn, bottom, right + turn, top) for turn in (-360.0, 0.0, 360.0)]
        found = {self._placed[int(position)] for one in moved for position in self._tree.query(one)}
        return sorted({*found, *self._anywhere})


def _box(grid: Grid) -> shapely.Polygon | None:
    """The rectangle in degrees around a grid; None if there is none that is smaller than the Earth."""
    moved = move_points(grid.points(POINTS), grid.crs, WGS84)
    if moved is None:
        return None
    longitudes, latitudes = move_near(moved[0], float(moved[0][0, 0]), 360.0), moved[1]
    west, east, south, north = longitudes.min(), longitudes.max(), latitudes.min(), latitudes.max()
    if east - west > 90 or np.abs(latitudes).max() > 80:  # around a pole
        return None
    across, down = MARGIN * (east - west), MARGIN * (north - south)
    return shapely.box(west - across, south - down, east + across, north + down)
