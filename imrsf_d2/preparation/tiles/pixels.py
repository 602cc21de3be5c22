"""A sensor's pixels in one tile: copied where the files have the tile's pixels, otherwise resampled.

What is copied keeps its data type, scale, band names and no-data tag, and every pixel with data keeps its bits. What is
resampled, or comes from files that differ in these, becomes float32 values with NaN for no data. Classes are always copied,
from the nearest pixel, and stay the numbers that they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import rasterio
from rasterio.windows import Window

from imrsf_d2.geo.bands import modality_bands
from imrsf_d2.geo.decibel import from_db
from imrsf_d2.geo.gdal import OpenFiles
from imrsf_d2.geo.grids import Grid
from imrsf_d2.geo.rasters import read_raster
from imrsf_d2.geo.stored import kind_of, read_stored
from imrsf_d2.geo.validity import file_validity
from imrsf_d2.geo.warp import Warp
from imrsf_d2.inference.scene_reading import SAME_PIXELS, SceneFile
from imrsf_d2.modalities import Modality
from imrsf_d2.preparation.tiles.encoding import Encoding, Pixels
from imrsf_d2.preparation.tiles.sensors import Source
from imrsf_d2.utils.errors import InputError, some_of

__all__ = ["read_pixels"]


@dataclass(frozen=True)
class _Part:
    """What one file gives of a tile."""

    stored: np.ndarray
    valid: np.ndarray
    encoding: Encoding
    copied: bool


def read_pixels(
    source: Source, files: Sequence[SceneFile], grid: Grid, window: tuple[slice, slice], open_files: OpenFiles
) -> Pixels | None:
    """What the files of a sensor have of a tile; where they overlap, the first one with data counts.

    Args:
        files: of the sensor, in the scene.
        grid: of the scene.
        window: the tile's rows and columns, which may reach beyond the scene.

    Returns:
        None if no pixel holds data.

    Raises:
        RasterError: if a file cannot be read.
        ValueError: if a file does not hold what its sensor says.
    """
    part = grid.part(*window)
    used: list[tuple[_Part, np.ndarray]] = []
    valid = np.zeros(part.shape, dtype=bool)
    for file in files:
        if part.meets(file.grid):
            found = _read_part(source, file, grid, window, open_files)
            new = found.valid & ~valid
            if new.any():
                used.append((found, new))
                valid |= new
        if valid.all():
            break
    if not used:
        return None
    if source.modality.categorical:
        _check_classes(source, used)
    first = used[0][0]
    alike = all(found.encoding.alike(first.encoding) for found, _ in used)
    encoding = first.encoding
    if not alike:
        encoding = encoding.of_codes(found.encoding.dtype for found, _ in used) if source.classes else encoding.of_values()
    if source.names:
        encoding = replace(encoding, names=source.names)
    as_stored = alike or source.classes
    stored = (first if as_stored else _values(first)).stored.astype(encoding.dtype)
    for found, new in used[1:]:
        stored[:, new] = (found if as_stored else _values(found)).stored[:, new]
    if source.modality.nodata is not None and stored.dtype.kind == "f":
        # A computed value may be the stored number that means no data.
        lost = valid & (stored == source.modality.nodata).all(axis=0)
        stored[:, lost] = np.nextafter(stored[:, lost], np.inf)
    if not valid.all():
        # Integers without a tag: the file's mask says it.
        tags = (encoding.nodata, source.modality.nodata, 0)
        stored[:, ~valid] = next(tag for tag in tags if tag is not None)
    copied = sum(int(np.count_nonzero(new)) for found, new in used if found.copied)
    return Pixels(stored, valid, encoding, copied, int(np.count_nonzero(valid)) - copied)


def _read_part(source: Source, file: SceneFile, grid: Grid, window: tuple[slice, slice], open_files: OpenFiles) -> _Part:
    with open_files.opened(file.path, repr(source.modality.name)) as opened:
        numbers = modality_bands(opened, file.path, source.modality)
        encoding = Encoding.of(opened, numbers, file.path)
        is_complex = kind_of(encoding.dtype) == "c"
        if source.classes and is_complex:
            raise InputError(f"{file.path} ({source.modality.name}) holds complex numbers, expected the codes of classes.")
        if source.classes and encoding.scaling is not None:
            encoding.scaling.refuse(file.path, repr(source.modality.name))
        offset = file.grid.offset_of(grid, SAME_PIXELS)
        if offset is not None and not is_complex:
            return _copied(source.modality, opened, numbers, encoding, window, offset)
        if source.classes:
            warps = Warp.each_between(Grid.of(opened), grid.moved(-file.turned), window)
            found, *others = (_nearest(source, opened, numbers, encoding, warp) for warp in warps)
            for other in others:
                new = other.valid & ~found.valid
                found.stored[:, new] = other.stored[:, new]
                found.valid[new] = True
            return found
    return _resampled(source, file, encoding, grid, window, open_files)


def _copied(
    modality: Modality,
    file: rasterio.DatasetReader,
    numbers: Sequence[int],
    encoding: Encoding,
    window: tuple[slice, slice],
    offset: tuple[int, int],
) -> _Part:
    """The pixels of a file that are the tile's."""
    shape = tuple(part.stop - part.start for part in window)
    fill = 0 if encoding.nodata is None else encoding.nodata
    stored = np.full((len(numbers), *shape), fill, dtype=encoding.dtype)
    valid = np.zeros(shape, dtype=bool)
    source, target = [], []
    for wanted, first, length in zip(window, offset, (file.height, file.width), strict=True):
        start, stop = max(wanted.start + first, 0), min(wanted.stop + first, length)
        if start >= stop:
            return _Part(stored, valid, encoding, True)
        source.append(slice(start, stop))
        target.append(slice(start - first - wanted.start, stop - first - wanted.start))
    raw, known = _stored(modality, file, numbers, Window.from_slices(*source))
    if modality.transform == "db":
        values = raw if encoding.scaling is None else encoding.scaling.apply(raw)
        with np.errstate(invalid="ignore"):
            known &= (values > 0).all(axis=0)
    stored[:, target[0], target[1]], valid[target[0], target[1]] = raw, known
    return _Part(stored, valid, encoding, True)


def _stored(
    modality: Modality, file: rasterio.DatasetReader, numbers: Sequence[int], window: Window
) -> tuple[np.ndarray, np.ndarray]:
    """The stored numbers of some bands, and which pixels hold data, as `read_raster` decides it."""
    raw = read_stored(file, numbers, window)
    known = file_validity(file, numbers, raw, window, tag_in_all_bands=raw.dtype.itemsize == 1)
    if modality.nodata is not None:
        known &= ~(raw == modality.nodata).all(axis=0)
    if raw.dtype.kind == "f":
        known &= np.isfinite(raw).all(axis=0)
    return raw, known


def _nearest(
    source: Source, opened: rasterio.DatasetReader, numbers: Sequence[int], encoding: Encoding, warp: Warp
) -> _Part:
    """Classes on other pixels."""
    raw, known = _stored(source.modality, opened, numbers, Window.from_slices(*warp.window))
    # Resampling computes with float32, which cannot tell codes beyond 2^24 apart: the positions in a list of them can.
    codes, positions = np.unique(raw, return_inverse=True)
    moved, valid = warp.resample(positions.reshape(raw.shape).astype(np.float32), known, categorical=True)
    values = codes[np.where(valid, moved, 0).astype(np.intp)]
    values[:, ~valid] = 0
    return _Part(values.astype(encoding.dtype), valid, encoding, False)


def _resampled(
    source: Source, file: SceneFile, encoding: Encoding, grid: Grid, window: tuple[slice, slice], open_files: OpenFiles
) -> _Part:
    """Measurements on other pixels."""
    bands, valid = read_raster(
        file.path, source.modality, grid=grid.moved(-file.turned), window=window, open_file=open_files.opened
    )
    if source.modality.transform == "db":
        bands = from_db(bands)  # the tiles hold what the files hold: power
    return _Part(bands.astype(np.float32), valid, encoding.of_values(), False)


def _check_classes(source: Source, used: Sequence[tuple[_Part, np.ndarray]]) -> None:
    """See that all codes of a map raster stand for something."""
    codes = source.modality.class_codes
    for found, new in used:
        values = found.stored[0][new]
        if (wrong := values[~np.isin(values, list(codes))]).size:
            name, value = source.modality.name, f"{wrong.flat[0]:g}"
            raise InputError(
                f"{name} holds the class {value}, expected one of {some_of(codes)} as --classes-of says; "
                f"--nodata {name}={value} if it means 'no data'."
            )


def _values(part: _Part) -> _Part:
    """The same as values."""
    scaling = part.encoding.scaling
    values = part.stored if scaling is None else scaling.apply(part.stored)
    return replace(part, stored=values.astype(np.float32), encoding=part.encoding.of_values())
