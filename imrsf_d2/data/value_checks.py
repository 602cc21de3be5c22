"""Measurements that a config's MEAN and STD do not fit: to the model such a sensor is a constant."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import numpy as np

from imrsf_d2.data.windows import Windows
from imrsf_d2.geo.decibel import to_db
from imrsf_d2.modalities import Modality

__all__ = ["check_values"]

logger = logging.getLogger(__name__)

# In standard deviations of the config: a band whose median is farther from the mean, and whose middle half is narrower, is
# in another unit. Ground at exactly 0 m is as narrow, but near the mean; mountains are far from it, but not narrow.
FAR, NARROW = 3.0, 0.05


def check_values(windows: Windows, modalities: Iterable[Modality]) -> None:
    """Warn of modalities whose MEAN and STD are in another unit than their files.

    Args:
        windows: of a dataset, see `read_windows`.
        modalities: those that were read; categorical ones have no unit.
    """
    for modality in modalities:
        files = [_normalized(values, modality) for values in windows.get(modality.name, {}).values()]
        files = [values for values in files if values.size]
        if not files:
            continue
        low, median, high = np.quantile(np.concatenate(files, axis=1), (0.25, 0.5, 0.75), axis=1)
        wrong = np.flatnonzero((np.abs(median) > FAR) & (high - low < NARROW))
        if len(wrong):
            band = int(wrong[0])
            logger.warning(
                "Modality %r: in the %d files looked at, half of the values of band %d lie within %.2g standard "
                "deviations of each other, around %.3g standard deviations from the mean (MEAN %g, STD %g): they are in "
                "another unit, and to the model this band is a constant. A file's SCALE and OFFSET are applied when it is "
                "read; tools/compute_statistics.py measures MEAN and STD.",
                modality.name,
                len(files),
                band + 1,
                high[band] - low[band],
                median[band],
                modality.mean[band],
                modality.std[band],
            )


def _normalized(values: np.ndarray, modality: Modality) -> np.ndarray:
    """[C, m] in standard deviations from the mean, after TRANSFORM and CLIP, of values [C, n] before them."""
    if modality.transform == "db":
        values = to_db(values[:, (values > 0).all(axis=0)])
    if modality.clip is not None:
        values = np.clip(values, *modality.clip)
    return (values - np.reshape(modality.mean, (-1, 1))) / np.reshape(modality.std, (-1, 1))
