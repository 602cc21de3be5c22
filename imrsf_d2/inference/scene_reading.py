"""What the sensors recorded of one area, read window by window onto one pixel grid."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from imrsf_d2.data.reading import assemble
from imrsf_d2.geo.gdal import OpenFiles
from imrsf_d2.geo.grid_outlines import outline_of, outline_on
from imrsf_d2.geo.grids import Grid
from imrsf_d2.geo.rasters import Raster, read_raster
from imrsf_d2.inference.windows import Window, WindowGrid
from imrsf_d2.modalities import Modality, ModalitySet

__all__ = ["Scene", "SceneFile", "Tile"]

#: The row and the column of a tile, counted in tiles of the whole map.
Tile = tuple[int, int]

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
    none is read or resampled once for each window that it lies in. The tiles of a part of a map are those of the whole map.

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
        self._kept: OrderedDict[Tile, np.ndarray | None] = OrderedDict()
        self._files = OpenFiles(OPEN_FILES)
        #: [C + M, 1, 1]: a pixel without data
        self._nothing = assemble(modalities, {}, (1, 1))
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
        rest: dict[tuple[str, ...], BaseGeometry] = {(): outline_of(self.grid)}
        if self.area is not None:
            rest = {(): rest[()].intersection(self.area)}
        whole = rest[()].area
        for name in self.modalities.names:
            outline = shapely.union_all([outline_on(file.grid, self.grid) for file in self.sensors.get(name, ())])
            split = {(*names, name): part.intersection(outline) for names, part in rest.items()}
            rest = split | {names: part.difference(outline) for names, part in rest.items()}
        shares = {names: part.area / whole for names, part in rest.items() if part.area > 0}
        return dict(sorted(shares.items(), key=lambda pair: -pair[1]))

    def wants(self, window: Window) -> bool:
        """Whether a window is looked at: it touches the area that is asked for, or comes as near as `around` says."""
        if self._looked_at is None:
            return True
        part = self.grid.part(slice(window.top, window.bottom), slice(window.left, window.right))
        return bool(self._looked_at.intersects(outline_of(part)))

    def asks_for(self, geometry: BaseGeometry) -> bool:
        """Whether an object, in the grid's system, touches the area that is asked for."""
        return self.area is None or bool(self.area.intersects(geometry))

    def looks_at_all_of(self, geometry: BaseGeometry) -> bool:
        """Whether all windows that see an object, in the grid's system, are looked at."""
        return self._looked_at is None or bool(self._looked_at.covers(geometry))

    def windows(self, size: int, overlap: int) -> WindowGrid:
        """The windows of the whole map that share a pixel with this one, in pixels of this one.

        Args:
            size, overlap: of the windows, px.
        """
        (top, left), (height, width) = self._origin, self.grid.shape
        windows = WindowGrid(*self._whole.shape, size, overlap).part(top, left, top + height, left + width)
        return replace(windows, top=windows.top - top, left=windows.left - left)

    def read(
        self, window: Window, room: np.ndarray | None = None, tile: Callable[[Tile], np.ndarray | None] | None = None
    ) -> np.ndarray | None:
        """What the model sees of a window.

        Args:
            room: [C + M, size, size] float32 for it; None makes some.
            tile: gives the tiles as `read_area` does; None keeps them here.

        Returns:
            [C + M, size, size] as `assemble` makes it, invalid beyond the edges of the whole map; None if no sensor has a
            valid pixel there.

        Raises:
            RasterError: if a file cannot be read.
            ValueError: if a file does not hold what its modality says.
        """
        image = np.empty((self.modalities.num_channels, window.size, window.size), np.float32) if room is None else room
        top, left, bottom, right = self._inside(window)
        if bottom - top < window.size or right - left < window.size:
            image[:] = self._nothing
        for row, column in self.tiles(window):
            above, before = row * TILE_PX, column * TILE_PX
            rows = slice(max(above, top), min(above + TILE_PX, bottom))
            columns = slice(max(before, left), min(before + TILE_PX, right))
            inner = np.s_[:, rows.start - above : rows.stop - above, columns.start - before : columns.stop - before]
            outer = np.s_[:, rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
            pixels = (tile or self._tile)((row, column))
            image[outer] = self._nothing if pixels is None else pixels[inner]
        return image if image[self.modalities.num_bands :].any() else None

    def tiles(self, window: Window) -> list[Tile]:
        """Those that a window is read from."""
        top, left, bottom, right = self._inside(window)
        rows, columns = range(top // TILE_PX, -(-bottom // TILE_PX)), range(left // TILE_PX, -(-right // TILE_PX))
        return [(row, column) for row in rows for column in columns]

    def tile_grid(self) -> tuple[int, int]:
        """How many rows and columns of tiles the whole map has."""
        return -(-self._whole.height // TILE_PX), -(-self._whole.width // TILE_PX)

    def tile_area(self, tile: Tile) -> tuple[slice, slice]:
        """Its rows and columns in the whole map."""
        (top, left), (height, width) = (TILE_PX * tile[0], TILE_PX * tile[1]), self._whole.shape
        return slice(top, min(top + TILE_PX, height)), slice(left, min(left + TILE_PX, width))

    def read_area(self, rows: slice, columns: slice) -> np.ndarray | None:
        """Pixels of the whole map, [C + M, h, w] as `assemble` makes it; None if no sensor has data there. Not for several
        threads at a time, as GDAL's handles are not.

        Raises:
            RasterError, ValueError: see `read`.
        """
        image = np.empty((self.modalities.num_channels, rows.stop - rows.start, columns.stop - columns.start), np.float32)
        known = False
        for modality in self.modalities:
            channels, validity = self.modalities.bands(modality.name), self.modalities.validity(modality.name)
            if modality.name in self.sensors:
                bands, valid = self._read(modality, self.sensors[modality.name], rows, columns)
                image[channels], image[validity] = bands, valid
                known = known or bool(valid.any())
            else:
                image[channels], image[validity] = self._nothing[channels], self._nothing[validity]
        return image if known else None

    def _inside(self, window: Window) -> tuple[int, int, int, int]:
        """The part of a window that lies in the whole map: (top, left, bottom, right) in pixels of that."""
        (row, column), (height, width) = self._origin, self._whole.shape
        bottom, right = min(window.bottom + row, height), min(window.right + column, width)
        return window.top + row, window.left + column, bottom, right

    def _tile(self, tile: Tile) -> np.ndarray | None:
        with self._lock:  # see `read_area`; and no tile is read twice
            if tile not in self._kept:
                self._kept[tile] = self.read_area(*self.tile_area(tile))
                size = 4 * self.modalities.num_channels * TILE_PX**2
                while len(self._kept) * size > CACHE_BYTES and len(self._kept) > 1:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(tile)
            return self._kept[tile]

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
            return read_raster(
                file.path,
                modality,
                grid=self._whole.moved(-file.turned),
                window=(rows, columns),
                exact=True,
                open_file=self._files.opened,
            )
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
