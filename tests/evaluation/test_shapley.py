import itertools
import math

import numpy as np
import pytest

from imrsf_d2.evaluation.shapley import shapley_values


def all_subsets(names):
    return [subset for size in range(len(names) + 1) for subset in itertools.combinations(names, size)]


def by_orders(names, scores):
    """The definition: add the modalities in every order, and take the mean gain of each."""
    gains = dict.fromkeys(names, 0.0)
    for order in itertools.permutations(names):
        had = ()
        for name in order:
            now = tuple(n for n in names if n in (*had, name))
            gains[name] += scores[now] - scores[had]
            had = now
    return {name: gain / math.factorial(len(names)) for name, gain in gains.items()}


def test_two_sensors_by_hand():
    scores = {(): 0.0, ("a",): 10.0, ("b",): 20.0, ("a", "b"): 50.0}
    assert shapley_values("ab", scores) == pytest.approx({"a": (10 + 30) / 2, "b": (20 + 40) / 2})


@pytest.mark.parametrize("names", ["a", "ab", "abc", "abcd"])
def test_equals_the_mean_over_all_orders_and_sums_to_the_whole_gain(names):
    names = tuple(names)
    scores = dict(zip(all_subsets(names), np.random.default_rng(0).normal(size=2 ** len(names))))
    values = shapley_values(names, scores)
    assert values == pytest.approx(by_orders(names, scores))
    assert sum(values.values()) == pytest.approx(scores[names] - scores[()])


def test_many_at_once():
    names = ("a", "b", "c")
    scores = dict(zip(all_subsets(names), np.random.default_rng(0).normal(size=(8, 5))))
    values = shapley_values(names, scores)
    for i in range(5):
        one = shapley_values(names, {subset: score[i] for subset, score in scores.items()})
        assert {name: value[i] for name, value in values.items()} == pytest.approx(one)


def test_a_sensor_that_changes_nothing_is_worth_nothing():
    scores = {subset: 7.0 * ("a" in subset) for subset in all_subsets(("a", "b", "c"))}
    assert shapley_values(("a", "b", "c"), scores) == pytest.approx({"a": 7, "b": 0, "c": 0})


def test_a_subset_without_a_score_is_named():
    with pytest.raises(ValueError, match="need the scores of all 4 subsets; a.b has none"):
        shapley_values("ab", {(): 0.0, ("a",): 1.0, ("b",): 1.0})
