"""How good a model is if sensors fail, in the measures of the field, from its scores by subset of the sensors.

"Average" and "expectation" are those of Liao et al., "Benchmarking Multi-modal Semantic Segmentation under Sensor Failures" (CVPR
workshops 2025): all combinations equally probable, or each sensor failing by itself with probability p.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

__all__ = ["FAILURES", "MEASURES", "Subset", "robustness"]

Subset = tuple[str, ...]

#: Probabilities that a sensor fails.
FAILURES = (0.05, 0.1, 0.2)
#: The measures of `robustness` in the order of its result, by name.
MEASURES = ("complete", "incomplete", "worst", "last one", "average", *(f"E, p = {p:g}" for p in FAILURES))


def robustness(subsets: Sequence[Subset], score: Callable[[Subset], np.ndarray]) -> Mapping[str, np.ndarray]:
    """The measures of one model.

    Args:
        subsets: all non-empty subsets of the sensors.
        score: of a subset, for any number of resamples at once.

    Returns:
        "complete": with all sensors; "incomplete": the mean over the other subsets, "worst": the lowest of them; "last one": the
        mean over the single sensors; "average": the mean over all subsets; "E, p = ...": expected if each sensor fails by itself
        with this probability, where the score without any sensor is 0. Each of the shape of a score.

    Raises:
        ValueError: if a subset is missing.
    """
    complete = max(subsets, key=len)
    count = len(complete)
    if {frozenset(subset) for subset in subsets} != {
        frozenset(name for bit, name in enumerate(complete) if code >> bit & 1) for code in range(1, 2**count)
    }:
        raise ValueError(f"subsets are {list(subsets)}, expected all of {complete}.")
    scores = {subset: score(subset) for subset in subsets}
    incomplete = np.stack([values for subset, values in scores.items() if subset != complete])
    measures = {
        "complete": scores[complete],
        "incomplete": incomplete.mean(axis=0),
        "worst": incomplete.min(axis=0),
        "last one": np.stack([values for subset, values in scores.items() if len(subset) == 1]).mean(axis=0),
        "average": np.stack(list(scores.values())).mean(axis=0),
    }
    for p in FAILURES:
        terms = [p ** (count - len(subset)) * (1 - p) ** len(subset) * values for subset, values in scores.items()]
        measures[f"E, p = {p:g}"] = np.asarray(math.fsum(terms) if np.ndim(terms[0]) == 0 else np.sum(terms, axis=0))
    return measures
