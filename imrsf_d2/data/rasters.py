"""From a raster file to model units: bands, and a validity mask that says which pixels hold data.

Validity is decided on the raw values, in this order; a pixel that fails one test is invalid in all its bands:
1. the file's own mask (internal, or a `.msk` file);
2. the file's no-data tag: in every band for 8-bit data, where the tag is also an ordinary value (black, or 255 in one
   channel of a red roof); in any band otherwise, where it is a sentinel such as -9999 that must not leak into a mean;
3. `Modality.nodata` in every band (all-black RGB);
4. NaN or infinity in any band, before or after the transform. "db" has none for a power of zero or below: no echo was
   recorded there, and any floor value would be an invention of ours.
Invalid pixels are overwritten with the band's mean (class 0 for a categorical modality), so that they are harmless
even to code that ignores validity.
"""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator, Mapping

import numpy as np
import rasterio
from rasterio.enums import MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from imrsf_d2.modalities import Modality, ModalitySet

__all__ = ["RasterError", "Raster", "read_raster", "check_same_size", "assemble"]

#: bands [C, H, W] float32 in model units before normalisation, validity [H, W] bool (True = holds data)
Raster = tuple[np.ndarray, np.ndarray]


class RasterError(ValueError):
    """A file that cannot be read: truncated, corrupt, not a raster, or gone. `path` and `reason` say which and why."""

    # One positional argument is enough, so that the error survives the way out of a data loader's worker process.
    def __init__(self, message: str, path: str = "", reason: str = ""):
        super().__init__(message)
        self.path, self.reason = path, reason


def read_raster(path: str | os.PathLike, modality: Modality) -> Raster:
    """Read one modality of one sample.

    Args:
        path: anything GDAL opens, of any real data type; a missing georeference is fine.
        modality: says how many bands there are and what their values mean.

    Returns:
        bands [C, H, W] float32 after transform and clip, not normalised; validity [H, W] bool, True = holds data.

    Raises:
        RasterError: if the file cannot be read.
        ValueError: if it is readable but not this modality: another number of bands, complex values, or values that
            are no class index.
    """
    path = os.fspath(path)
    raw, valid = _read(path, modality)
    if modality.nodata is not None:
        valid &= ~(raw == modality.nodata).all(axis=0)
    # A float64 sentinel such as -1.8e308 becomes infinite here, which is what makes it invalid below.
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        bands = raw.astype(np.float32)
        if modality.transform == "db":
            np.log10(bands, out=bands)
            bands *= 10.0
    if raw.dtype.kind == "f" or modality.transform == "db":
        valid &= np.isfinite(bands).all(axis=0)
    if modality.categorical:
        _check_classes(path, modality, bands[:, valid])
    if modality.clip is not None:
        np.clip(bands, *modality.clip, out=bands)
    if not valid.all():
        bands[:, ~valid] = np.asarray(modality.mean, dtype=np.float32)[:, None]
    return bands, valid


def check_same_size(rasters: Mapping[str, Raster], paths: Mapping[str, str], sample: object) -> None:
    """See that all modalities of a sample lie on one pixel grid.

    Args:
        rasters: what was read, by modality.
        paths: where it was read from.
        sample: image id, for the message.

    Raises:
        ValueError: naming two files that differ, and their sizes.
    """
    (first, (_, reference)), *others = rasters.items()
    for name, (_, valid) in others:
        if valid.shape != reference.shape:
            raise ValueError(f"{name!r} of image {sample!r} is {size_text(valid.shape)} ({paths[name]}), expected "
                             f"{size_text(reference.shape)} like {first!r} ({paths[first]}). All modalities of a "
                             "sample must be on one pixel grid: resample one of them.")


def assemble(modalities: ModalitySet, rasters: Mapping[str, Raster], size: tuple[int, int] | None = None) -> np.ndarray:
    """Put a sample's modalities into the one tensor that travels.

    Args:
        modalities: the model's modalities.
        rasters: bands and validity of those present, all of one size.
        size: (H, W); needed only when no modality is present.

    Returns:
        [C + M, H, W] float32: the bands in config order, then one validity channel per modality (1 = holds data). An
        absent modality has validity 0 and its bands hold the mean.
    """
    height, width = next(iter(rasters.values()))[1].shape if rasters else size
    image = np.empty((modalities.num_channels, height, width), dtype=np.float32)
    for modality in modalities:
        if modality.name in rasters:
            bands, valid = rasters[modality.name]
        else:
            bands, valid = np.asarray(modality.mean, dtype=np.float32)[:, None, None], 0.0
        image[modalities.bands(modality.name)] = bands
        image[modalities.validity(modality.name)] = valid
    return image


def size_text(shape: tuple[int, int]) -> str:
    """A size as people write it: width x height."""
    return f"{shape[1]} x {shape[0]} px"


def _read(path: str, modality: Modality) -> Raster:
    """The raw values [C, H, W] in the file's data type, and validity from what the file itself says (tests 1 and 2)."""
    try:
        with _quiet_gdal(), rasterio.open(path) as file:
            if file.count != modality.channels:
                raise ValueError(f"{path} has {file.count} bands, expected {modality.channels} for "
                                 f"modality {modality.name!r} (MODEL.IMRSF.MODALITIES, CHANNELS).")
            if np.dtype(file.dtypes[0]).kind == "c":
                raise ValueError(f"{path} holds complex values ({file.dtypes[0]}), expected real ones for modality "
                                 f"{modality.name!r}: convert it to power.")
            raw, tags = file.read(), file.nodatavals
            own_mask = any(MaskFlags.per_dataset in flags and MaskFlags.all_valid not in flags
                           for flags in file.mask_flag_enums)
            valid = file.dataset_mask() > 0 if own_mask else np.ones(raw.shape[1:], dtype=bool)
    except (RasterioError, OSError) as error:
        # rasterio's own words are often "See previous exception for details".
        reason = str(error.__cause__ or error).rstrip(".")
        raise RasterError(f"cannot read {path} ({modality.name!r}): {reason}. The file may be truncated or corrupt; "
                          "fetch or write it again.", path, reason) from error
    if any(tag is not None for tag in tags):
        empty = np.stack([band == tag if tag is not None else np.zeros(band.shape, dtype=bool)
                          for band, tag in zip(raw, tags)])
        valid &= ~(empty.all(axis=0) if raw.dtype.itemsize == 1 else empty.any(axis=0))
    return raw, valid


@contextlib.contextmanager
def _quiet_gdal() -> Iterator[None]:
    """GDAL set up for many small files, and without remarks that would come again in every epoch."""
    log = logging.getLogger("rasterio._env")
    drop = logging.Filter("nothing has this name")  # what is fatal arrives as an exception
    log.addFilter(drop)
    try:
        # TRUE: GDAL need not list a folder of thousands of tiles to find a file's side-cars; it still asks for each.
        with warnings.catch_warnings(), rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="TRUE"):
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            yield
    finally:
        log.removeFilter(drop)


def _check_classes(path: str, modality: Modality, values: np.ndarray) -> None:
    wrong = values[(values < 0) | (values >= modality.classes) | (values != np.rint(values))]
    if wrong.size:
        raise ValueError(f"{path} holds {wrong.flat[0]:g}, expected class indices from 0 to {modality.classes - 1} for "
                         f"modality {modality.name!r}. If this value means 'no data', give it as NODATA in "
                         "MODEL.IMRSF.MODALITIES.")
