"""Shapley values: the contribution of each modality to a score."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from imrsf_d2.utils.errors import InputError

__all__ = ["shapley_values"]


def shapley_values(names: Sequence[str], scores: Mapping[tuple[str, ...], np.ndarray | float]) -> dict[str, np.ndarray]:
    """The exact Shapley value of each modality.

    phi_i is the mean of score(before i, and i) - score(before i) over all M! orders of the modalities, where "before i"
    are the modalities that precede i. The values sum to score(all) - score(none).

    Args:
        names: the M modalities, in their order in the keys of `scores`.
        scores: of all 2^M subsets including the empty one; numbers, or arrays of one shape for many scores at once.

    Returns:
        name -> value, in the shape of the scores.

    Raises:
        ValueError: if a subset has no score.
    """
    subsets = [subset for size in range(len(names) + 1) for subset in itertools.combinations(names, size)]
    missing = [subset for subset in subsets if subset not in scores]
    if missing:
        raise InputError(
            f"Shapley values of {', '.join(names)} need the scores of all {len(subsets)} subsets; "
            f"{'+'.join(missing[0]) or 'the empty subset'} has none."
        )
    values = {}
    for name in names:
        value = np.zeros(())
        for subset in subsets:
            if name not in subset:
                larger = tuple(other for other in names if other in subset or other == name)
                # The fraction of the orders in which exactly `subset` precedes `name`.
                share = 1 / (len(names) * math.comb(len(names) - 1, len(subset)))
                value = value + share * (np.asarray(scores[larger]) - np.asarray(scores[subset]))
        values[name] = value
    return values
