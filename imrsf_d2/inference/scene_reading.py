"""What the sensors recorded of one area, read window by window onto one pixel grid."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from rasterio.crs import CRS
from shapely.geometry.base import BaseGeometry

from imrsf_d2.data.reading import assemble
from imrsf_d2.geo.gdal import OpenFiles
from imrsf_d2.geo.grids import Grid
from imrsf_d2.geo.rasters import Raster, read_raster
from imrsf_d2.inference.windows import Window
from imrsf_d2.modalities import Modality, ModalitySet

__all__ = ["Scene", "SceneFile"]

#: Pixels of two files are the same if none of their corners lies further apart, px.
SAME_PIXELS = 1e-3
#: Side of the tiles that a scene is read in, and what the latest of them may take in memory.
TILE_PX, CACHE_BYTES = 512, 1 << 28
#: Files that are left open while others are read.
OPEN_FILES = 16


@dataclass(frozen=True)
class SceneFile:
    """One raster of a sensor.

    Args:
        path: anything GDAL opens.
        grid: its pixels, located.
        turned: how far along x the grid is from where the file itself says, map units: whole turns around the world, so that
            files on both sides of 180 degrees are neighbors.
    """

    path: str
    grid: Grid
    turned: float = 0.0


class Scene:
    """What the sensors recorded of one area.

    It is read in tiles, the latest of which are kept: so a pixel has the same numbers in every window, to the last bit, and
    none is read or resampled once for each window that it lies in. Between two coordinate systems GDAL approximates the
    projection along each row that it is asked for, so what it returns depends on where a row begins and ends. The tiles of a
    part of a map are therefore those of the whole map.

    Args:
        modalities: the model's.
        grid: the pixels of the map.
        sensors: name -> files of it, where they overlap the first with data counts; sensors without a file are missing.
        area: polygons in the grid's system, outside which nothing is asked for; None asks for all.
        cut_from: the whole map that `grid` is a part of; None if it is the whole.
        around: how far around the area windows are looked at, so that what touches it is seen whole, px; objects that reach
            farther may be incomplete.
    """

    def __init__(
        self,
        modalities: ModalitySet,
        grid: Grid,
        sensors: Mapping[str, Sequence[SceneFile]],
        area: BaseGeometry | None = None,
        cut_from: Grid | None = None,
        around: int = 0,
    ):
        self.modalities, self.grid, self.area = modalities, grid, area
        self._whole = grid if cut_from is None else cut_from
        if (origin := self._whole.offset_of(grid, SAME_PIXELS)) is None:
            raise ValueError("expected a grid of the same pixels as `cut_from`.")
        self._origin = origin
        self.sensors = {name: tuple(files) for name, files in sensors.items()}
        self._around = around
        self._looked_at = None if area is None else area.buffer(around * grid.longest_side, join_style="mitre")
        self._tiles: OrderedDict[tuple[int, int], dict[str, Raster]] = OrderedDict()
        self._files = OpenFiles(OPEN_FILES)
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple:
        """Travels between processes without what has been read of it."""
        return type(self), (self.modalities, self.grid, self.sensors, self.area, self._whole, self._around)

    def coverage(self, name: str) -> float:
        """The share of the map that a sensor's files cover, valid or not, by their outlines."""
        return sum(share for names, share in self.coverages().items() if name in names)

    def coverages(self) -> dict[tuple[str, ...], float]:
        """The share of the map, or of the area asked for, that each set of sensors covers, largest first; () is no sensor.

        By the outlines of files: what no-data takes of them is not looked at.
        """
        rest: dict[tuple[str, ...], BaseGeometry] = {(): shapely.Polygon(_ring(self.grid, self.grid.crs))}
        if self.area is not None:
            rest = {(): rest[()].intersection(self.area)}
        whole = rest[()].area
        for name in self.modalities.names:
            files = [_ring(file.grid, self.grid.crs) for file in self.sensors.get(name, ())]
            outline = shapely.union_all([shapely.Polygon(ring) for ring in files if ring is not None])
            split = {(*names, name): part.intersection(outline) for names, part in rest.items()}
            rest = split | {names: part.difference(outline) for names, part in rest.items()}
        shares = {names: part.area / whole for names, part in rest.items() if part.area > 0}
        return dict(sorted(shares.items(), key=lambda pair: -pair[1]))

    def wants(self, window: Window) -> bool:
        """Whether a window is looked at: it touches the area that is asked for, or comes as near as `around` says."""
        if self._looked_at is None:
            return True
        part = self.grid.part(slice(window.top, window.bottom), slice(window.left, window.right))
        return bool(self._looked_at.intersects(shapely.Polygon(_ring(part, self.grid.crs))))

    def asks_for(self, geometry: BaseGeometry) -> bool:
        """Whether an object, in the grid's system, touches the area that is asked for."""
        return self.area is None or bool(self.area.intersects(geometry))

    def looks_at_all_of(self, geometry: BaseGeometry) -> bool:
        """Whether all windows that see an object, in the grid's system, are looked at."""
        return self._looked_at is None or bool(self._looked_at.covers(geometry))

    def read(self, window: Window) -> np.ndarray | None:
        """What the model sees of a window.

        Returns:
            [C + M, size, size] as `assemble` makes it, invalid beyond the scene's edges; None if no sensor has a valid
            pixel there.

        Raises:
            RasterError: if a file cannot be read.
            ValueError: if a file does not hold what its modality says.
        """
        image = assemble(self.modalities, {}, (window.size, window.size))
        # Rows and columns of the whole map.
        first_row, first_column = self._origin
        top, left = window.top + first_row, window.left + first_column
        bottom = min(window.bottom, self.grid.height) + first_row
        right = min(window.right, self.grid.width) + first_column
        for row in range(top // TILE_PX, -(-bottom // TILE_PX)):
            for column in range(left // TILE_PX, -(-right // TILE_PX)):
                above, before = row * TILE_PX, column * TILE_PX
                rows = slice(max(above, top), min(above + TILE_PX, bottom))
                columns = slice(max(before, left), min(before + TILE_PX, right))
                inner = np.s_[rows.start - above : rows.stop - above, columns.start - before : columns.stop - before]
                outer = np.s_[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
                for name, (bands, valid) in self._tile(row, column).items():
                    image[(self.modalities.bands(name), *outer)] = bands[(slice(None), *inner)]
                    image[(self.modalities.validity(name), *outer)] = valid[inner]
        return image if image[self.modalities.num_bands :].any() else None

    def _tile(self, row: int, column: int) -> dict[str, Raster]:
        """The sensors that have data in a tile of the whole map."""
        with self._lock:  # GDAL's handles are not shared between threads, and no tile is read twice
            if (row, column) not in self._tiles:
                rows = slice(row * TILE_PX, min((row + 1) * TILE_PX, self._whole.height))
                columns = slice(column * TILE_PX, min((column + 1) * TILE_PX, self._whole.width))
                found = {
                    name: self._read(self.modalities[name], files, rows, columns) for name, files in self.sensors.items()
                }
                self._tiles[row, column] = {name: raster for name, raster in found.items() if raster[1].any()}
                size = 4 * self.modalities.num_channels * TILE_PX**2
                while len(self._tiles) * size > CACHE_BYTES and len(self._tiles) > 1:
                    self._tiles.popitem(last=False)
            self._tiles.move_to_end((row, column))
            return self._tiles[row, column]

    def _read(self, modality: Modality, files: Sequence[SceneFile], rows: slice, columns: slice) -> Raster:
        part = self._whole.part(rows, columns)
        bands, valid = _empty(modality, *part.shape)
        for file in files:
            if valid.all():
                break
            if part.meets(file.grid):
                new, is_new = self._read_file(modality, file, rows, columns)
                if not valid.any():
                    bands, valid = new, is_new
                    continue
                is_new &= ~valid
                bands[:, is_new] = new[:, is_new]
                valid |= is_new
        return bands, valid

    def _read_file(self, modality: Modality, file: SceneFile, rows: slice, columns: slice) -> Raster:
        """Some rows and columns of the whole map from one file."""
        if (offset := file.grid.offset_of(self._whole, SAME_PIXELS)) is None:
            grid = self._whole.moved(-file.turned)
            return read_raster(file.path, modality, grid=grid, window=(rows, columns), open_file=self._files.opened)
        # The pixels of the file are the map's: they are copied.
        bands, valid = _empty(modality, rows.stop - rows.start, columns.stop - columns.start)
        source, target = [], []
        for wanted, first, length in zip((rows, columns), offset, file.grid.shape):
            start, stop = max(wanted.start + first, 0), min(wanted.stop + first, length)
            if start >= stop:
                return bands, valid
            source.append(slice(start, stop))
            target.append(slice(start - first - wanted.start, stop - first - wanted.start))
        found = read_raster(file.path, modality, window=(source[0], source[1]), open_file=self._files.opened)
        bands[:, target[0], target[1]], valid[target[0], target[1]] = found
        return bands, valid


def _empty(modality: Modality, height: int, width: int) -> Raster:
    """Pixels without data: each band's mean."""
    bands = np.empty((modality.channels, height, width), dtype=np.float32)
    bands[:] = np.asarray(modality.mean, dtype=np.float32)[:, None, None]
    return bands, np.zeros((height, width), dtype=bool)


def _ring(grid: Grid, crs: CRS | None) -> np.ndarray | None:
    """The corners of a grid in another system, around it, [4, 2]."""
    corners = grid.corners(crs)
    return None if corners is None else corners[:, [0, 1, 3, 2]].T
