"""What each modality is worth: its mean gain over all orders in which the modalities could be added."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from imrsf_d2.utils.errors import InputError

__all__ = ["shapley_values"]


def shapley_values(names: Sequence[str], scores: Mapping[tuple[str, ...], np.ndarray | float]) -> dict[str, np.ndarray]:
    """The exact Shapley value of each modality.

    phi_i is the mean over all M! orders of the modalities of score(those before i, and i) - score(those before i). The
    values sum to score(all) - score(none).

    Args:
        names: the M modalities, in the order in which the keys of `scores` name them.
        scores: of all 2^M subsets, the empty one too; numbers, or arrays of one shape to do many at once.

    Returns:
        name -> value, of the scores' shape.

    Raises:
        ValueError: if a subset has no score.
    """
    subsets = [subset for size in range(len(names) + 1) for subset in itertools.combinations(names, size)]
    missing = [subset for subset in subsets if subset not in scores]
    if missing:
        raise InputError(
            f"Shapley values of {', '.join(names)} need the scores of all {len(subsets)} subsets; "
            f"{'+'.join(missing[0]) or 'the empty one'} has none."
        )
    values = {}
    for name in names:
        value = 0.0
        for subset in subsets:
            if name not in subset:
                larger = tuple(other for other in names if other in subset or other == name)
                # The share of the orders in which exactly `subset` comes before `name`.
                share = 1 / (len(names) * math.comb(len(names) - 1, len(subset)))
                value = value + share * (np.asarray(scores[larger]) - np.asarray(scores[subset]))
        values[name] = value
    return values
