"""The tiles of a city, and everything about its files that can be checked before work starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from imrsf_d2.data.class_tables import ClassTable
from imrsf_d2.geo.grids import Grid
from imrsf_d2.geo.projections import longitude_latitude
from imrsf_d2.preparation.quadruplets.city_grid import city_grid
from imrsf_d2.preparation.quadruplets.exports import CityExport
from imrsf_d2.preparation.quadruplets.land_cover import PolygonMap, RasterMap
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
        bare: number of tiles without any land cover.
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
        table: the classes of the land cover.
        code_column, layer_pattern: see `find_layer`.
    """

    tile_size: int
    resolution: float
    s1_unit: str
    table: ClassTable
    code_column: str
    layer_pattern: str | None

    def __call__(self, city: CityExport) -> CityPlan:
        """Check all files of a city, and lay out its tiles over the extent of its labels.

        Raises:
            ValueError: if a file is not what is expected of its sensor.
        """
        mosaics = {sensor: tuple(open_mosaics(sensor, paths, self.s1_unit)) for sensor, paths in city.scenes.items()}
        labels: PolygonMap | RasterMap
        if city.mapped:
            labels = RasterMap.open(city.labels, self.table, mosaics)
        else:
            labels = PolygonMap.open(city.labels[0], self.table, self.code_column, self.layer_pattern)
        try:
            grid, resampled = city_grid(mosaics.get("s2", ()), labels.extent, labels.crs, self.resolution)
            jobs, bare = [], 0
            for row, column, tile in grid.tiles(self.tile_size):
                if (of_tile := labels.within(tile)) is not None:
                    jobs.append(TileJob(f"{city.name}_{row:04d}_{column:04d}", tile, mosaics, of_tile))
                else:
                    bare += 1
            elsewhere = {
                sensor: _describe(group[0], grid)
                for sensor, group in mosaics.items()
                if not any(mosaic.meets(grid) for mosaic in group)
            }
        except ValueError as error:
            raise InputError(f"{city.labels[0]}: {error}") from error
        return CityPlan(city.name, tuple(jobs), bare, elsewhere, resampled)


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
