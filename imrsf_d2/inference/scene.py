"""A scene: rasters of any grid, extent and number of files, read window by window onto one pixel grid."""

from __future__ import annotations

import glob
import math
import os
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import shapely
from rasterio.crs import CRS
from rasterio.transform import Affine
from shapely.geometry.base import BaseGeometry

from imrsf_d2.data.reading import assemble
from imrsf_d2.geo.gdal import OpenFiles, opened
from imrsf_d2.geo.grids import Grid, cover
from imrsf_d2.geo.projections import WGS84, Bounds, bounds_text, move_bounds, move_points
from imrsf_d2.geo.rasters import Raster, read_grid, read_raster
from imrsf_d2.geo.wrapping import period
from imrsf_d2.inference.outputs import ENDINGS
from imrsf_d2.inference.windows import Window
from imrsf_d2.modalities import Modality, ModalitySet
from imrsf_d2.utils.errors import InputError, MissingFileError, some_of

__all__ = ["Scene", "SceneFile", "find_files", "open_scene"]

#: Pixels of two files are the same if none of their corners lies further apart, px.
SAME_PIXELS = 1e-3
#: Pixels whose sides differ by no more than this factor are equally fine.
SAME_SIDE = 1.001
#: How many times smaller or larger than any sensor's a map's pixels may be.
FAR_RESOLUTION = 100
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
    """

    def __init__(
        self,
        modalities: ModalitySet,
        grid: Grid,
        sensors: Mapping[str, Sequence[SceneFile]],
        area: BaseGeometry | None = None,
        cut_from: Grid | None = None,
    ):
        self.modalities, self.grid, self.area = modalities, grid, area
        self._whole = grid if cut_from is None else cut_from
        if (origin := self._whole.offset_of(grid, SAME_PIXELS)) is None:
            raise ValueError("expected a grid of the same pixels as `cut_from`.")
        self._origin = origin
        self.sensors = {name: tuple(files) for name, files in sensors.items()}
        self._tiles: OrderedDict[tuple[int, int], dict[str, Raster]] = OrderedDict()
        self._files = OpenFiles(OPEN_FILES)
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple:
        """Travels between processes without what has been read of it."""
        return type(self), (self.modalities, self.grid, self.sensors, self.area)

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
        """Whether a window touches the area that is asked for."""
        if self.area is None:
            return True
        part = self.grid.part(slice(window.top, window.bottom), slice(window.left, window.right))
        return bool(self.area.intersects(shapely.Polygon(_ring(part, self.grid.crs))))

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
            grid = _moved(self._whole, -file.turned)
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


def find_files(pattern: str | os.PathLike) -> list[str]:
    """The rasters that a file name, a folder or a glob stands for, in the order of their names.

    Raises:
        MissingFileError: if there are none.
    """
    pattern = os.fspath(pattern)
    if os.path.isdir(pattern):
        names = sorted(
            entry.path
            for entry in os.scandir(pattern)
            if entry.name.lower().endswith((".tif", ".tiff", ".vrt", ".jp2"))
            and not entry.name.lower().endswith(tuple(ENDINGS.values()))
        )
    elif os.path.exists(pattern) or pattern.startswith("/vsi") or "://" in pattern:
        names = [pattern]
    else:
        names = sorted(glob.glob(pattern, recursive=True))
    if not names:
        raise MissingFileError(
            f"{pattern} names no raster, expected a file, a folder of .tif, .vrt or .jp2 files, or a glob."
        )
    return names


def open_scene(
    modalities: ModalitySet,
    sensors: Mapping[str, Sequence[str]],
    *,
    reference: str | None = None,
    crs: CRS | None = None,
    resolution: float | None = None,
    bounds: Bounds | None = None,
    area: BaseGeometry | None = None,
    assume_crs: CRS | None = None,
) -> Scene:
    """Look at the headers of a scene's files, and choose the pixels of the map.

    Args:
        modalities: the model's.
        sensors: name of a modality -> its files; those left out are missing.
        reference: the sensor whose pixels the map has; None for the finest one, of equally fine ones that with the most
            pixels. The map's extent is that sensor's.
        crs, resolution: instead, a map in this system and of this pixel size (map units); of one given alone, the other is
            the reference's.
        bounds: the part of the map that is wanted, in its system; None for all.
        area: polygons in the map's system, outside which nothing is asked for.
        assume_crs: of files that do not say which system they are in.

    Raises:
        RasterError: if a file cannot be opened.
        ValueError: if a sensor is unknown, a file has other bands or does not say where it lies, sensors do not overlap, or
            the map would be empty or its pixels far from any sensor's in size.
    """
    if not sensors:
        raise InputError("a scene has no sensor, expected --modality name=file at least once.")
    looked = {
        name: tuple(_look(path, modalities[name], assume_crs) for path in sensors[name])
        for name in modalities.check_subset(sensors, "--modality")
    }
    if reference is not None and reference not in looked:
        raise InputError(f"--reference is {reference!r}, expected one of the sensors given: {', '.join(looked)}.")
    reference = reference or _finest(looked)
    looked = _side_by_side(looked, looked[reference][0].grid)
    if resolution is not None and not (math.isfinite(resolution) and resolution > 0):
        raise InputError(f"--resolution is {resolution:g}, expected the side of a pixel in map units, more than 0.")
    # Of files with pixels of several sizes, the finest ones' count.
    grid = whole = _map_grid(sorted(looked[reference], key=lambda file: _pixel_m(file.grid)), crs, resolution)
    if resolution is not None:
        _check_resolution(grid, resolution, [file.grid for files in looked.values() for file in files])
    if bounds is not None:
        grid = _cut(grid, bounds)
    _check_place(grid)
    away = [name for name, files in looked.items() if not any(grid.meets(file.grid) for file in files)]
    if away:
        extents = "; ".join(f"{name}: {_extent(files, grid.crs)}" for name, files in looked.items())
        raise InputError(
            f"{some_of(away)} and the map ({bounds_text(grid.bounds)} in {_name(grid.crs)}) do not overlap. In the map's system the "
            f"sensors cover {extents}. Leave the sensor out, or see whether its coordinate system is right."
        )
    return Scene(modalities, grid, looked, area, cut_from=whole)


def _look(path: str, modality: Modality, assume_crs: CRS | None) -> SceneFile:
    grid = read_grid(path, modality)
    if not grid.located and _is_unrectified(path):
        raise InputError(
            f"{path} has ground control points or camera parameters instead of a geotransform, expected a raster on a map "
            f"grid: gdalwarp -t_srs EPSG:code {path} OUT.tif makes one."
        )
    if grid.crs is None and assume_crs is not None:
        path = f"vrt://{path}?a_srs={assume_crs.to_string()}"  # GDAL's own way to say more about a file than it does
        grid = read_grid(path)
    if grid.crs is None:
        raise InputError(
            f"{path} does not say which coordinate system it is in; if you know it, pass --assume-crs EPSG:code."
        )
    if not grid.located:
        raise InputError(
            f"{path} has no usable geotransform ({tuple(grid.transform)[:6]}), expected a raster on a map grid."
        )
    return SceneFile(path, grid)


def _is_unrectified(path: str) -> bool:
    with opened(path, "its place") as file:
        return bool(file.gcps[0]) or file.rpcs is not None


def _finest(sensors: Mapping[str, Sequence[SceneFile]]) -> str:
    """The sensor with the smallest pixels; of those with pixels of one size, that with the most."""
    sides = {name: min(_pixel_m(file.grid) for file in files) for name, files in sensors.items()}
    finest = [name for name, side in sides.items() if side <= min(sides.values()) * SAME_SIDE]
    return max(finest, key=lambda name: sum(file.grid.height * file.grid.width for file in sensors[name]))


def _side_by_side(sensors: Mapping[str, Sequence[SceneFile]], first: Grid) -> dict[str, tuple[SceneFile, ...]]:
    """The files, those in the system of `first` whole turns around the world away from it brought near it."""
    turn = None if first.crs is None else period(first.crs)

    def near(file: SceneFile) -> SceneFile:
        if turn is None or file.grid.crs != first.crs:
            return file
        turned = turn * round(float(first.points(1)[0, 0, 0] - file.grid.points(1)[0, 0, 0]) / turn)
        return replace(file, grid=_moved(file.grid, turned), turned=turned) if turned else file

    return {name: tuple(map(near, files)) for name, files in sensors.items()}


def _moved(grid: Grid, along_x: float) -> Grid:
    """A grid elsewhere on the map."""
    return replace(grid, transform=Affine.translation(along_x, 0.0) * grid.transform) if along_x else grid


def _check_place(grid: Grid) -> None:
    """Refuse a map that is not on the ground."""
    crs = grid.crs
    assert crs is not None  # see `_look`
    if not (crs.is_geographic or crs.is_projected):
        raise InputError(
            f"the map would be in {_name(crs)}, expected a geographic or projected coordinate system: pass --crs."
        )
    if crs.is_geographic:
        placed = bool(np.abs(grid.points(2)[1]).max() <= 90 + 1e-9)
    else:
        # The center: the corners of a map of the world may have no place.
        placed = move_points(grid.points(1), crs, WGS84) is not None
    if not placed:
        raise InputError(
            f"the map ({bounds_text(grid.bounds)} in {_name(crs)}) has no place on Earth. See whether the rasters' geotransforms and "
            "coordinate systems are right, or pass --bounds."
        )


def _check_resolution(grid: Grid, resolution: float, sensors: Sequence[Grid]) -> None:
    """Refuse pixels of a map that are far from those of any sensor: most likely degrees are taken for meters or the other
    way round."""
    side, sides = _pixel_m(grid), [_pixel_m(sensor) for sensor in sensors]
    if not min(sides) / FAR_RESOLUTION <= side <= max(sides) * FAR_RESOLUTION:
        raise InputError(
            f"--resolution is {resolution:g} in {_name(grid.crs)}, about {side:.3g} m on the ground; expected something near "
            f"the sensors' pixels of {min(sides):.3g} to {max(sides):.3g} m. Its unit is that of the map's system."
        )


def _pixel_m(grid: Grid) -> float:
    """The side of a pixel in the middle of a grid, in meters."""
    middle = Affine.translation(grid.width / 2, grid.height / 2)
    xs, ys = grid.transform * middle * np.array([(0.0, 1.0, 0.0), (0.0, 0.0, 1.0)])
    if grid.crs is not None and grid.crs.is_geographic:
        xs, ys = xs * 111_320 * math.cos(math.radians(float(ys[0]))), ys * 111_320
    elif grid.crs is not None and grid.crs.is_projected:
        xs, ys = xs * grid.crs.linear_units_factor[1], ys * grid.crs.linear_units_factor[1]
    return math.sqrt(math.hypot(xs[1] - xs[0], ys[1] - ys[0]) * math.hypot(xs[2] - xs[0], ys[2] - ys[0]))


def _map_grid(files: Sequence[SceneFile], crs: CRS | None, resolution: float | None) -> Grid:
    first = files[0].grid
    if crs is None and resolution is None:
        return _union(files)
    system = crs or first.crs
    bounds = [move_bounds(file.grid.bounds, file.grid.crs, system) for file in files]
    if resolution is None:
        if system != first.crs:
            raise InputError(f"--crs {_name(system)} takes --resolution, the side of a pixel in its units.")
        resolution = math.sqrt(abs(first.transform.determinant))
    return cover(_around(bounds), system, resolution)


def _union(files: Sequence[SceneFile]) -> Grid:
    """The first file's pixels, continued over all files."""
    first = files[0].grid
    tops, lefts, bottoms, rights = [0], [0], [first.height], [first.width]
    for file in files[1:]:
        corners = file.grid.corners(first.crs)
        if corners is None:
            raise InputError(
                f"{file.path} has no place in {_name(first.crs)}, the system of {files[0].path}; pass --crs and --resolution."
            )
        columns, rows = map(_touched, ~first.transform * corners)  # of files on other pixels, those that they touch
        tops.append(rows.start)
        lefts.append(columns.start)
        bottoms.append(rows.stop)
        rights.append(columns.stop)
    return first.part(slice(min(tops), max(bottoms)), slice(min(lefts), max(rights)))


def _cut(grid: Grid, bounds: Bounds) -> Grid:
    """The pixels of a grid that touch some bounds."""
    left, bottom, right, top = bounds
    if not (left < right and bottom < top):
        raise InputError(
            f"--bounds are {bounds_text(bounds)}, expected LEFT BOTTOM RIGHT TOP with LEFT < RIGHT and BOTTOM < TOP."
        )
    columns, rows = map(_touched, ~grid.transform * np.array([(left, left, right, right), (bottom, top, bottom, top)]))
    row_part = slice(max(rows.start, 0), min(rows.stop, grid.height))
    column_part = slice(max(columns.start, 0), min(columns.stop, grid.width))
    if row_part.start >= row_part.stop or column_part.start >= column_part.stop:
        raise InputError(
            f"the area asked for ({bounds_text(bounds)}) holds no pixel of the map ({bounds_text(grid.bounds)} in {_name(grid.crs)})."
        )
    return grid.part(row_part, column_part)


def _touched(places: np.ndarray) -> slice:
    """The rows or columns that some places touch; rounded, as an edge on a pixel's must not cost a row."""
    return slice(math.floor(round(float(places.min()), 3)), math.ceil(round(float(places.max()), 3)))


def _ring(grid: Grid, crs: CRS | None) -> np.ndarray | None:
    """The corners of a grid in another system, around it, [4, 2]."""
    corners = grid.corners(crs)
    return None if corners is None else corners[:, [0, 1, 3, 2]].T


def _around(bounds: Sequence[Bounds]) -> Bounds:
    lefts, bottoms, rights, tops = zip(*bounds)
    return min(lefts), min(bottoms), max(rights), max(tops)


def _extent(files: Sequence[SceneFile], crs: CRS | None) -> str:
    corners = [corners for file in files if (corners := file.grid.corners(crs)) is not None]
    if not corners:
        return "nothing there"
    points = np.concatenate(corners, axis=1)
    return bounds_text((points[0].min(), points[1].min(), points[0].max(), points[1].max()))


def _name(crs: CRS | None) -> str:
    return "no system" if crs is None else crs.to_string()[:60]
