"""Means and differences over training runs, with intervals that know both few runs and few test images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from scipy.stats import t

from imrsf_d2.evaluation.bootstrap import LEVEL, resample_counts
from imrsf_d2.evaluation.summary import Estimate

__all__ = ["LEAST_RUNS", "RESAMPLES", "Difference", "image_counts", "over_runs", "paired_difference"]

Key = TypeVar("Key")
#: Bootstrap resamples of the images, from which their variance is known to a seventh. Each means eleven scores per run and subset.
RESAMPLES = 100
#: Fewer runs get no interval: how much two runs differ says next to nothing about how much runs do.
LEAST_RUNS = 3


@dataclass(frozen=True)
class Difference:
    """Of two models.

    Args:
        estimate: its mean over common runs.
        runs: how many these are.
    """

    estimate: Estimate
    runs: int

    @property
    def verdict(self) -> str:
        """ "better", "worse" or "not clear" of the first model; empty without an interval."""
        if math.isnan(self.estimate.low):
            return ""
        return "better" if self.estimate.low > 0 else "worse" if self.estimate.high < 0 else "not clear"


def image_counts(num_images: int, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """How often each image is drawn: [1 + R, I], of which the first row is every image once and the others are bootstrap resamples."""
    return np.concatenate([np.ones((1, num_images), dtype=np.int64), resample_counts(num_images, resamples, seed)])


def over_runs(values: Sequence[np.ndarray]) -> Estimate:
    """The mean of a measure over runs, with the interval that it would have over other runs and other test images.

    The variance of the mean is that over runs, s² / n, plus that over bootstrap resamples of the images; the interval is
    Student's, with Satterthwaite's degrees of freedom. A bootstrap of three to five runs would be too narrow: where there is no
    difference, it calls 9 to 26 % clear instead of 5 %.

    Args:
        values: n runs, [1 + R] of each: on all images and on each resample. Where resamples are not known, [1]; the variance over
            images is then that of the mean of the other runs.

    Returns:
        Without an interval (NaN) from fewer than `LEAST_RUNS` runs, without any run with resamples, and where the measure is not
        defined for some run.
    """
    count = len(values)
    points = np.array([own[0] for own in values])
    mean = float(points.mean())
    resampled = [own[1:] for own in values if len(own) > 1]
    if count < LEAST_RUNS or not resampled or math.isnan(mean):
        return Estimate(mean)
    of_runs = float(points.var(ddof=1)) / count
    of_images = float(np.nanvar(np.mean(resampled, axis=0), ddof=1))
    variance = of_runs + of_images
    freedom = variance**2 / (of_runs**2 / (count - 1)) if of_runs else math.inf
    half = float(t.ppf((1 + LEVEL) / 2, freedom)) * math.sqrt(variance)
    return Estimate(mean, mean - half, mean + half)


def paired_difference(first: Mapping[Key, np.ndarray], second: Mapping[Key, np.ndarray]) -> Difference | None:
    """Mean difference of a measure between two models over the runs that both have.

    Runs of one key (training seed and data seed) have the same data in the same order, and where both models draw subsets of
    the sensors alike also the same subsets and augmentation. Both are looked at on the same resamples of the images, so that
    what they share cancels out.

    Args:
        first, second: key of a run -> [1 + R] its measure on all images and on each resample, or [1] on all images alone.

    Returns:
        None if no run has a partner.
    """
    keys = [key for key in first if key in second]
    if not keys:
        return None
    return Difference(over_runs([_minus(first[key], second[key]) for key in keys]), len(keys))


def _minus(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """What both are known on."""
    known = min(len(first), len(second))
    return first[:known] - second[:known]
