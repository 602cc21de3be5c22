"""Arrays of the sensors of one sample, as the image that the model takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from rasterio.transform import Affine

from imrsf_d2.data.reading import assemble
from imrsf_d2.geo.rasters import Raster, read_raster, size_text
from imrsf_d2.inference.sensors import NamedRasters, SceneArray
from imrsf_d2.modalities import ModalitySet
from imrsf_d2.utils.errors import InputError

__all__ = ["image_of_arrays"]


def image_of_arrays(modalities: ModalitySet, sensors: Mapping[str, Any]) -> np.ndarray:
    """Read arrays by the rules of files (see `imrsf_d2.geo.rasters`).

    Args:
        modalities: the model's.
        sensors: name of a modality -> array [C, H, W] or [H, W] of its bands, or None; those left out are missing too.

    Returns:
        [C + M, H, W], see `assemble`.

    Raises:
        ValueError: if a name is no modality's, no sensor is there, an array does not fit its modality, or sizes differ.
    """
    modalities.check_subset(sensors, "the sample")
    rasters = {name: _read(modalities, name, array) for name, array in sensors.items() if array is not None}
    if not rasters:
        raise InputError(f"the sample has no sensor, expected an array of one of {list(modalities.names)}.")
    sizes = {name: valid.shape for name, (_, valid) in rasters.items()}
    first, size = next(iter(sizes.items()))
    for name, other in sizes.items():
        if other != size:
            raise InputError(
                f"{name!r} is {size_text(other)}, expected {size_text(size)} like {first!r}: all sensors of a sample must be on "
                "one pixel grid. imrsf_d2.inference.ScenePredictor resamples georeferenced rasters."
            )
    return assemble(modalities, rasters, size)


def _read(modalities: ModalitySet, name: str, array: Any) -> Raster:
    # The array holds the modality's bands, in their order, whichever of a file they are.
    modality = replace(modalities[name], bands=(), display=())
    stored = np.asanyarray(array)
    stored = stored[None] if stored.ndim == 2 else stored
    if stored.ndim != 3 or len(stored) != modality.channels:
        raise InputError(
            f"{name!r} is an array of shape {list(np.shape(array))}, expected [{modality.channels}, H, W]"
            f"{' or [H, W]' if modality.channels == 1 else ''}: its bands first."
        )
    held = NamedRasters(modalities, {name: SceneArray(stored, Affine.identity())})
    (path,) = held.names[name]
    try:
        return read_raster(path, modality)
    except InputError as error:  # which names a file that its reader has never heard of
        raise InputError(str(error).replace(path, f"the array of {name!r}")) from error
