"""The land cover of a city, from polygons or from rasters with codes, and what of it belongs to a tile."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import shapely
from rasterio.crs import CRS

from imrsf_d2.data.class_tables import ClassTable, packaged_tables
from imrsf_d2.data.label_codes import IGNORE_LABEL
from imrsf_d2.data.quadruplet_layout import LABELS
from imrsf_d2.geo.codes import NO_CLASS, CodeCounts, look_up
from imrsf_d2.geo.grids import Grid
from imrsf_d2.geo.projections import Bounds, move_bounds
from imrsf_d2.geo.vectors import Features, Layer, find_layer, rasterize_labels, read_features
from imrsf_d2.geo.wrapping import period, turns
from imrsf_d2.preparation.quadruplets.antimeridian import moved_near
from imrsf_d2.preparation.quadruplets.mosaics import Mosaic, open_mosaics, read_window
from imrsf_d2.preparation.quadruplets.warping import fill_grid
from imrsf_d2.utils.errors import InputError

__all__ = ["PolygonMap", "RasterMap", "TileLabels", "TilePolygons"]

#: Rows of a land-cover raster that are looked at at once.
ROWS = 512
#: The sensors whose scenes say where tiles are wanted, if there are any: elevation and maps come in tiles of a degree and more.
PLACED = {"s1", "s2"}


@dataclass(frozen=True)
class TilePolygons:
    """The features that may overlap a tile (see `rasterize_labels`)."""

    layer: Layer
    ids: np.ndarray
    labels: np.ndarray

    def draw(self, grid: Grid) -> np.ndarray:
        """Labels [H, W] uint8 of a tile, IGNORE_LABEL where there are none."""
        return rasterize_labels(self.layer, self.ids, self.labels, grid, IGNORE_LABEL)


@dataclass(frozen=True)
class PolygonMap:
    """Land cover as polygons of one layer."""

    layer: Layer
    features: Features

    @classmethod
    def open(cls, path: str, table: ClassTable, column: str, pattern: str | None) -> PolygonMap:
        """Read the codes and bounds of a vector file.

        Args:
            table: the class of each code.
            column, pattern: see `find_layer`.

        Raises:
            ValueError: if there is no such layer, or it has a code that the table lacks.
        """
        layer = find_layer(path, column, pattern)
        return cls(layer, read_features(layer, table.codes, IGNORE_LABEL))

    @property
    def crs(self) -> CRS:
        return self.layer.crs

    @property
    def extent(self) -> Bounds:
        return self.features.extent

    def within(self, grid: Grid) -> TilePolygons | None:
        """What may overlap a tile, None if nothing does."""
        assert grid.crs is not None
        ids, labels = self.features.within(move_bounds(grid.bounds, grid.crs, self.crs))
        return TilePolygons(self.layer, ids, labels) if len(ids) else None


@dataclass(frozen=True)
class RasterMap:
    """Land cover as rasters with codes, on any grids; where they overlap, the first with data counts.

    Args:
        mosaics: one per lattice.
        codes: code -> class index, or IGNORE_LABEL.
        extent: the rectangle in `crs` that holds what the rasters show of the ground of the Sentinel scenes.
    """

    mosaics: tuple[Mosaic, ...]
    codes: Mapping[int, int]
    extent: Bounds

    @classmethod
    def open(cls, paths: Sequence[str], table: ClassTable, scenes: Mapping[str, Sequence[Mosaic]]) -> RasterMap:
        """Open rasters, and check all their codes on the ground that the scenes show.

        Args:
            paths: GeoTIFFs of one band.
            table: the class of each code.
            scenes: sensor -> mosaics. Land-cover maps come in tiles of hundreds of kilometers, of which only the part around
                the scenes is looked at.

        Raises:
            RasterError: if a file cannot be read.
            ValueError: if a file does not say where it lies, no raster overlaps a scene, or pixels have codes that the table
                lacks; all of these are listed with their share of the pixels.
        """
        mosaics = tuple(open_mosaics(LABELS, paths))
        ground = [part for mosaic in mosaics for part in _shown(mosaic, scenes)]
        if not ground:
            raise InputError(f"{paths[0]} and the scenes beside it show different places: no scene overlaps the land cover.")
        codes = table.label_codes().codes
        unknown = CodeCounts.total(_unknown(mosaic, bounds, codes) for mosaic, bounds in ground)
        if unknown.counts:
            raise InputError(
                f"{paths[0]}{f' and the other {len(paths) - 1} rasters' if len(paths) > 1 else ''} of land cover hold {unknown}, "
                f"which the merge table {table.path} lacks. Pass another one as --merge-table: one of {', '.join(packaged_tables())}, "
                "or a copy of this one with a line CODE,CLASS for each (an empty class means no data)."
            )
        crs = mosaics[0].crs
        corners = np.array([move_bounds(bounds, mosaic.crs, crs) for mosaic, bounds in ground])
        left, bottom = corners[:, :2].min(axis=0).tolist()
        right, top = corners[:, 2:].max(axis=0).tolist()
        # Where files overlap, what the table calls no data hides no label.
        no_data = tuple(code for code, index in codes.items() if index == IGNORE_LABEL)
        return cls(tuple(replace(mosaic, no_data=no_data) for mosaic in mosaics), codes, (left, bottom, right, top))

    @property
    def crs(self) -> CRS:
        return self.mosaics[0].crs

    def within(self, grid: Grid) -> RasterMap | None:
        """What may overlap a tile, None if nothing does."""
        return self if any(mosaic.meets(grid) for mosaic in self.mosaics) else None

    def draw(self, grid: Grid) -> np.ndarray:
        """Labels [H, W] uint8 of a tile, each that of the nearest pixel; IGNORE_LABEL where there are none."""
        values, _ = fill_grid(self.mosaics, grid)
        labels = look_up(values[0], self.codes)
        return np.where(labels == NO_CLASS, IGNORE_LABEL, labels).astype(np.uint8)


#: What a tile's labels are drawn from.
TileLabels = TilePolygons | RasterMap


def _shown(mosaic: Mosaic, scenes: Mapping[str, Sequence[Mosaic]]) -> list[tuple[Mosaic, Bounds]]:
    """The rectangles of a land-cover mosaic that lie on Sentinel scenes (without any, on other scenes), in its system."""
    turn = period(mosaic.crs)
    boxes = []
    for sensor, group in scenes.items():
        for scene in group if sensor in PLACED or not PLACED & set(scenes) else ():
            for bounds in scene.bounds:
                try:
                    left, bottom, right, top = move_bounds(bounds, scene.crs, mosaic.crs)
                except ValueError:  # the scene is outside the domain of the projection
                    continue
                for west, south, east, north in mosaic.bounds:
                    for k in [0] if turn is None else turns(west, east, left, right, turn):
                        move = 0.0 if turn is None else k * turn
                        boxes.append(
                            shapely.box(left, bottom, right, top) & shapely.box(west + move, south, east + move, north)
                        )
    merged = shapely.union_all([box for box in boxes if box.area > 0])
    return [(mosaic, part.bounds) for part in shapely.get_parts(merged)]


def _unknown(mosaic: Mosaic, bounds: Bounds, codes: Mapping[int, int]) -> CodeCounts:
    """Codes without a class in a part of a mosaic."""
    left, bottom, right, top = bounds
    found = []
    for copy in moved_near(mosaic, (left + right) / 2):
        columns, rows = ~copy.transform * (np.array([left, right, left, right]), np.array([top, top, bottom, bottom]))
        first, last = math.floor(rows.min()), math.ceil(rows.max())
        start, width = math.floor(columns.min()), math.ceil(columns.max()) - math.floor(columns.min())
        for row in range(first, last, ROWS):
            values = read_window(copy, row, start, min(ROWS, last - row), width)[0]
            found.append(CodeCounts.of(values[(look_up(values, codes) == NO_CLASS) & ~np.isnan(values)], values.size))
    return CodeCounts.total(found)
