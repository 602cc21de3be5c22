"""Which of a sample's modalities a training step sees."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from imrsf_d2.utils.errors import InputError

__all__ = ["STRATEGIES", "VIEWS", "draw_subset", "draw_views"]

#: The values of INPUT.MODALITY_DROPOUT.STRATEGY.
STRATEGIES = ("uniform", "uniform_size")
#: Those of INPUT.MODALITY_DROPOUT.VIEWS.
VIEWS = ("drawn", "complete", "incomplete")


def draw_subset(available: Sequence[str], rng: np.random.Generator, strategy: str = "uniform") -> tuple[str, ...]:
    """Draw a non-empty subset of the modalities that a sample has (paper, III-F).

    Args:
        available: their names.
        rng: the sample's own generator.
        strategy: "uniform" draws each of the 2^n - 1 non-empty subsets with equal probability; "uniform_size" draws first
            the size, 1 to n, then a subset of that size.

    Returns:
        The subset in the order of `available`; empty only if nothing is available.

    Raises:
        ValueError: if the strategy is unknown.
    """
    if strategy not in STRATEGIES:
        raise InputError(f"INPUT.MODALITY_DROPOUT.STRATEGY is {strategy!r}, expected one of {STRATEGIES}.")
    count = len(available)
    if count == 0:
        return ()
    if strategy == "uniform":
        # The bits of 1 .. 2^n - 1 are the non-empty subsets.
        code = int(rng.integers(1, 2**count))
        return tuple(name for bit, name in enumerate(available) if code >> bit & 1)
    size = int(rng.integers(1, count + 1))
    chosen = set(rng.permutation(count)[:size].tolist())
    return tuple(name for position, name in enumerate(available) if position in chosen)


def draw_views(
    available: Sequence[str], rng: np.random.Generator, strategy: str, views: Sequence[str] = ("drawn",)
) -> list[tuple[str, ...]]:
    """Draw the subsets of a sample's modalities that one training step sees.

    Args:
        available, rng, strategy: see `draw_subset`.
        views: of `VIEWS`: "drawn" is `draw_subset`'s; "complete" all that are available; "incomplete" is `draw_subset`'s, drawn
            again until something is left out, or the only modality.

    Returns:
        One subset for each view.
    """
    drawn = []
    for view in views:
        subset = tuple(available) if view == "complete" else draw_subset(available, rng, strategy)
        while view == "incomplete" and len(subset) == len(available) > 1:
            subset = draw_subset(available, rng, strategy)
        drawn.append(subset)
    return drawn
