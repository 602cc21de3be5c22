"""The bootstrap over images: how much a score depends on which images are in the dataset."""

from __future__ import annotations

import numpy as np

__all__ = ["LEAST_IMAGES", "LEVEL", "interval", "resample_counts"]

#: Fraction of the resamples that an interval contains.
LEVEL = 0.95
#: Resamples of fewer images are much the same few again, and an interval of their scores means nothing.
LEAST_IMAGES = 5


def resample_counts(num_images: int, resamples: int, seed: int) -> np.ndarray:
    """Draw bootstrap resamples: each time as many images as there are, with replacement.

    Args:
        num_images: I.
        resamples: R.
        seed: of the draws; scores can be compared only on the same draws.

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
        values: [R]; NaN, where the score of a resample is not defined, is left out.
        level: fraction of the values that the interval contains.

    Returns:
        (low, high); NaN if all values are.
    """
    known = values[~np.isnan(values)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
