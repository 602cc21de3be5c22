"""Measurements that a config's MEAN and STD do not fit: to the model such a sensor is little but a constant."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from imrsf_d2.data.windows import Windows
from imrsf_d2.geo.decibel import to_db
from imrsf_d2.modalities import Modality

__all__ = ["OtherUnit", "check_values", "is_normalized", "normalized", "other_unit"]

logger = logging.getLogger(__name__)

# In standard deviations of the config: a band whose median is farther from the mean, and whose middle half is narrower, is
# in another unit. Ground at exactly 0 m is as narrow, but near the mean; mountains are far from it, but not narrow. So is one
# whose median is beyond all that is seen on Earth with the right statistics (snow is at 11), however its values vary.
FAR, NARROW, BEYOND = 3.0, 0.05, 20.0


@dataclass(frozen=True)
class OtherUnit:
    """A band whose values a modality's MEAN and STD do not fit.

    Args:
        band: its name, e.g. "band 1".
        width: of the middle half of its values, in standard deviations of the modality.
        median: of its values, in standard deviations from the mean.
        mean, std: the modality's, for the message.
    """

    band: str
    width: float
    median: float
    mean: float
    std: float

    def __str__(self) -> str:
        return (
            f"half of the values of {self.band} lie within {self.width:.2g} standard deviations of each other, around "
            f"{self.median:.3g} standard deviations from the mean (MEAN {self.mean:g}, STD {self.std:g})"
        )


def other_unit(files: Sequence[np.ndarray], modality: Modality, beyond: float = math.inf) -> list[OtherUnit]:
    """The bands whose values are in another unit than a modality's MEAN and STD.

    Args:
        files: normalized values [C, n] of each file (see `normalized`).
        modality: which they are of.
        beyond: bands whose median is farther from the mean are, too, however their values vary.
    """
    values = np.concatenate([np.empty((modality.channels, 0)), *files], axis=1)
    if not values.size:
        return []
    low, median, high = np.quantile(values, (0.25, 0.5, 0.75), axis=1)
    away = np.abs(median)
    wrong = np.flatnonzero((away > beyond) | ((away > FAR) & (high - low < NARROW))).tolist()
    return [
        OtherUnit(modality.band_name(i), float(high[i] - low[i]), float(median[i]), modality.mean[i], modality.std[i])
        for i in wrong
    ]


def check_values(windows: Windows, modalities: Iterable[Modality]) -> None:
    """Warn of modalities whose MEAN and STD are in another unit than their files.

    Args:
        windows: of a dataset, see `read_windows`.
        modalities: those that were read; categorical ones have no unit.
    """
    for modality in modalities:
        files = [normalized(values, modality) for values in windows.get(modality.name, {}).values()]
        files = [values for values in files if values.size]
        if found := other_unit(files, modality, BEYOND if is_normalized(modality) else math.inf):
            logger.warning(
                "Modality %r: in the %d files looked at, %s: MEAN and STD are in another unit or of other data, and to the model "
                "this band is little but a constant. A file's SCALE and OFFSET are applied when it is read; "
                "tools/compute_statistics.py measures MEAN and STD. A config that lists modalities keeps its own; those of a dataset.yaml "
                "are taken by one that lists none (instance, semantic, instance_best, semantic_best, panoptic, pretrain).",
                modality.name,
                len(files),
                found[0],
            )


def is_normalized(modality: Modality) -> bool:
    """Whether MEAN and STD change anything; otherwise they say nothing of the data."""
    return any(modality.mean) or set(modality.std) != {1.0}


def normalized(values: np.ndarray, modality: Modality) -> np.ndarray:
    """[C, m] in standard deviations from the mean, after TRANSFORM and CLIP, of values [C, n] before them."""
    if modality.transform == "db":
        values = to_db(values[:, (values > 0).all(axis=0)])
    if modality.clip is not None:
        values = np.clip(values, *modality.clip)
    return (values - np.reshape(modality.mean, (-1, 1))) / np.reshape(modality.std, (-1, 1))
