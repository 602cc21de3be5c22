"""From the rows of the study's runs to means and spreads."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from imrsf_d2.evaluation.report import main_score
from imrsf_d2.utils.errors import InputError

__all__ = ["AcrossSeeds", "ModelScores", "Subset"]

Subset = tuple[str, ...]


@dataclass(frozen=True)
class AcrossSeeds:
    """A quantity measured in runs that differ in their seed.

    Args:
        values: one per run; at least one.
    """

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Of the runs."""
        return float(np.mean(self.values))

    @property
    def deviation(self) -> float | None:
        """Standard deviation between runs (n - 1 in the denominator); None of a single run."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else None

    def __str__(self) -> str:
        if math.isnan(self.mean):
            return "n/a"
        return f"{self.mean:.3f}" + ("" if self.deviation is None else f" ± {self.deviation:.3f}")


class ModelScores:
    """The scores of one model in all of its runs, as fractions of 1.

    Args:
        runs: rows of `sweep_subsets` for each run; every run has the same subsets, the complete input among them.
        metric: of the task that sums up an evaluation (see `main_score`); None is that task's main one.

    Raises:
        ValueError: if runs have different subsets, or only one subset.
        KeyError: if the task has no such metric.
    """

    def __init__(self, runs: Sequence[Sequence[Mapping]], metric: str | None = None):
        task, main, _ = main_score(runs[0][0]["results"])
        self.metric = metric or main
        self._runs = [{tuple(row["modalities"]): row["results"][task][self.metric] / 100 for row in rows} for rows in runs]
        #: As evaluated: largest first, so that the first is the complete input.
        self.subsets: list[Subset] = sorted(self._runs[0], key=len, reverse=True)
        if len(self.subsets) < 2 or any(set(run) != set(self.subsets) for run in self._runs):
            found = sorted({"; ".join("+".join(subset) for subset in run) for run in self._runs})
            raise InputError(f"runs were evaluated on the subsets {found}, expected the same in each, several of them.")

    def across_seeds(self, quantity: Callable[[Mapping[Subset, float]], float]) -> AcrossSeeds:
        """Any function of a run's scores by subset, in every run."""
        return AcrossSeeds(tuple(quantity(run) for run in self._runs))

    def subset(self, subset: Subset) -> AcrossSeeds:
        """The score with one subset of the modalities."""
        return self.across_seeds(lambda run: run[subset])

    @cached_property
    def complete(self) -> AcrossSeeds:
        """The score with all modalities."""
        return self.subset(self.subsets[0])

    @cached_property
    def incomplete(self) -> AcrossSeeds:
        """The mean over all other subsets."""
        return self.across_seeds(self._mean_incomplete)

    @cached_property
    def retention(self) -> AcrossSeeds:
        """The share of the complete input's score that is left, on average over the other subsets."""
        return self.across_seeds(lambda run: _share(self._mean_incomplete(run), run[self.subsets[0]]))

    def _mean_incomplete(self, run: Mapping[Subset, float]) -> float:
        return float(np.mean([run[subset] for subset in self.subsets[1:]]))


def _share(part: float, whole: float) -> float:
    return part / whole if whole else math.nan
