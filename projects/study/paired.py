"""Differences between two models, with bootstrap intervals over the test images and over the training runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from imrsf_d2.evaluation.bootstrap import interval, resample_counts
from imrsf_d2.evaluation.summary import Estimate

__all__ = ["RESAMPLES", "draws", "paired_difference", "run_measure"]

#: Resamples of the images and runs. Each means ten scores per run and subset.
RESAMPLES = 300


def draws(num_images: int, num_runs: int, resamples: int = RESAMPLES, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Resamples of images and of runs; the first is everything once.

    Returns:
        counts [1 + R, I], how often each image is drawn, and runs [1 + R, n], which runs are drawn.
    """
    counts = np.concatenate([np.ones((1, num_images), dtype=np.int64), resample_counts(num_images, resamples, seed)])
    drawn = np.random.default_rng([seed, 1]).integers(num_runs, size=(resamples, num_runs))
    return counts, np.concatenate([np.arange(num_runs)[None], drawn])


def run_measure(values: np.ndarray, runs: np.ndarray) -> Estimate:
    """The mean of a measure over runs.

    Args:
        values: [n, 1 + R] of each run on each resample of the images.
        runs: [1 + R, n] of `draws`.
    """
    means = np.take_along_axis(values.T, runs, axis=1).mean(axis=1)
    return Estimate(float(means[0]), *interval(means[1:]))


def paired_difference(first: Mapping[Any, np.ndarray], second: Mapping[Any, np.ndarray]) -> Estimate | None:
    """Mean difference of a measure between two models over the runs that both have.

    Runs of one key (training seed and data seed) have the same data, order of samples and random subsets in both models. Both
    models are looked at on the same resamples of images and runs, so that what all share cancels out.

    Args:
        first, second: key of a run -> [1 + R] its measure on each resample of the images.

    Returns:
        None if no run has a partner; without an interval (NaN) over a single one.
    """
    keys = [key for key in first if key in second]
    if not keys:
        return None
    values = np.stack([first[key] - second[key] for key in keys])
    _, runs = draws(1, len(keys), values.shape[1] - 1)
    estimate = run_measure(values, runs)
    return estimate if len(keys) > 1 else Estimate(estimate.value)
