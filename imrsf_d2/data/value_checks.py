"""Measurements that a config's statistics do not fit: to the model such a sensor is one constant."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from imrsf_d2.data.decibel_checks import middle_window, some_files
from imrsf_d2.geo.rasters import RasterError, read_raster
from imrsf_d2.modalities import Modality

__all__ = ["check_values"]

logger = logging.getLogger(__name__)

# In standard deviations of the config: a band whose median is farther from the mean, and whose middle half is narrower, is
# in another unit. Ground at exactly 0 m is as narrow, but near the mean; mountains are far from it, but not narrow.
FAR, NARROW = 3.0, 0.05


def check_values(samples: Sequence[Mapping[str, str | None]], modalities: Iterable[Modality]) -> None:
    """Look into some files of each modality, and warn where MEAN and STD are of another unit; reads a few windows.

    Args:
        samples: path of each modality's file, None or no key where a sample lacks the sensor.
        modalities: those to be read.

    Raises:
        InputError: if a file contradicts its modality.
    """
    for modality in modalities:
        values = (
            []
            if modality.categorical
            else [value for path in some_files(samples, modality.name) if (value := _normalized(path, modality)) is not None]
        )
        if not values:
            continue
        low, median, high = np.quantile(np.concatenate(values, axis=1), (0.25, 0.5, 0.75), axis=1)
        wrong = np.flatnonzero((np.abs(median) > FAR) & (high - low < NARROW))
        if len(wrong):
            band = int(wrong[0])
            logger.warning(
                "Modality %r: in the %d files looked at, half the values of band %d lie within %.2g standard "
                "deviations around %.3g of them from the mean, by MEAN %g and STD %g: they are of another unit, and "
                "to the model this band is a constant. A file's SCALE and OFFSET are applied when it is read; "
                "tools/compute_statistics.py measures MEAN and STD.",
                modality.name,
                len(values),
                band + 1,
                high[band] - low[band],
                median[band],
                modality.mean[band],
                modality.std[band],
            )


def _normalized(path: str, modality: Modality) -> np.ndarray | None:
    """[C, n] of the middle of a file; None if it holds nothing, or cannot be read, which is said elsewhere."""
    try:
        bands, valid = read_raster(path, modality, window=middle_window(path))
    except RasterError:
        return None
    shape = (-1, 1)
    return (bands[:, valid] - np.reshape(modality.mean, shape)) / np.reshape(modality.std, shape) if valid.any() else None
