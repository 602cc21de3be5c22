"""Which files show one place, and the grid of each place's tiles."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from imrsf_d2.geo.grids import Grid
from imrsf_d2.geo.projections import WGS84, bounds_text, crs_text
from imrsf_d2.geo.rasters import size_text
from imrsf_d2.inference.map_grid import check_place, finest_sensor, map_grid
from imrsf_d2.inference.scene_files import look_at, side_by_side
from imrsf_d2.inference.scene_reading import SAME_PIXELS, SceneFile
from imrsf_d2.inference.sensors import read_crs
from imrsf_d2.preparation.tiles.nearby import Nearby
from imrsf_d2.preparation.tiles.sensors import Source
from imrsf_d2.utils.errors import InputError

__all__ = ["LABELS", "GridOptions", "TileScene", "TileWindow", "find_scenes", "place_text", "tiles_along"]

#: Folder of the label maps, and so no sensor's name.
LABELS = "labels"


@dataclass(frozen=True)
class GridOptions:
    """Which pixels the tiles have.

    Args:
        tile, overlap: side of a tile and overlap of neighbors, px.
        reference: the sensor whose pixels they are; None for the finest one.
        crs, resolution: instead, tiles in this system ("EPSG:32633") and of this pixel size (map units).
        assume_crs: system of files that do not say theirs.

    Raises:
        InputError: if sizes make no grid.
    """

    tile: int = 256
    overlap: int = 0
    reference: str | None = None
    crs: str | None = None
    resolution: float | None = None
    assume_crs: str | None = None

    def __post_init__(self) -> None:
        if self.tile < 16:
            raise InputError(f"--tile is {self.tile} px, expected 16 or more.")
        if not 0 <= self.overlap < self.tile:
            raise InputError(f"--overlap is {self.overlap} px, expected from 0 to {self.tile - 1}, less than --tile.")


@dataclass(frozen=True)
class TileWindow:
    """A tile of a scene.

    Args:
        row, column: of the tile, from 0.
        rows, columns: of the scene's pixels; those of the last tiles reach beyond the scene.
    """

    row: int
    column: int
    rows: slice
    columns: slice


@dataclass(frozen=True)
class TileScene:
    """One place.

    Args:
        name: what its tiles' names begin with.
        grid: its pixels.
        sensors: name -> files that show some of it.
        labels: label rasters that show some of it.
    """

    name: str
    grid: Grid
    sensors: Mapping[str, tuple[SceneFile, ...]]
    labels: tuple[SceneFile, ...] = ()

    def windows(self, options: GridOptions) -> Iterator[TileWindow]:
        """Its tiles, row by row: as few as cover it, from its upper left corner."""
        step, (down, across) = options.tile - options.overlap, self._tiles(options)
        for row in range(down):
            for column in range(across):
                rows, columns = (slice(step * index, step * index + options.tile) for index in (row, column))
                yield TileWindow(row, column, rows, columns)

    def covered(self, options: GridOptions) -> Grid:
        """The pixels of all its tiles together, which begin where the scene does and may reach beyond it."""
        step = options.tile - options.overlap
        return self.grid.part(*(slice(0, step * count + options.overlap) for count in self._tiles(options)))

    def _tiles(self, options: GridOptions) -> tuple[int, int]:
        """How many tiles it has down and across."""
        height, width = self.grid.shape
        return tiles_along(height, options.tile, options.overlap), tiles_along(width, options.tile, options.overlap)


def tiles_along(side: int, tile: int, overlap: int) -> int:
    """How many tiles cover a side of a scene (all in px)."""
    return max(-(-(side - overlap) // (tile - overlap)), 1)


def find_scenes(sources: Mapping[str, Source], options: GridOptions, labels: Source | None = None) -> list[TileScene]:
    """Sort the files of all sensors into places.

    The reference's files are of one place if they are in one system, and either lie side by side on the same pixels or
    overlap. The others belong to each place that they meet.

    Args:
        labels: label rasters, which may show other places, too.

    Raises:
        RasterError: if a file cannot be opened.
        InputError: if a file does not say where it lies, or a sensor shows none of the places.
    """
    assume_crs, crs = read_crs(options.assume_crs, "--assume-crs"), read_crs(options.crs, "--crs")
    files = {name: [look_at(path, source.modality, assume_crs) for path in source.files] for name, source in sources.items()}
    reference = options.reference or finest_sensor(files)
    if reference not in files:
        raise InputError(f"--reference is {reference!r}, expected one of the sensors given: {', '.join(files)}.")
    label_files = [] if labels is None else [look_at(path, labels.modality, assume_crs) for path in labels.files]
    others = {name: looked for name, looked in files.items() if name != reference} | {LABELS: label_files}
    nearby = {name: Nearby([file.grid for file in looked]) for name, looked in others.items()}
    scenes, names = [], set[str]()
    for group in _groups(files[reference], options.tile):
        first = group[0].grid
        grid = map_grid(side_by_side({reference: group}, first), reference, crs, options.resolution)
        check_place(grid)
        # Brought near before they are compared: longitude -180 is 180.
        near = side_by_side({name: [looked[i] for i in nearby[name].of(grid)] for name, looked in others.items()}, first)
        there = {name: tuple(file for file in of_sensor if grid.meets(file.grid)) for name, of_sensor in near.items()}
        there |= side_by_side({reference: group}, first)
        sensors = {name: there[name] for name in files if there[name]}
        scenes.append(TileScene(_name(group[0].path, names), grid, sensors, there[LABELS]))
    if labels is not None and not any(scene.labels for scene in scenes):
        raise InputError(
            f"the labels and the scenes do not overlap: {labels.files[0]} lies at {place_text(label_files[0].grid)}, "
            f"{reference} at {place_text(files[reference][0].grid)}."
        )
    for name, looked in files.items():
        if not any(name in scene.sensors for scene in scenes):
            raise InputError(
                f"the files of {name!r} show none of the places that {reference!r} shows: {name} lies at "
                f"{place_text(looked[0].grid)}, {reference} at {place_text(files[reference][0].grid)}. Leave the sensor out, or "
                "see whether its coordinate system is right."
            )
    return scenes


def place_text(grid: Grid) -> str:
    """Where a grid lies, in its system and on Earth."""
    corners = grid.corners(WGS84)
    degrees = ""
    if corners is not None and not (grid.crs is not None and grid.crs.is_geographic):
        west, east, south, north = corners[0].min(), corners[0].max(), corners[1].min(), corners[1].max()
        degrees = f"; longitude {west:.5f} to {east:.5f}, latitude {south:.5f} to {north:.5f}"
    return f"{bounds_text(grid.bounds)} in {crs_text(grid.crs)} ({size_text(grid.shape)}{degrees})"


def _groups(files: Sequence[SceneFile], tile: int) -> list[list[SceneFile]]:
    """Files of one place each, in the order of their first files."""
    nearby = Nearby([file.grid for file in files])
    group = list(range(len(files)))  # of each file, the first file of its place that is known so far

    def first_of(position: int) -> int:
        while group[position] != position:
            group[position] = position = group[group[position]]
        return position

    for position, file in enumerate(files):
        for other in nearby.of(_around(file.grid, tile)):
            if other < position and _together(file.grid, files[other].grid, tile):
                a, b = first_of(position), first_of(other)
                group[max(a, b)] = min(a, b)
    found: dict[int, list[SceneFile]] = {}
    for position, file in enumerate(files):
        found.setdefault(first_of(position), []).append(file)
    return list(found.values())


def _around(grid: Grid, margin: int) -> Grid:
    """A grid with some pixels more on each side."""
    return grid.part(slice(-margin, grid.height + margin), slice(-margin, grid.width + margin))


def _together(a: Grid, b: Grid, tile: int) -> bool:
    """Whether two files are of one place."""
    if a.crs != b.crs:
        return False
    if a.offset_of(b, SAME_PIXELS) is None:
        # Side by side on other pixels: each keeps its own. A pixel's width is no overlap.
        return _around(a, -1).meets(b)
    return _around(a, tile).meets(b)


def _name(path: str, taken: set[str]) -> str:
    stem = re.sub(r"[^\w.-]+", "-", Path(path.split("?")[0]).stem) or "scene"
    name = next(n for n in (stem, *(f"{stem}-{i}" for i in range(2, len(taken) + 3))) if n not in taken)
    taken.add(name)
    return name
