"""Scene files as they were exported: any number of pieces, windows of which are read as one raster."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.transform import Affine, xy
from rasterio.windows import Window

from imrsf_d2.geo.map_grids import Bounds, longitude_latitude
from imrsf_d2.geo.rasters import RasterError
from imrsf_d2.geo.stored import Scaling, kind_of, read_stored
from imrsf_d2.preparation.quadruplets.sensors import SENSORS, check_scale, decode, pick_bands, to_tile_units
from imrsf_d2.utils.errors import InputError

__all__ = ["Mosaic", "Piece", "open_mosaics", "read_window"]

# Pieces of one export are cut between pixels; what is left of the difference is how degrees are rounded.
LATTICE_TOLERANCE_PX = 1e-3
# Scenes are looked at in SAMPLES x SAMPLES places before work starts.
SAMPLES, SAMPLE_PX = 3, 64


@dataclass(frozen=True)
class Piece:
    """One file of a mosaic.

    Args:
        path: of the file.
        bands: numbers, from 1, in the order of the tiles.
        alpha: number of the alpha band, or 0.
        row, column: of its first pixel on the mosaic's lattice.
        height, width: px.
    """

    path: str
    bands: tuple[int, ...]
    alpha: int
    row: int
    column: int
    height: int
    width: int


@dataclass(frozen=True)
class Mosaic:
    """Files of one sensor whose pixels lie on one lattice; where they overlap, the first valid pixel counts.

    Args:
        sensor: a name of `SENSORS`.
        s1_unit: "linear" or "db".
        crs, transform: of the lattice, which has no end.
        pieces: in the order of their names.
    """

    sensor: str
    s1_unit: str
    crs: CRS
    transform: Affine
    pieces: tuple[Piece, ...]

    @property
    def bounds(self) -> list[Bounds]:
        """Of each piece, in the CRS of the lattice."""
        extents = []
        for piece in self.pieces:
            rows, columns = (piece.row, piece.row + piece.height), (piece.column, piece.column + piece.width)
            xs, ys = xy(self.transform, rows * 2, (columns[0], columns[0], columns[1], columns[1]), offset="ul")
            extents.append((float(min(xs)), float(min(ys)), float(max(xs)), float(max(ys))))
        return extents


def open_mosaics(sensor: str, paths: Sequence[str], s1_unit: str = "linear") -> list[Mosaic]:
    """Look at the files of one sensor and city, and put those of one lattice together.

    Args:
        sensor: a name of `SENSORS`.
        paths: in the order in which they count.
        s1_unit: of Sentinel-1 files, "linear" or "db".

    Returns:
        One mosaic per lattice (CRS, pixel size and phase), in order of first appearance.

    Raises:
        RasterError: if a file cannot be read.
        ValueError: if a file does not say where on Earth it lies, or has other bands or units than this sensor.
    """
    mosaics: list[Mosaic] = []
    for path in paths:
        new = _look_at(sensor, path, s1_unit)
        for i, mosaic in enumerate(mosaics):
            if (place := _place_on(mosaic, new)) is not None:
                piece = replace(new.pieces[0], row=place[0], column=place[1])
                mosaics[i] = replace(mosaic, pieces=(*mosaic.pieces, piece))
                break
        else:
            mosaics.append(new)
    return mosaics


def read_window(mosaic: Mosaic, row: int, column: int, height: int, width: int) -> np.ndarray:
    """A window of the lattice, which may reach beyond all files.

    Returns:
        [C, H, W] float32 in the unit of the tiles, NaN in all bands of a pixel without data.

    Raises:
        RasterError: if a file cannot be read.
        ValueError: if it holds what the sensor cannot measure.
    """
    values = np.full((len(SENSORS[mosaic.sensor].bands), height, width), np.nan, dtype=np.float32)
    for piece in mosaic.pieces:
        top, bottom = max(row, piece.row), min(row + height, piece.row + piece.height)
        left, right = max(column, piece.column), min(column + width, piece.column + piece.width)
        if top >= bottom or left >= right:
            continue
        there = values[:, top - row : bottom - row, left - column : right - column]
        empty = np.isnan(there[0])
        if empty.any():
            window = Window(left - piece.column, top - piece.row, right - left, bottom - top)
            with _opened(piece.path) as file:
                new = _read(file, mosaic, piece, window)
            there[:, empty] = new[:, empty]
    return values


def _look_at(sensor: str, path: str, s1_unit: str) -> Mosaic:
    with _opened(path) as file:
        _check_place(file, path)
        alpha = file.colorinterp.index(ColorInterp.alpha) + 1 if ColorInterp.alpha in file.colorinterp else 0
        if file.count == len(SENSORS[sensor].bands):
            alpha = 0  # GDAL takes the fourth band of any 8-bit file for alpha
        numbers = [number for number in file.indexes if number != alpha]
        picked = pick_bands(SENSORS[sensor], [file.descriptions[number - 1] for number in numbers], path)
        bands = tuple(numbers[i] for i in picked)
        if wrong := [file.dtypes[band - 1] for band in bands if kind_of(file.dtypes[band - 1]) not in "uif"]:
            raise InputError(f"{path} holds {wrong[0]} values, expected real numbers for {sensor!r}.")
        piece = Piece(path, bands, alpha, 0, 0, file.height, file.width)
        mosaic = Mosaic(sensor, s1_unit, file.crs, file.transform, (piece,))
        height, width = min(SAMPLE_PX, file.height), min(SAMPLE_PX, file.width)
        samples = [
            _read(file, mosaic, piece, Window(int(column), int(row), width, height))
            for row in np.linspace(0, file.height - height, SAMPLES)
            for column in np.linspace(0, file.width - width, SAMPLES)
        ]
        scaling = Scaling.of(file, bands, path)
        shown = f"{path} (with {scaling})" if scaling.applies else path
        check_scale(SENSORS[sensor], np.stack(samples, axis=1), shown, s1_unit)
    return mosaic


def _check_place(file: DatasetReader, path: str) -> None:
    """See that a file says where on Earth it lies."""
    where = f"(CRS {str(file.crs)[:60]}, transform {tuple(file.transform)[:6]})"
    if file.crs is None or file.transform.is_identity:
        raise InputError(
            f"{path} has no georeference {where}, expected a GeoTIFF on a map grid. If it has ground "
            "control points: gdalwarp -t_srs EPSG:4326."
        )
    if file.transform.is_degenerate:
        raise InputError(
            f"{path} has pixels without an area {where}, expected a GeoTIFF on a map grid. gdal_edit.py "
            "-a_ullr gives it the right corners."
        )
    try:
        longitude_latitude(*file.xy(file.height // 2, file.width // 2), file.crs)
    except ValueError as error:
        raise InputError(
            f"{path} does not say where on Earth it lies: its center {error}. gdal_edit.py -a_srs "
            "gives it the right coordinate system."
        ) from error


def _place_on(mosaic: Mosaic, new: Mosaic) -> tuple[int, int] | None:
    """Row and column of a file's first pixel on a lattice; None if its pixels lie elsewhere."""
    a, b = mosaic.transform, new.transform
    piece = new.pieces[0]
    if mosaic.crs != new.crs:
        return None
    inverse = ~a
    place = (inverse.d * b.c + inverse.e * b.f + inverse.f, inverse.a * b.c + inverse.b * b.f + inverse.c)
    # How far the two lattices drift apart over the whole file.
    drift = max(abs(x - y) for x, y in zip((a.a, a.b, a.d, a.e), (b.a, b.b, b.d, b.e))) * max(piece.height, piece.width)
    off = max(drift / np.hypot(a.a, a.d), *(abs(number - round(number)) for number in place))
    return (round(place[0]), round(place[1])) if off < LATTICE_TOLERANCE_PX else None


def _read(file: DatasetReader, mosaic: Mosaic, piece: Piece, window: Window) -> np.ndarray:
    """A window of one file, as `read_window`."""
    raw = read_stored(file, piece.bands, window)
    valid = np.ones(raw.shape[1:], dtype=bool)
    flags = file.mask_flag_enums[piece.bands[0] - 1]
    if MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags:
        valid &= file.read_masks(piece.bands[0], window=window) > 0
    # A no-data tag hides the alpha band from GDAL's masks.
    if piece.alpha:
        valid &= file.read(piece.alpha, window=window) > 0
    tagged = np.zeros(raw.shape, dtype=bool)
    for band, number, out in zip(raw, piece.bands, tagged):
        tag = file.nodatavals[number - 1]
        if tag is not None:
            out[:] = band == tag
    # Reflectance may be 0 in one band, over dark water; elsewhere the tag is a sentinel in whichever band it stands.
    valid &= ~(tagged.all(axis=0) if mosaic.sensor == "s2" else tagged.any(axis=0))
    sensor = SENSORS[mosaic.sensor]
    scaling = to_tile_units(sensor, Scaling.of(file, piece.bands, piece.path), piece.path)
    return decode(sensor, raw, valid, scaling, piece.path, mosaic.s1_unit)


@contextlib.contextmanager
def _opened(path: str) -> Iterator[DatasetReader]:
    try:
        with rasterio.open(path) as file:
            yield file
    except (RasterioError, CPLE_BaseError, OSError) as error:  # before rasterio 1.4, a RasterioIOError is an OSError alone
        # rasterio's own words are often "See previous exception for details".
        reason = str(error.__cause__ or error).rstrip(".")
        raise RasterError(
            f"cannot read {path}: {reason}. The file may be truncated or corrupt; fetch or export it again.", path, reason
        ) from error
