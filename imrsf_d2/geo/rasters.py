"""From a raster file to model units: bands, and a validity mask that says which pixels hold data.

Validity is decided on the numbers as they are stored, in this order; a pixel that fails one test is invalid in all its
bands:
1. the file's own mask (internal, or a `.msk` file);
2. the file's no-data tag: in every band for 8-bit data, where the tag is also an ordinary value (black, or 255 in one
   channel of a red roof); in any band otherwise, where it is a sentinel such as -9999 that must not leak into a mean;
3. `Modality.nodata` in every band (all-black RGB);
4. NaN or infinity in any band, after scale and offset (see below);
5. for "db", a power of zero or below in any band: no echo was recorded there, and any floor value would be an invention
   of ours;
6. a code of a categorical modality that stands for no data (`Modality.codes`).
Invalid pixels are overwritten with the band's mean (class 0 for a categorical modality), so that they are harmless
even to code that ignores validity.

Only the modality's own bands count (see `imrsf_d2.geo.bands`), but an alpha band beside them is a mask too. SCALE and OFFSET
of GDAL's metadata are applied to measurements, and are an error in class indices (see `imrsf_d2.geo.stored`). Complex radar
values become their intensity, |z|^2.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import numpy as np
import rasterio
from rasterio.windows import Window

from imrsf_d2.geo.bands import modality_bands, refuse_container
from imrsf_d2.geo.codes import NO_CLASS, NO_DATA, CodeCounts, look_up
from imrsf_d2.geo.decibel import from_db, to_db
from imrsf_d2.geo.gdal import GDAL_ERRORS, RasterError, opened
from imrsf_d2.geo.grids import Grid
from imrsf_d2.geo.stored import Scaling, read_stored
from imrsf_d2.geo.validity import file_validity
from imrsf_d2.geo.warp import Warp, resample_each
from imrsf_d2.modalities import Modality
from imrsf_d2.utils.errors import InputError

__all__ = ["Raster", "RasterError", "SizeError", "read_band", "read_grid", "read_raster", "size_text"]

#: bands [C, H, W] float32 in model units before normalization, validity [H, W] bool (True = holds data)
Raster = tuple[np.ndarray, np.ndarray]


class SizeError(InputError):
    """A raster of another size than asked for; `found` is its (H, W)."""

    def __init__(self, message: str, found: tuple[int, int] | None = None):
        super().__init__(message)
        self.found = found


def read_raster(
    path: str | os.PathLike,
    modality: Modality,
    *,
    size: tuple[int, int] | None = None,
    grid: Grid | None = None,
    window: tuple[slice, slice] | None = None,
    exact: bool = False,
    check_grid: Callable[[Grid], None] | None = None,
    open_file: Callable[[str, str], AbstractContextManager[rasterio.DatasetReader]] = opened,
) -> Raster:
    """Read one modality of one sample.

    Args:
        path: anything GDAL opens, of any data type; a missing georeference is fine.
        modality: says which bands to read and what their values mean. No other band is read, except for validity.
        size: (H, W) that the raster must have; None accepts any.
        grid: where the pixels are wanted; a raster on another grid is resampled before its values are transformed
            (radar is averaged as power, also where files hold decibels). None keeps the raster's own grid.
        window: rows and columns to read, of `grid` if given, which it may reach beyond, else within the raster; None reads all. No more is decoded than
            the blocks of the file that it touches, or that resampling onto it needs.
        exact: a window is just what the whole has there, also between two coordinate systems (see `project_part`).
        check_grid: called with the raster's own grid before anything is decoded; whatever it raises is passed on.
        open_file: opens the file, as `opened` does; see `OpenFiles`.

    Returns:
        bands [C, H, W] float32 after transform and clip, not normalized; validity [H, W] bool, True = holds data.

    Raises:
        RasterError: if the file cannot be read.
        SizeError: if the raster has another size.
        ValueError: if it is readable but not this modality: another number of bands, none of a name, or values that are no
            class index; or if it must be resampled and has no georeference; or if its SCALE and OFFSET cannot be applied.
    """
    path = os.fspath(path)
    warps: list[Warp] = []
    with open_file(path, repr(modality.name)) as file:
        own = Grid.of(file)
        if size is not None and grid is None and own.shape != size:
            raise SizeError(f"{path} ({modality.name!r}) is {size_text(own.shape)}, expected {size_text(size)}.", own.shape)
        if check_grid is not None:
            check_grid(own)
        numbers, scaling = _bands_of(file, path, modality)
        if grid is not None and (_beyond(window, own) or not own.equals(grid)):
            warps = _warps(own, grid, window, exact, path, modality)
        pieces = [_read(file, numbers, warp.window) for warp in warps] or [_read(file, numbers, window)]
    # A float64 sentinel such as -1.8e308 becomes infinite here, which is what makes it invalid below.
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        pieces = [_measured(raw, valid, modality, scaling) for raw, valid in pieces]
        if warps:
            as_power = modality.stored_in_decibels
            if as_power:
                pieces = [(from_db(bands), valid) for bands, valid in pieces]
            bands, valid = _resample(warps, pieces, path, modality)
            bands = to_db(bands) if as_power else bands
        else:
            ((bands, valid),) = pieces
        if modality.transform == "db":
            bands = to_db(bands)
    if modality.categorical:
        bands, valid = _classes(path, modality, bands, valid)
    if modality.clip is not None:
        np.clip(bands, *modality.clip, out=bands)
    if not valid.all():
        bands[:, ~valid] = np.asarray(modality.mean, dtype=np.float32)[:, None]
    return bands, valid


def read_band(
    path: str | os.PathLike,
    what: str,
    open_file: Callable[[str, str], AbstractContextManager[rasterio.DatasetReader]] = opened,
) -> tuple[np.ndarray, np.ndarray]:
    """Read a raster of class indices unchanged, and which of its pixels hold data according to the file.

    Args:
        what: what the raster is, for messages.
        open_file: opens the file, as `opened` does.

    Returns:
        band [H, W] in the file's data type; validity [H, W] bool.

    Raises:
        RasterError: if the file cannot be read.
        ValueError: if it has several bands, or a scale or offset.
    """
    path = os.fspath(path)
    with open_file(path, what) as file:
        refuse_container(file, path)
        if file.count != 1:
            raise InputError(f"{path} has {file.count} bands, expected 1 ({what}).")
        Scaling.of(file, [1], path).refuse(path, what)
        raw, valid = _read(file, [1], None)
    return raw[0], valid


def read_grid(path: str | os.PathLike, modality: Modality | None = None) -> Grid:
    """The pixel grid of a raster file, from its header.

    Args:
        modality: what the file is to be read as later.

    Raises:
        RasterError: if the file cannot be opened.
        ValueError: if its bands are not those of the modality, or their SCALE and OFFSET cannot be applied.
    """
    with opened(path, "its size") as file:
        if modality is not None:
            _bands_of(file, os.fspath(path), modality)
        return Grid.of(file)


def size_text(shape: tuple[int, int]) -> str:
    """A size as people write it: width x height."""
    return f"{shape[1]} x {shape[0]} px"


def _bands_of(file: rasterio.DatasetReader, path: str, modality: Modality) -> tuple[list[int], Scaling]:
    """The bands (from 1) that belong to the modality, and what their numbers mean."""
    numbers = modality_bands(file, path, modality)
    scaling = Scaling.of(file, numbers, path)
    if modality.categorical:
        scaling.refuse(path, repr(modality.name))
    return numbers, scaling


def _read(file: rasterio.DatasetReader, numbers: list[int], window: tuple[slice, slice] | None) -> Raster:
    """The stored numbers [C, H, W], and validity from what the file itself says (tests 1 and 2)."""
    part = None if window is None else Window.from_slices(*window)
    raw = read_stored(file, numbers, part)
    return raw, file_validity(file, numbers, raw, part, tag_in_all_bands=raw.dtype.itemsize == 1)


def _classes(path: str, modality: Modality, bands: np.ndarray, valid: np.ndarray) -> Raster:
    """The class indices that the codes of a categorical modality stand for, and where there are any."""
    codes = {code: NO_DATA if index is None else index for code, index in modality.class_codes.items()}
    classes = look_up(bands, codes)
    valid = valid & (classes[0] != NO_DATA)
    unknown = valid & (classes[0] == NO_CLASS)
    if unknown.any():
        expected = (
            f"the codes {', '.join(map(str, codes))}" if modality.codes else f"class indices from 0 to {len(codes) - 1}"
        )
        raise InputError(
            f"{path} holds {CodeCounts.of(bands[:, unknown], unknown.size)}, expected {expected} for modality "
            f"{modality.name!r}. In MODEL.IMRSF.MODALITIES, CODES says what other values stand for, and NODATA which one means "
            "'no data'."
        )
    return classes.astype(np.float32), valid


def _beyond(window: tuple[slice, slice] | None, grid: Grid) -> bool:
    """Whether a window reaches beyond the edges of a grid."""
    return window is not None and any(side.start < 0 or side.stop > size for side, size in zip(window, grid.shape))


def _measured(raw: np.ndarray, valid: np.ndarray, modality: Modality, scaling: Scaling) -> Raster:
    """What stored numbers mean, before the modality's transform, as float32, and which of them mean something."""
    if modality.nodata is not None:
        valid &= ~(raw == modality.nodata).all(axis=0)
    raw = scaling.apply(raw)
    if raw.dtype.kind == "c":
        raw = raw.real**2 + raw.imag**2
    bands = raw.astype(np.float32)
    if raw.dtype.kind == "f":
        valid &= np.isfinite(bands).all(axis=0)
    if modality.transform == "db":
        valid &= (bands > 0).all(axis=0)
    return bands, valid


def _warps(
    own: Grid, wanted: Grid, window: tuple[slice, slice] | None, exact: bool, path: str, modality: Modality
) -> list[Warp]:
    if not (own.located and wanted.located):
        raise InputError(
            f"{_cannot_resample(own, wanted, path, modality)}, because "
            f"{'the reference' if own.located else 'the file'} has no usable georeference (CRS and "
            "geotransform)."
        )
    return Warp.each_between(own, wanted, window, exact=exact)


def _resample(warps: Sequence[Warp], pieces: Sequence[Raster], path: str, modality: Modality) -> Raster:
    try:
        return resample_each(warps, pieces, modality.categorical)
    except GDAL_ERRORS as error:
        raise RasterError(
            f"{_cannot_resample(warps[0].source, warps[0].target, path, modality)}: {error}", path, str(error)
        ) from error


def _cannot_resample(own: Grid, wanted: Grid, path: str, modality: Modality) -> str:
    return (
        f"{modality.name!r} is {size_text(own.shape)} ({path}), expected {size_text(wanted.shape)}; INPUT.ALIGN "
        "cannot resample it"
    )
