"""What a scene's sensors are given as, files, open datasets or arrays, as rasters that any thread can open by name."""

from __future__ import annotations

import contextlib
import os
import uuid
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from rasterio.crs import CRS
from rasterio.io import DatasetReader
from rasterio.transform import Affine
from rasterio.vrt import WarpedVRT

from imrsf_d2.geo.gdal import GDAL_ERRORS, quiet_gdal
from imrsf_d2.inference.scene import find_files
from imrsf_d2.modalities import ModalitySet
from imrsf_d2.utils.errors import InputError

__all__ = ["NamedRasters", "SceneArray", "read_crs"]

#: Data types that a GeoTIFF does not have -> one that it has and that holds the same numbers.
STORED_AS = {"bool": "uint8", "float16": "float32"}


@dataclass(frozen=True, eq=False)
class SceneArray:
    """A raster that is an array and not a file. It is read by the rules of files.

    Args:
        array: [C, H, W] or [H, W], stored values of any real or complex data type; NaN is no data, and so are the masked
            pixels of a masked array.
        transform: from (column, row) of a pixel's upper left corner to map coordinates.
        crs: anything that rasterio takes for a coordinate system, e.g. "EPSG:32633"; None if it is not known (`assume_crs`).
        nodata: value of pixels without data.
        bands: what its C bands are called, for modalities that pick theirs by name (BANDS). Default: they have no names.
    """

    array: Any
    transform: Affine
    crs: Any = None
    nodata: float | None = None
    bands: Sequence[str] = ()


class NamedRasters:
    """A scene's sensors as names that GDAL opens, in any thread.

    GDAL's handles are not shared between threads: an open dataset is opened again by its name, and left as it is. What has
    no name of its own is copied into memory, where it is as long as this object.

    Args:
        modalities: the model's.
        sensors: name of a modality -> a file name, a folder or a glob; an open rasterio dataset; a `SceneArray`, or its
            (array, transform, crs) or (array, transform, crs, nodata); a list of these; None if it is missing.

    Raises:
        ValueError: if a name is no modality's, or something is none of these.
        MissingFileError: see `find_files`.
    """

    def __init__(self, modalities: ModalitySet, sensors: Mapping[str, Any]):
        modalities.check_subset(sensors, "the scene")
        #: name of a modality -> rasters; those that are missing are left out
        self.names: dict[str, list[str]] = {}
        self._memory: list[_Memory] = []
        for sensor, given in sensors.items():
            if given is None:
                continue
            self.names[sensor] = [name for one in _listed(given) for name in self._names(sensor, one)]
            if not self.names[sensor]:
                raise InputError(
                    f"{sensor!r} is an empty list, expected at least one raster; None if the sensor is missing."
                )

    def _names(self, sensor: str, given: Any) -> list[str]:
        if isinstance(given, (str, os.PathLike)):
            return find_files(given)
        if isinstance(given, (DatasetReader, WarpedVRT)) and _opens_alike(given, sensor):
            return [given.name]
        memory = _in_memory(sensor, given)
        self._memory.append(memory)
        return [memory.name]


class _Memory:
    """A name in GDAL's memory, which is free again when this object is gone."""

    def __init__(self, sensor: str, ending: str):
        self.name = f"/vsimem/{uuid.uuid4().hex}/{sensor}{ending}"
        weakref.finalize(self, _delete, self.name).atexit = False


def _delete(name: str) -> None:
    with contextlib.suppress(*GDAL_ERRORS), quiet_gdal():  # there is nothing if writing it has failed
        rasterio.shutil.delete(name)


def _listed(given: Any) -> Iterator[Any]:
    """One or several rasters, one after the other."""
    if isinstance(given, tuple) and given and hasattr(given[0], "__array__"):
        if len(given) not in (3, 4):
            raise InputError(f"an array comes with {len(given) - 1} more items, expected (array, transform, crs[, nodata]).")
        yield SceneArray(*given)
    elif isinstance(given, (list, tuple)):
        for one in given:
            yield from _listed(one)
    else:
        yield given


def _opens_alike(dataset: DatasetReader | WarpedVRT, sensor: str) -> bool:
    """Whether a dataset's name stands for it; not of one that was opened with options, or is computed."""
    if dataset.closed:
        raise InputError(f"the dataset {dataset.name!r} of {sensor!r} is closed, expected one that is open.")
    try:
        with quiet_gdal(), rasterio.open(dataset.name) as file:
            return all(
                getattr(file, what) == getattr(dataset, what)
                for what in ("shape", "transform", "crs", "dtypes", "nodatavals", "descriptions")
            )
    except (*GDAL_ERRORS, TypeError, OSError):
        return False


def _in_memory(sensor: str, given: Any) -> _Memory:
    """A raster without a name of its own, under one in memory."""
    if isinstance(given, WarpedVRT):
        memory = _Memory(sensor, ".vrt")  # what it is made of and how, not its pixels
        rasterio.shutil.copy(given, memory.name, driver="VRT")
        return memory
    memory = _Memory(sensor, ".tif")
    if isinstance(given, DatasetReader):
        rasterio.shutil.copy(given, memory.name, driver="GTiff", tiled=True, bigtiff="if_safer")
    elif isinstance(given, SceneArray):
        _write_array(memory.name, sensor, given)
    else:
        raise InputError(
            f"{sensor!r} is given as {type(given).__name__}, expected a file name, a dataset of rasterio that is open for "
            "reading, (array, transform, crs), or a list of these."
        )
    return memory


def _write_array(name: str, sensor: str, given: SceneArray) -> None:
    bands = np.ma.asanyarray(given.array) if np.ma.isMaskedArray(given.array) else np.asarray(given.array)
    bands = bands[None] if bands.ndim == 2 else bands
    if bands.ndim != 3 or not bands.size:
        raise InputError(
            f"{sensor!r} is an array of shape {np.shape(given.array)}, expected [C, H, W] or [H, W] with a pixel."
        )
    if not isinstance(given.transform, Affine):
        raise InputError(
            f"the transform of {sensor!r} is {type(given.transform).__name__}, expected an Affine, "
            "e.g. rasterio.transform.from_origin(left, top, pixel_width, pixel_height)."
        )
    if given.bands and (isinstance(given.bands, str) or len(given.bands) != len(bands)):
        raise InputError(f"the bands of {sensor!r} are {given.bands!r}, expected a list of {len(bands)}, the name of each.")
    crs = read_crs(given.crs, f"the crs of {sensor!r}")
    bands = bands.astype(STORED_AS.get(bands.dtype.name, bands.dtype.newbyteorder("=")), copy=False)
    with quiet_gdal(), rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        try:
            with rasterio.open(
                name,
                "w",
                driver="GTiff",
                count=len(bands),
                height=bands.shape[1],
                width=bands.shape[2],
                dtype=bands.dtype,
                crs=crs,
                transform=given.transform,
                nodata=given.nodata,
                tiled=True,
                bigtiff="if_safer",
            ) as file:
                file.write(np.ma.getdata(bands))
                for number, band in enumerate(given.bands, start=1):
                    file.set_band_description(number, band)
                if np.ma.isMaskedArray(bands):
                    file.write_mask(~np.ma.getmaskarray(bands).any(axis=0))
        except (*GDAL_ERRORS, TypeError, ValueError, KeyError) as error:  # rasterio has many kinds for what no file can hold
            raise InputError(f"{sensor!r} is an array of {bands.dtype}, nodata {given.nodata}: {error}") from error


def read_crs(given: Any, what: str) -> CRS | None:
    """A coordinate system from whatever rasterio takes for one, such as "EPSG:32633"; None stays None.

    Args:
        what: what it is of, for the message.

    Raises:
        InputError: if it is none.
    """
    if given is None:
        return None
    try:
        return CRS.from_user_input(given)
    except ValueError as error:  # CRSError is one, and "EPSG:x" is another
        raise InputError(f"{what} is {given!r}, expected a coordinate system such as EPSG:32633.") from error
