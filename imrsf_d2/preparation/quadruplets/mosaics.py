"""Scenes as they were exported: any number of files, read as one raster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from rasterio.crs import CRS
from rasterio.io import DatasetReader
from rasterio.transform import Affine
from rasterio.windows import Window

from imrsf_d2.geo.gdal import opened
from imrsf_d2.geo.grids import Grid
from imrsf_d2.geo.projections import Bounds, longitude_latitude, move_bounds
from imrsf_d2.geo.stored import Scaling, kind_of, read_stored
from imrsf_d2.geo.validity import file_validity, value_bands
from imrsf_d2.geo.wrapping import meets, period
from imrsf_d2.preparation.quadruplets.sensors import EXPORTED, check_scale, decode, pick_bands, to_tile_units
from imrsf_d2.utils.errors import InputError

__all__ = ["Mosaic", "Piece", "open_mosaics", "read_window"]

# The pieces of one export are cut between pixels; the differences that remain come from rounded degrees.
LATTICE_TOLERANCE_PX = 1e-3
# Scenes are checked in SAMPLES x SAMPLES windows before work starts.
SAMPLES, SAMPLE_PX = 3, 64


@dataclass(frozen=True)
class Piece:
    """One file of a mosaic.

    Args:
        path: of the file.
        bands: numbers, from 1, in the order that the tiles have.
        row, column: of its first pixel on the mosaic's lattice.
        height, width: px.
    """

    path: str
    bands: tuple[int, ...]
    row: int
    column: int
    height: int
    width: int


@dataclass(frozen=True)
class Mosaic:
    """Files of one sensor whose pixels lie on one lattice; where they overlap, the first valid pixel is taken.

    Args:
        sensor: a name of `EXPORTED`.
        s1_unit: "linear" or "db".
        crs, transform: of the lattice, which is infinite.
        pieces: in the order in which they count.
        no_data: values that mean no data, whatever the files' tags say.
    """

    sensor: str
    s1_unit: str
    crs: CRS
    transform: Affine
    pieces: tuple[Piece, ...]
    no_data: tuple[int, ...] = ()

    @property
    def bounds(self) -> list[Bounds]:
        """The bounds of each piece, in the CRS of the lattice."""
        return [
            self._origin.part(
                slice(piece.row, piece.row + piece.height), slice(piece.column, piece.column + piece.width)
            ).bounds
            for piece in self.pieces
        ]

    def meets(self, grid: Grid) -> bool:
        """Whether one of its files overlaps a grid."""
        assert grid.crs is not None
        try:
            left, bottom, right, top = move_bounds(grid.bounds, grid.crs, self.crs)
        except ValueError:  # the grid is outside the domain of the projection
            return False
        west, south, east, north = np.array(self.bounds).T
        return bool((meets(west, east, left, right, period(self.crs)) & (south < top) & (bottom < north)).any())

    def offset_of(self, grid: Grid) -> tuple[int, int] | None:
        """Row and column of a grid's first pixel on the lattice; None if its pixels are not the lattice's."""
        return self._origin.offset_of(grid, LATTICE_TOLERANCE_PX)

    @property
    def _origin(self) -> Grid:
        """The pixel at row 0, column 0, from which the places of all others follow."""
        return Grid(1, 1, self.crs, self.transform)


def open_mosaics(sensor: str, paths: Sequence[str], s1_unit: str = "linear") -> list[Mosaic]:
    """Check the files of one sensor and city, and join those that lie on one lattice.

    Args:
        sensor: a name of `EXPORTED`.
        paths: in the order in which they count where they overlap.
        s1_unit: of Sentinel-1 files, "linear" or "db".

    Returns:
        One mosaic per lattice, in order of first appearance. Lattices are compared by where their pixels lie, not by the
        names of their CRS.

    Raises:
        RasterError: if a file cannot be read.
        ValueError: if a file does not say where on Earth it lies, or its bands or units are not those of the sensor.
    """
    mosaics: list[Mosaic] = []
    for path in paths:
        new = _look_at(sensor, path, s1_unit)
        for i, mosaic in enumerate(mosaics):
            piece = new.pieces[0]
            grid = Grid(piece.height, piece.width, new.crs, new.transform)
            if (corner := mosaic.offset_of(grid)) is not None:
                piece = replace(piece, row=corner[0], column=corner[1])
                mosaics[i] = replace(mosaic, pieces=(*mosaic.pieces, piece))
                break
        else:
            mosaics.append(new)
    return mosaics


def read_window(mosaic: Mosaic, row: int, column: int, height: int, width: int) -> np.ndarray:
    """Read a window of the lattice, which may reach beyond all files.

    Returns:
        [C, H, W] float32 in the unit of the tiles, NaN in all bands of a pixel without data.

    Raises:
        RasterError: if a file cannot be read.
        ValueError: if it holds values that the sensor cannot measure.
    """
    values = np.full((len(EXPORTED[mosaic.sensor].bands), height, width), np.nan, dtype=np.float32)
    for piece in mosaic.pieces:
        top, bottom = max(row, piece.row), min(row + height, piece.row + piece.height)
        left, right = max(column, piece.column), min(column + width, piece.column + piece.width)
        if top >= bottom or left >= right:
            continue
        there = values[:, top - row : bottom - row, left - column : right - column]
        empty = np.isnan(there[0])
        if empty.any():
            window = Window(left - piece.column, top - piece.row, right - left, bottom - top)
            with opened(piece.path, repr(mosaic.sensor)) as file:
                new = _read(file, mosaic, piece, window)
            there[:, empty] = new[:, empty]
    return values


def _look_at(sensor: str, path: str, s1_unit: str) -> Mosaic:
    with opened(path, repr(sensor)) as file:
        _check_place(file, path)
        numbers = value_bands(file, len(EXPORTED[sensor].bands))
        picked = pick_bands(EXPORTED[sensor], [file.descriptions[number - 1] for number in numbers], path)
        bands = tuple(numbers[i] for i in picked)
        if wrong := [file.dtypes[band - 1] for band in bands if kind_of(file.dtypes[band - 1]) not in "uif"]:
            raise InputError(f"{path} holds {wrong[0]} values, expected real numbers for {sensor!r}.")
        piece = Piece(path, bands, 0, 0, file.height, file.width)
        mosaic = Mosaic(sensor, s1_unit, file.crs, file.transform, (piece,))
        height, width = min(SAMPLE_PX, file.height), min(SAMPLE_PX, file.width)
        samples = [
            _read(file, mosaic, piece, Window(int(column), int(row), width, height))
            for row in np.linspace(0, file.height - height, SAMPLES)
            for column in np.linspace(0, file.width - width, SAMPLES)
        ]
        scaling = Scaling.of(file, bands, path)
        shown = f"{path} (with {scaling})" if scaling.applies else path
        check_scale(EXPORTED[sensor], np.stack(samples, axis=1), shown, s1_unit)
    return mosaic


def _check_place(file: DatasetReader, path: str) -> None:
    """Check that a file says where on Earth it lies."""
    where = f"(CRS {str(file.crs)[:60]}, transform {tuple(file.transform)[:6]})"
    if file.crs is None or file.transform.is_identity:
        raise InputError(
            f"{path} has no georeference {where}, expected a GeoTIFF on a map grid. If it has ground "
            "control points, gdalwarp -t_srs EPSG:4326 makes one."
        )
    if file.transform.is_degenerate:
        raise InputError(
            f"{path} has pixels without an area {where}, expected a GeoTIFF on a map grid. gdal_edit.py "
            "-a_ullr gives it the right corners."
        )
    x, y = file.xy(file.height // 2, file.width // 2)
    try:
        longitude_latitude(x, y, file.crs)
    except ValueError as error:
        raise InputError(
            f"{path} does not say where on Earth it lies: its center {error}. gdal_edit.py -a_srs "
            "gives it the right coordinate system."
        ) from error


def _read(file: DatasetReader, mosaic: Mosaic, piece: Piece, window: Window) -> np.ndarray:
    """Read a window of one file; see `read_window`."""
    raw = read_stored(file, piece.bands, window)
    # Reflectance may be 0 in one band, over dark water; any other tag is a sentinel in whichever band it stands.
    tags = {file.nodatavals[band - 1] for band in piece.bands} - {None}
    valid = file_validity(file, piece.bands, raw, window, tag_in_all_bands=mosaic.sensor == "s2" and tags <= {0})
    if mosaic.no_data:
        valid &= ~np.isin(raw, mosaic.no_data).all(axis=0)
    sensor = EXPORTED[mosaic.sensor]
    scaling = to_tile_units(sensor, Scaling.of(file, piece.bands, piece.path), piece.path)
    return decode(sensor, raw, valid, scaling, piece.path, mosaic.s1_unit)
