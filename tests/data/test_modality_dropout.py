from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from imrsf_d2.data.modality_dropout import STRATEGIES, draw_subset, draw_views

NAMES = ("sar", "rgb", "dsm")
SUBSETS = [subset for size in (1, 2, 3) for subset in combinations(NAMES, size)]
DRAWS = 7000


def frequencies(strategy):
    # One generator per draw, as the mapper has it: neighboring seeds must not correlate.
    return Counter(draw_subset(NAMES, np.random.default_rng([0, draw]), strategy) for draw in range(DRAWS))


def test_uniform_means_every_subset_equally_often():
    counts = frequencies("uniform")
    assert set(counts) == set(SUBSETS)
    chi_square = sum((counts[s] - DRAWS / 7) ** 2 / (DRAWS / 7) for s in SUBSETS)
    assert chi_square < 22.5  # 6 degrees of freedom: exceeded once in 1000 by chance; the seeds are fixed


def test_uniform_size_means_every_size_equally_often():
    counts = frequencies("uniform_size")
    expected = {subset: DRAWS / 3 / {1: 3, 2: 3, 3: 1}[len(subset)] for subset in SUBSETS}
    assert sum((counts[s] - expected[s]) ** 2 / expected[s] for s in SUBSETS) < 22.5


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_never_empty_if_something_is_there(strategy):
    for available in SUBSETS:
        for draw in range(50):
            subset = draw_subset(available, np.random.default_rng(draw), strategy)
            assert subset and subset == tuple(name for name in available if name in subset)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_nothing_available_gives_nothing(strategy):
    assert draw_subset((), np.random.default_rng(0), strategy) == ()


def test_an_unknown_strategy_is_named():
    with pytest.raises(ValueError, match=r"STRATEGY is 'bernoulli', expected one of \('uniform', 'uniform_size'\)"):
        draw_subset(NAMES, np.random.default_rng(0), "bernoulli")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_views_are_complete_incomplete_or_drawn_as_without_views(strategy):
    counts = Counter()
    for draw in range(DRAWS):
        complete, incomplete, drawn = draw_views(
            NAMES, np.random.default_rng([0, draw]), strategy, ("complete", "incomplete", "drawn")
        )
        assert complete == NAMES
        counts[incomplete] += 1
        assert draw_views(NAMES, np.random.default_rng(draw), strategy) == [
            draw_subset(NAMES, np.random.default_rng(draw), strategy)
        ]
        assert drawn in SUBSETS
    assert set(counts) == set(SUBSETS) - {NAMES}
    assert sum((counts[s] - DRAWS / 6) ** 2 / (DRAWS / 6) for s in counts) < 20.5  # 5 degrees of freedom: once in 1000
    assert draw_views(("sar",), np.random.default_rng(0), strategy, ("incomplete",)) == [("sar",)]
