"""How much a score owes to the images that happened to be in the dataset: the bootstrap over images."""

from __future__ import annotations

import numpy as np

__all__ = ["LEVEL", "interval", "resample_counts"]

#: Share of the resamples that an interval holds.
LEVEL = 0.95


def resample_counts(num_images: int, resamples: int, seed: int) -> np.ndarray:
    """Draw as many images as there are, with replacement, many times.

    Args:
        num_images: I.
        resamples: R.
        seed: of the draws. Scores that are to be compared must be of the same draws.

    Returns:
        [R, I] int64: how often each image was drawn; each row sums to I.
    """
    drawn = np.random.default_rng(seed).integers(num_images, size=(resamples, num_images))
    return (
        np.stack([np.bincount(row, minlength=num_images) for row in drawn])
        if resamples
        else np.zeros((0, num_images), dtype=np.int64)
    )


def interval(values: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """The percentile interval of resampled values.

    Args:
        values: [R]; NaN where a resample has no score, which is left out.

    Returns:
        (low, high); NaN without a single value.
    """
    known = values[~np.isnan(values)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
