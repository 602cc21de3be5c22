"""Damaged and odd rasters, as a sensor's bands and as label maps, against a plain reading of the same file."""

from __future__ import annotations

import math
import random
import warnings
from pathlib import Path

import numpy as np
import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.transform import from_origin

from imrsf_d2.data.labels import IGNORE_LABEL, semantic_truth
from imrsf_d2.geo.rasters import read_raster
from imrsf_d2.modalities import Modality
from tests.fuzz.damage import damage_bytes

__all__ = ["label_case", "raster_case"]

SIDE = 12
DTYPES = (
    "uint8",
    "int8",
    "uint16",
    "int16",
    "uint32",
    "int32",
    "uint64",
    "int64",
    "float32",
    "float64",
    "complex64",
    "complex_int16",
)
CLASSES = 4


def raster_case(folder: Path, draw: random.Random) -> tuple[str, object, object]:
    """A raster and a modality that it may or may not be.

    Returns:
        What is odd about it; a call that reads it with the package; a call that says what it should have got.
    """
    dtype, bands = draw.choice(DTYPES), draw.choice((1, 1, 2, 3, 4))
    path = folder / "scene.tif"
    kind = _write(path, _values(dtype, bands, draw), dtype, draw)
    categorical = draw.random() < 0.15
    channels = bands if draw.random() < 0.9 else draw.choice((1, 2, 3, 5))
    if categorical:
        modality = Modality("map", 1, classes=CLASSES)
    else:
        transform = draw.choice(("none", "none", "db"))
        modality = Modality(
            "s",
            channels,
            transform=transform,
            nodata=draw.choice((None, None, 0, -9999)),
            clip=draw.choice(((), (-25, 12), (0, 100))) or None,
        )
    kind = _maybe_damage(path, kind, draw)
    return kind, lambda: read_raster(path, modality), lambda: _plain_reading(path, modality)


def label_case(folder: Path, draw: random.Random) -> tuple[str, object, object]:
    """A label map; as `raster_case`."""
    dtype = draw.choice([name for name in DTYPES if not name.startswith("complex")])
    path = folder / "labels.tif"
    top = draw.choice((CLASSES - 1, CLASSES - 1, CLASSES, 255))
    values = np.array([[draw.choice((0, 1, 2, top)) for _ in range(SIDE)] for _ in range(SIDE)])
    kind = _write(path, values[None].astype(dtype), dtype, draw)
    kind = _maybe_damage(path, kind, draw)
    sample = {"sem_seg_file_name": str(path), "height": SIDE, "width": SIDE, "image_id": 1}
    return kind, lambda: semantic_truth(sample, CLASSES), lambda: _plain_labels(path)


def agree(got: object, expected: object) -> bool:
    """Whether the package read what a plain reading gives."""
    if isinstance(got, np.ndarray):
        return np.array_equal(got, expected)
    (bands, valid), (wanted, wanted_valid) = got, expected
    return (
        np.array_equal(valid, wanted_valid)
        and bool(np.isfinite(bands).all())
        and np.allclose(bands[:, valid], wanted[:, valid], rtol=2e-6, atol=2e-5)
    )


def _values(dtype: str, bands: int, draw: random.Random) -> np.ndarray:
    shape = (bands, SIDE, SIDE)
    rng = np.random.default_rng(draw.randrange(2**32))
    if dtype.startswith("complex"):
        return (rng.integers(-90, 90, shape) + 1j * rng.integers(-90, 90, shape)).astype(np.complex64)
    if dtype.startswith("float"):
        values = (rng.normal(0, 30, shape) * 10.0 ** rng.integers(-2, 3)).astype(dtype)
        odd = rng.random(shape)
        values[odd < 0.05], values[odd > 0.97], values[(odd > 0.95) & (odd < 0.96)] = np.nan, -9999, np.inf
        if dtype == "float64":
            values[(odd > 0.9) & (odd < 0.92)] = -1.8e308 if draw.random() < 0.5 else 1e300
        return values
    info = np.iinfo(dtype)
    low, high = (info.min, info.max) if draw.random() < 0.2 else (max(info.min, -99), min(info.max, 200))
    values = rng.integers(low, high, shape, dtype=dtype, endpoint=True)
    values[rng.random(shape) < 0.1] = 0
    return values


def _write(path: Path, values: np.ndarray, dtype: str, draw: random.Random) -> str:
    """Write a raster with odd tags now and then; returns which."""
    kinds = []
    profile = {
        "driver": "GTiff",
        "height": values.shape[1],
        "width": values.shape[2],
        "count": len(values),
        "dtype": dtype,
        "compress": draw.choice((None, "deflate", "lzw")),
        "tiled": draw.random() < 0.3,
    }
    if profile["tiled"]:
        profile |= {"blockxsize": 16, "blockysize": 16}
    if draw.random() < 0.7:
        profile |= {"crs": "EPSG:32631", "transform": from_origin(5e5, 5e6, 10, draw.choice((10, -10, 0.3)))}
    if draw.random() < 0.4 and not dtype.startswith("complex"):
        tag = draw.choice((0, 255, -9999, float("nan"), -1.8e308, 1))
        integer = np.dtype(dtype).kind in "iu"
        if not integer or (math.isfinite(tag) and np.iinfo(dtype).min <= tag <= np.iinfo(dtype).max):
            profile["nodata"] = tag
            kinds.append("no-data tag")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=draw.random() < 0.5), rasterio.open(path, "w", **profile) as file:
            file.write(values)
            if draw.random() < 0.25:
                scale, offset = draw.choice(
                    ((0.1, 0), (1e-4, -0.1), (1, -1000), (2.5, 3), (0, 0), (float("nan"), 0), (float("inf"), 0), (-1, 0))
                )
                file.scales, file.offsets = (scale,) * len(values), (offset,) * len(values)
                kinds.append("scale and offset")
            if draw.random() < 0.15:
                file.write_mask(np.array([[draw.random() < 0.8 for _ in range(SIDE)] for _ in range(SIDE)]))
                kinds.append("own mask")
            if len(values) > 1 and draw.random() < 0.15:
                file.colorinterp = [*file.colorinterp[:-1], ColorInterp.alpha]
                kinds.append("alpha band")
    return ", ".join(kinds) or "plain"


def _maybe_damage(path: Path, kind: str, draw: random.Random) -> str:
    if draw.random() < 0.6:
        kind, content = damage_bytes(path.read_bytes(), draw)
        path.write_bytes(content)
    return kind


def _plain_reading(path: Path, modality: Modality) -> tuple[np.ndarray, np.ndarray]:
    """The rules at the head of geo/rasters.py, pixel by pixel in float64."""
    with rasterio.open(path) as file:
        numbers, raw, valid = _stored(file, None if modality.categorical else modality.channels)
        scales, offsets = [file.scales[n - 1] for n in numbers], [file.offsets[n - 1] for n in numbers]
        tags = [file.nodatavals[n - 1] for n in numbers]
    bands = np.zeros(raw.shape, dtype=np.float64)
    for row in range(raw.shape[1]):
        for column in range(raw.shape[2]):
            pixel = [value.item() for value in raw[:, row, column]]
            empty = [_is(value, tag) for value, tag in zip(pixel, tags)]
            if any(tag is not None for tag in tags) and (all(empty) if raw.dtype.itemsize == 1 else any(empty)):
                valid[row, column] = False
            stored = [abs(value) ** 2 if isinstance(value, complex) else value for value in pixel]
            if modality.nodata is not None and all(value == modality.nodata for value in stored):
                valid[row, column] = False
            for band, (value, scale, offset) in enumerate(zip(pixel, scales, offsets)):
                if isinstance(value, complex):
                    value = abs(value * scale + offset) ** 2
                else:
                    value = float(value) * scale + offset if (scale, offset) != (1.0, 0.0) else float(value)
                if not math.isfinite(value) or abs(value) > np.finfo(np.float32).max:
                    valid[row, column] = False
                    value = 0.0
                if modality.transform == "db":
                    value = float(np.float32(value))  # of the smallest numbers float32 keeps a few digits alone
                    if value <= 0:
                        valid[row, column] = False
                        value = 1.0
                    value = 10 * math.log10(value)
                if modality.clip is not None:
                    value = min(max(value, modality.clip[0]), modality.clip[1])
                bands[band, row, column] = value
    if modality.categorical:
        held = bands[:, valid]
        if ((held < 0) | (held >= modality.classes) | (held != np.rint(held))).any() or set(zip(scales, offsets)) != {
            (1, 0)
        }:
            raise ValueError("no class indices")
    return bands, valid


def _plain_labels(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        if file.shape != (SIDE, SIDE) or file.count != 1 or (file.scales, file.offsets) != ((1.0,), (0.0,)):
            raise ValueError("another size, number of bands or scale")
        _, raw, valid = _stored(file, 1)
        tag = file.nodatavals[0]
    labels = np.full((SIDE, SIDE), IGNORE_LABEL, dtype=np.uint8)
    for row in range(SIDE):
        for column in range(SIDE):
            value = raw[0, row, column].item()
            if valid[row, column] and not _is(value, tag) and value != IGNORE_LABEL:
                if not (0 <= value < CLASSES and value == int(value)):
                    raise ValueError(f"the value {value}")
                labels[row, column] = value
    return labels


def _stored(file: rasterio.DatasetReader, channels: int | None) -> tuple[list[int], np.ndarray, np.ndarray]:
    """Band numbers, values as stored, and what the file's own mask and alpha band leave."""
    channels = 1 if channels is None else channels
    numbers = list(file.indexes)
    try:
        kinds = file.colorinterp
    except CPLE_BaseError:  # GDAL's complaint about a geo key that it then does without
        kinds = file.colorinterp
    alphas = [number for number, kind in zip(file.indexes, kinds) if kind == ColorInterp.alpha]
    if file.count != channels:
        numbers = [number for number in numbers if number not in alphas]
    if len(numbers) != channels:
        raise ValueError(f"{file.count} bands")
    raw, valid = file.read(numbers), np.ones(file.shape, dtype=bool)
    for number in numbers:
        flags = file.mask_flag_enums[number - 1]
        if MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags and MaskFlags.all_valid not in flags:
            valid &= file.dataset_mask() > 0
    for number in alphas:
        if number not in numbers:
            valid &= file.read(number) > 0
    return numbers, raw, valid


def _is(value: float | complex, tag: float | None) -> bool:
    return tag is not None and (value == tag or (value != value and tag != tag))
