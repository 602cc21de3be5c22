"""The scores of a model over its training runs: means and standard deviations."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from imrsf_d2.utils.errors import InputError
from projects.study.outcomes import Outcome
from projects.study.plan import Model, Run

__all__ = ["METRICS", "AcrossSeeds", "ModelScores", "Subset", "scores_by_model"]

Subset = tuple[str, ...]

#: Scores of instance masks. AP50 accepts a mask whose IoU with the ground truth is 0.5, which a rough mask of a large detached
#: building reaches; AP, the mean over IoU thresholds from 0.50 to 0.95, also asks how exact a mask is.
METRICS = ("AP50", "AP")
TASK = "segm"


@dataclass(frozen=True)
class AcrossSeeds:
    """A quantity measured in training runs that differ only in their seed.

    Args:
        values: one per run; at least one.
    """

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean over the runs."""
        return float(np.mean(self.values))

    @property
    def deviation(self) -> float | None:
        """Standard deviation over the runs (n - 1 in the denominator); None for a single run."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else None

    def scaled(self, factor: float) -> AcrossSeeds:
        """`factor` times this quantity."""
        return AcrossSeeds(tuple(factor * value for value in self.values))

    def __str__(self) -> str:
        if math.isnan(self.mean):
            return "n/a"
        return f"{self.mean:.3f}" + ("" if self.deviation is None else f" ± {self.deviation:.3f}")


class ModelScores:
    """The scores of one model in all of its training runs, from 0 to 1.

    Args:
        runs: rows of `sweep_subsets` for each run; every run has the same subsets, one of which is the complete input.
        metric: one of the evaluator's metrics of instance masks.

    Raises:
        ValueError: if runs were evaluated on different subsets, or on a single one.
        KeyError: if there is no such metric.
    """

    def __init__(self, runs: Sequence[Sequence[Mapping]], metric: str = METRICS[0]):
        self._runs = [{tuple(row["modalities"]): row["results"][TASK][metric] / 100 for row in rows} for rows in runs]
        #: In the order of evaluation, largest first: the first one is the complete input.
        self.subsets: list[Subset] = sorted(self._runs[0], key=len, reverse=True)
        if len(self.subsets) < 2 or any(set(run) != set(self.subsets) for run in self._runs):
            found = sorted({"; ".join("+".join(subset) for subset in run) for run in self._runs})
            raise InputError(
                f"runs were evaluated on the subsets {found}, expected several subsets, the same ones in every run. "
                "Delete record.json in the folders of the runs to evaluate them again."
            )

    def across_seeds(self, quantity: Callable[[Mapping[Subset, float]], float]) -> AcrossSeeds:
        """Evaluate a function of a run's scores by subset for every run."""
        return AcrossSeeds(tuple(quantity(run) for run in self._runs))

    def subset(self, subset: Subset) -> AcrossSeeds:
        """The score on one subset of the modalities."""
        return self.across_seeds(lambda run: run[subset])

    @cached_property
    def complete(self) -> AcrossSeeds:
        """The score with all modalities."""
        return self.subset(self.subsets[0])

    @cached_property
    def incomplete(self) -> AcrossSeeds:
        """The mean score over all other subsets."""
        return self.across_seeds(self._mean_incomplete)

    @cached_property
    def retention(self) -> AcrossSeeds:
        """The mean score over the incomplete subsets, as a share of the score on complete input."""
        return self.across_seeds(lambda run: _share(self._mean_incomplete(run), run[self.subsets[0]]))

    def _mean_incomplete(self, run: Mapping[Subset, float]) -> float:
        return float(np.mean([run[subset] for subset in self.subsets[1:]]))


def scores_by_model(
    outcomes: Mapping[Run, Outcome], models: Sequence[Model], metric: str = METRICS[0]
) -> dict[Model, ModelScores]:
    """The scores of each model with at least one finished run, in the order of `models`."""
    rows = {model: [outcome.rows for run, outcome in outcomes.items() if run.model == model] for model in models}
    return {model: ModelScores(runs, metric) for model, runs in rows.items() if runs}


def _share(part: float, whole: float) -> float:
    return part / whole if whole else math.nan
