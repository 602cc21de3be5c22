"""Claims that one model is better than another: the numbers compared, their difference and a verdict, as rows of a table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from projects.study.outcomes import Outcome
from projects.study.plan import Model, Run
from projects.study.scores import METRICS, AcrossSeeds, scores_by_model

__all__ = ["CLEAR", "Claim", "claim_row", "compare_models", "standard_error", "verdict"]

#: A claim, and the rows of its table: what is compared, both quantities, their difference, the verdict.
Claim = tuple[str, list[list[str]]]

#: A difference is clear if it is at least this many times its standard error: for three training runs of each model, about the
#: 5 % level of a t test.
CLEAR = 3.0

QUANTITIES = {"complete": "complete input", "incomplete": "mean of the incomplete"}


def standard_error(first: AcrossSeeds, second: AcrossSeeds) -> float | None:
    """Standard error of the difference of the means of two models that were trained independently of each other.

    It is sqrt(s1^2 / n1 + s2^2 / n2) for standard deviations s and numbers of runs n. A single run has no standard deviation
    and gets that of the other model; if both are single, the standard error is None.
    """
    known = [values.deviation for values in (first, second) if values.deviation is not None]
    if not known:
        return None
    s1, s2 = (known[0] if values.deviation is None else values.deviation for values in (first, second))
    return math.hypot(s1 / len(first.values) ** 0.5, s2 / len(second.values) ** 0.5)


def verdict(difference: float, error: float | None) -> str:
    """Whether a difference is positive: "holds", "does not hold", or "not clear" given its standard error."""
    if error is None or difference == 0 or not abs(difference) >= CLEAR * error:  # the last, so that NaN is not clear either
        return "not clear"
    return "holds" if difference > 0 else "does not hold"


def claim_row(what: str, first: AcrossSeeds, second: AcrossSeeds, error: float | None) -> list[str]:
    """A row for the claim that the first quantity is larger than the second; `error` is that of their difference."""
    difference = first.mean - second.mean
    plus_minus = "" if error is None else f" ± {error:.3f}"
    return [what, str(first), str(second), f"{difference:+.3f}{plus_minus}", verdict(difference, error)]


def compare_models(
    outcomes: Mapping[Run, Outcome],
    pairs: Sequence[tuple[Model, Model]],
    quantities: Sequence[str] = tuple(QUANTITIES),
    factor: float = 1.0,
) -> list[list[str]]:
    """Rows for the claim that the first model of a pair has at least `factor` times the score of the second one.

    Args:
        outcomes: of the finished runs; a pair of which a model has none is left out.
        pairs: the models.
        quantities: which of `QUANTITIES` to compare, each by every metric.
    """
    rows = []
    for first, second in pairs:
        for quantity in quantities:
            for metric in METRICS:
                scores = scores_by_model(outcomes, (first, second), metric)
                if len(scores) == 2:
                    ours, theirs = (getattr(scores[model], quantity) for model in (first, second))
                    theirs = theirs.scaled(factor)
                    times = "" if factor == 1 else f"{factor:g} x "
                    what = f"{first.title} vs. {times}{second.title}, {QUANTITIES[quantity]}, {metric}"
                    rows.append(claim_row(what, ours, theirs, standard_error(ours, theirs)))
    return rows
