"""One raster file of a sensor: what it is, and what is wrong with it by itself. It is opened once."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import rasterio

from imrsf_d2.data.check import kinds
from imrsf_d2.data.check.findings import Finding, Kind
from imrsf_d2.data.check.no_data import find_border, find_sentinel
from imrsf_d2.data.decibel_checks import DECIBEL_HINT, decibel_share, holds_decibels
from imrsf_d2.geo.bands import modality_bands
from imrsf_d2.geo.gdal import RasterError, opened
from imrsf_d2.geo.grids import Grid
from imrsf_d2.geo.rasters import read_band, read_raster
from imrsf_d2.geo.stored import stored_text
from imrsf_d2.geo.validity import value_bands
from imrsf_d2.modalities import Modality
from imrsf_d2.utils.errors import InputError, percent

__all__ = ["LABELS", "FileFacts", "MapFacts", "examine_file", "examine_map", "inferred_modality"]

#: What label maps are called among the files of a tile.
LABELS = "labels"
#: A file with a smaller share of valid pixels is remarked upon.
FEW = 0.1


@dataclass(frozen=True)
class FileFacts:
    """What a raster file is.

    Args:
        path: of the file.
        grid: where its pixels lie.
        dtypes: the data types of its bands, each once.
        scaled: whether a SCALE or OFFSET turns what is stored into values.
        no_data: its no-data tags as text, and "mask" and "alpha" if it has one.
        bands: the descriptions of its bands, None for a band without.
        pixels, valid: how many there are, and how many hold data.
        values: [C, n] float32, some of the valid values before TRANSFORM and CLIP; None if they are not the modality's.
        constant: for each channel its only value, None if it has several or none.
        digest: of all pixels, equal for equal ones alone; None for label maps, and if there is nothing to tell files apart by.
    """

    path: str
    grid: Grid
    dtypes: tuple[str, ...]
    scaled: bool
    no_data: tuple[str, ...]
    bands: tuple[str | None, ...]
    pixels: int = 0
    valid: int = 0
    values: np.ndarray | None = None
    constant: tuple[float | None, ...] = ()
    digest: bytes | None = None


@dataclass(frozen=True)
class MapFacts:
    """What a label map is.

    Args:
        file: as of any raster.
        codes: code -> pixels, of those that hold data.
        empty: pixels without data according to the file.
        tag: its no-data tag, if it has one.
    """

    file: FileFacts
    codes: dict[float, int]
    empty: int
    tag: float | None = None


def examine_file(path: str, modality: Modality, wanted: int, findings: list[Finding]) -> FileFacts | None:
    """Examine every pixel of a sensor's file.

    Args:
        path: of the file.
        modality: which it should be of.
        wanted: how many values per band to keep.
        findings: what is wrong is appended to it.

    Returns:
        None if it cannot even be opened.
    """

    def add(kind: Kind, found: str, expected: str = "") -> None:
        findings.append(Finding(kind, modality.name, path, found, expected))

    facts = None
    try:
        with opened(path, repr(modality.name)) as file:
            facts = _header(file, path)
            read_as = modality
            if not modality.bands and len(value_bands(file, modality.channels)) != modality.channels:
                add(kinds.BANDS, f"{file.count} band{'s' * (file.count != 1)}", f"{modality.channels} for {modality.name}")
                read_as = Modality(modality.name, file.count, transform=modality.transform, nodata=modality.nodata)
            facts = _read(file, facts, read_as, wanted, add)
            if read_as is not modality:
                facts = replace(facts, values=None)
    except RasterError as error:
        add(kinds.UNREADABLE, _reason(error, path), "a GeoTIFF" if facts is None else "a complete GeoTIFF")
    except InputError as error:
        add(kinds.VALUES, str(error).removeprefix(f"{path} "))
    except Exception as error:  # that nobody foresaw: a bad file must not end all other checks
        add(kinds.UNREADABLE, f"cannot be checked: {type(error).__name__}: {error}", "a plain GeoTIFF")
    return facts


def examine_map(path: str, findings: list[Finding]) -> MapFacts | None:
    """Count the codes of a label map.

    Args:
        path: of the file.
        findings: what is wrong is appended to it.

    Returns:
        None if it cannot be read, or is none.
    """
    try:
        with opened(path, "the labels") as file:
            facts, tag = _header(file, path), file.nodata
            band, valid = read_band(path, "the labels", lambda *_: contextlib.nullcontext(file))
    except RasterError as error:
        findings.append(Finding(kinds.UNREADABLE, LABELS, path, _reason(error, path), "a complete GeoTIFF"))
        return None
    except InputError as error:
        findings.append(Finding(kinds.LABEL_FILE, LABELS, path, str(error).removeprefix(f"{path} ")))
        return None
    if band.dtype.kind == "c":
        findings.append(Finding(kinds.LABEL_FILE, LABELS, path, "complex numbers", "codes of classes"))
        return None
    labeled = band[valid]
    codes, counts = np.unique(labeled, return_counts=True)
    facts = replace(facts, pixels=band.size, valid=labeled.size)
    return MapFacts(facts, dict(zip(codes.tolist(), counts.tolist(), strict=True)), band.size - labeled.size, tag)


def inferred_modality(name: str, path: str) -> Modality:
    """A sensor as one of its files has it, where no config says what it should be.

    Raises:
        RasterError: if the file cannot be opened.
    """
    with opened(path, repr(name)) as file:
        return Modality(name, len(value_bands(file, 0)) or file.count)


def _header(file: rasterio.DatasetReader, path: str) -> FileFacts:
    tags = [tag for tag in dict.fromkeys(map(str, file.nodatavals)) if tag != "None"]
    marks = {flag.name for flags in file.mask_flag_enums for flag in flags}
    mask = ["mask"] if "per_dataset" in marks and "alpha" not in marks else []
    return FileFacts(
        path,
        Grid.of(file),
        tuple(dict.fromkeys(file.dtypes)),
        set(zip(file.scales, file.offsets)) != {(1.0, 0.0)},
        (*(f"{float(tag):.9g}" for tag in tags), *mask, *(["alpha"] if "alpha" in marks else [])),
        file.descriptions,
    )


def _read(file: rasterio.DatasetReader, facts: FileFacts, modality: Modality, wanted: int, add: Callable) -> FileFacts:
    plain = replace(modality, transform="none", clip=None) if not modality.categorical else modality
    bands, valid = read_raster(facts.path, plain, open_file=lambda *_: contextlib.nullcontext(file))
    values = bands[:, valid]
    if modality.transform == "db":
        if holds_decibels(values):
            add(kinds.DECIBELS, f"{decibel_share(values):.0%} of the values are below 0", f"linear power; {DECIBEL_HINT}")
        else:
            valid &= (bands > 0).all(axis=0)
            values = bands[:, valid]
    if not modality.categorical and (hidden := _look_for_no_data(file, modality, bands, valid, add)) is not None:
        valid &= ~hidden
        values = bands[:, valid]
    count = values.shape[1]
    if not count:
        add(kinds.NO_DATA, "no valid pixel", "data, or no file if the sensor is missing")
        return replace(facts, pixels=valid.size, values=values)
    if count < FEW * valid.size:
        add(kinds.FEW_VALID, f"{percent(count / valid.size)} of the pixels valid")
    low, high = values.min(axis=1).tolist(), values.max(axis=1).tolist()
    constant = tuple(a if a == b else None for a, b in zip(low, high))
    if fixed := [f"{modality.band_name(i)} is {value:g}" for i, value in enumerate(constant) if value is not None]:
        add(kinds.CONSTANT_FILE, ", ".join(fixed))
    chosen = np.linspace(0, count - 1, min(wanted, count)).astype(int)
    digest = _digest(bands) if None in constant else None
    return replace(facts, pixels=valid.size, valid=count, values=values[:, chosen].copy(), constant=constant, digest=digest)


def _digest(bands: np.ndarray) -> bytes:
    """16 bytes of an array. Of 32 bits, those of some two among 100,000 files would agree by chance more often than not."""
    digest = hashlib.blake2b(str(bands.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(bands).data.cast("B"))  # not `tobytes`, which copies all
    return digest.digest()


def _look_for_no_data(
    file: rasterio.DatasetReader, modality: Modality, bands: np.ndarray, valid: np.ndarray, add: Callable
) -> np.ndarray | None:
    """Which pixels [H, W] hold a no-data value that the file does not declare; None if there is no such value."""
    numbers = modality_bands(file, file.name, modality)
    found = find_sentinel(bands, valid, [(file.scales[number - 1], file.offsets[number - 1]) for number in numbers])
    if found is None:
        if (black := find_border(bands, valid)) is not None:
            add(kinds.BLACK_BORDER, f"{percent(black)} of the pixels are 0")
        return None
    band, value, share = found
    row, column = np.argwhere(valid & (bands[band] == value))[0].tolist()
    add(
        kinds.SENTINEL, f"{stored_text(file, numbers[band], row, column)} in {percent(share)} of the pixels", "a no-data tag"
    )
    return (bands == value).any(axis=0)


def _reason(error: RasterError, path: str) -> str:
    if os.path.isfile(path) and os.path.getsize(path) == 0:
        return "empty file"
    return f"unreadable: {error.reason}".replace(path, os.path.basename(path))
