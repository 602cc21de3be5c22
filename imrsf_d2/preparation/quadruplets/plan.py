"""The tiles of a city, and everything about its files that can be checked before work starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from imrsf_d2.geo.grids import Grid
from imrsf_d2.geo.projections import longitude_latitude, move_bounds
from imrsf_d2.geo.vectors import find_layer, read_features
from imrsf_d2.geo.wrapping import meets, period
from imrsf_d2.preparation.quadruplets.city_grid import city_grid
from imrsf_d2.preparation.quadruplets.exports import CityExport
from imrsf_d2.preparation.quadruplets.mosaics import Mosaic, open_mosaics
from imrsf_d2.preparation.quadruplets.tiles import TileJob
from imrsf_d2.utils.errors import InputError

__all__ = ["CityPlan", "Planner"]


@dataclass(frozen=True)
class CityPlan:
    """The tiles of one city.

    Args:
        city: its name.
        jobs: tiles that may hold labels, by row and column.
        bare: number of tiles without any feature.
        elsewhere: sensor -> where its files lie, for sensors without a file that overlaps the labels.
        resampled: why Sentinel-2 scenes cannot all be copied, "" if they can be (see `city_grid`).
    """

    city: str
    jobs: tuple[TileJob, ...]
    bare: int
    elsewhere: Mapping[str, str]
    resampled: str = ""


@dataclass(frozen=True)
class Planner:
    """Plans the tiles of cities.

    Args:
        tile_size: side of a tile, px.
        resolution: side of a pixel, m.
        s1_unit: of Sentinel-1 scenes, "linear" or "db".
        classes: code -> class index, None for no data.
        ignore: label of no data.
        code_column, layer_pattern: see `find_layer`.
    """

    tile_size: int
    resolution: float
    s1_unit: str
    classes: Mapping[str, int | None]
    ignore: int
    code_column: str
    layer_pattern: str | None

    def __call__(self, city: CityExport) -> CityPlan:
        """Check all files of a city, and lay out its tiles over the extent of its labels.

        Raises:
            ValueError: if a file is not what is expected of its sensor.
        """
        mosaics = {sensor: tuple(open_mosaics(sensor, paths, self.s1_unit)) for sensor, paths in city.scenes.items()}
        layer = find_layer(city.vector, self.code_column, self.layer_pattern)
        features = read_features(layer, self.classes, self.ignore)
        try:
            grid, resampled = city_grid(mosaics.get("s2", ()), features.extent, layer.crs, self.resolution)
            jobs, bare = [], 0
            for row, column, tile in grid.tiles(self.tile_size):
                ids, labels = features.within(move_bounds(tile.bounds, grid.crs, layer.crs))
                if len(ids):
                    jobs.append(TileJob(f"{city.name}_{row:04d}_{column:04d}", tile, mosaics, layer, ids, labels))
                else:
                    bare += 1
            elsewhere = {
                sensor: _describe(group[0], grid)
                for sensor, group in mosaics.items()
                if not any(_meets(mosaic, grid) for mosaic in group)
            }
        except ValueError as error:
            raise InputError(f"{city.vector}: {error}") from error
        return CityPlan(city.name, tuple(jobs), bare, elsewhere, resampled)


def _meets(mosaic: Mosaic, grid: Grid) -> bool:
    """Whether one of a mosaic's files overlaps a grid."""
    try:
        left, bottom, right, top = move_bounds(grid.bounds, grid.crs, mosaic.crs)
    except ValueError:  # the grid is outside the domain of the scene's projection
        return False
    west, south, east, north = np.array(mosaic.bounds).T
    return bool((meets(west, east, left, right, period(mosaic.crs)) & (south < top) & (bottom < north)).any())


def _describe(mosaic: Mosaic, grid: Grid) -> str:
    """Says where a mosaic's first file lies, and where a grid does."""
    places = (mosaic.bounds[0], mosaic.crs), (grid.bounds, grid.crs)
    here, there = (
        longitude_latitude((left + right) / 2, (bottom + top) / 2, crs) for (left, bottom, right, top), crs in places
    )
    return (
        f"{Path(mosaic.pieces[0].path).name} lies around longitude {here[0]:.4f}, latitude {here[1]:.4f}, the "
        f"labels around {there[0]:.4f}, {there[1]:.4f}"
    )
