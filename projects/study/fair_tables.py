"""The tables of the fair study's report: test scores, robustness, paired differences, calibration and cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from imrsf_d2.evaluation.summary import Estimate
from imrsf_d2.evaluation.tables import markdown_table
from imrsf_d2.modalities import subset_title
from projects.study.contributions import LEAST_SCORE
from projects.study.fair import BEST, MEAN, MULTIVIT, PROPOSED
from projects.study.outcomes import Outcome
from projects.study.paired import LEAST_RUNS, Difference, over_runs, paired_difference
from projects.study.plan import Model, Run
from projects.study.robustness import MEASURES, Subset
from projects.study.tested import TestedRun

__all__ = ["RunKey", "sections"]

#: Training seed and data seed of a run.
RunKey = tuple[int, int | None]
#: Those that all others are compared with; the first one in all measures and for each training data.
REFERENCES = tuple(model.name for model in (BEST, PROPOSED, MEAN, MULTIVIT))
MAIN_MEASURES = ("complete", "incomplete")

READING = (
    "Scores are of the test tiles and range from 0 to 1; `incomplete` is the mean over all subsets of the sensors but the complete "
    "one, each counting as much as any other; `worst` is the lowest of them. A run has a training seed (initial weights, order, "
    "augmentation, random subsets) and a data seed (training and validation tiles). In brackets: 95 % intervals of the mean over "
    f"runs, for other runs and other test images; models with fewer than {LEAST_RUNS} runs have none. The data are synthetic: the "
    "scores compare these models with each other and say nothing about real imagery."
)
RESAMPLED = (
    "Scores of resampled test images were kept of {} of the {} runs; the variance over images is that of these, and what has none of "
    "them has no interval."
)
ROBUSTNESS = (
    "`last one` is the mean over the single sensors, `average` that over all subsets; `E` is expected if each sensor fails by "
    "itself with probability p, for all tiles at a time, where the score without any sensor is 0. Failures that go together, or hit "
    "one sensor more often (clouds hide the optical image alone), are not in it."
)
DIFFERENCES = (
    "First minus second, over the runs that both have, on the same resamples of the images; so a difference is not that of the "
    "means above, which may be over other runs. A difference whose interval contains 0 is not clear; with fewer than "
    f"{LEAST_RUNS} common runs there is no interval and no verdict. Each interval is for one comparison by itself: of many, one in "
    "twenty misses."
)
BY_DATA = (
    "The same differences by training data. What a choice fits by chance to the data that it was made on, of data seed 0, other data "
    "do not have."
)
CALIBRATION = (
    "The error is the expected calibration error: how far the scores of predicted instances are from the fraction of them that is "
    f"right at an IoU of 0.5, in ten bins of the score, of predictions with a score of at least {LEAST_SCORE:g}; 0 is best. The "
    "excess is their mean score minus that fraction: above 0, scores promise too much."
)
COST = "Seconds are wall-clock times beside other runs and other work, as they came: for the record, and no measure of a model's speed."


Tested = Mapping[Model, Mapping[RunKey, TestedRun]]


def sections(tested: Tested, outcomes: Mapping[Run, Outcome]) -> list[str]:
    """All of the report but its head, in Markdown.

    Args:
        tested: model -> run -> its test.
        outcomes: of all finished runs.
    """
    first = next(iter(next(iter(tested.values())).values()))
    metrics = list(first.measures)
    main = metrics[0]
    known = [bool(run.images) for own in tested.values() for run in own.values()]
    parts = ["## Test scores", READING if all(known) else f"{READING} {RESAMPLED.format(sum(known), len(known))}"]
    shown = [(metric, name) for metric in metrics for name in (*MAIN_MEASURES, "worst")]
    parts.append(
        _table(tested, [f"{metric} {name}" for metric, name in shown], lambda runs: _scores(runs, shown), counted=True)
    )
    names = [(main, name) for name in MEASURES if name not in (*MAIN_MEASURES, "worst")]
    parts += [
        f"## Robustness, {main}",
        ROBUSTNESS,
        _table(tested, [name for _, name in names], lambda runs: _scores(runs, names)),
    ]
    for metric in metrics:
        subsets = sorted(first.subsets[metric], key=len, reverse=True)
        cells = partial(_by_subset, metric=metric, subsets=subsets)
        parts += [f"## {metric} by subset", _table(tested, [subset_title(subset) for subset in subsets], cells)]
    parts += ["## Differences", DIFFERENCES]
    by_name = {model.name: model for model in tested}
    references = [by_name[name] for name in REFERENCES if name in by_name and len(tested) > 1]
    pairs = [(metric, name) for metric in metrics for name in MAIN_MEASURES]
    for reference in references:
        parts += _differences(tested, reference, pairs)
    for reference in references[:1]:
        parts += [
            f"### In the other measures, {main}",
            *_differences(tested, reference, [(main, name) for name in MEASURES[2:]]),
        ]
        parts += ["### By training data", BY_DATA, _by_data(tested, reference, main)]
    calibrated = {model: {key: run for key, run in own.items() if run.calibration} for model, own in tested.items()}
    calibrated = {model: own for model, own in calibrated.items() if own}
    if calibrated:
        columns = [f"{what} {name}" for what in ("error", "excess") for name in MAIN_MEASURES]
        parts += ["## Calibration", CALIBRATION, _table(calibrated, columns, _calibrations, counted=True)]
    rows = [[model.title, *_cost(model, outcomes)] for model in tested]
    columns = ["model", "parameters", "iterations", "training, s", "sweep of the test, s"]
    return [*parts, "## Cost", COST, markdown_table(columns, rows, 1)]


def _table(
    tested: Tested, columns: Sequence[str], cells: Callable[[Mapping[RunKey, TestedRun]], list[str]], counted: bool = False
) -> str:
    """A row per model, whose last cell is the number of its runs if these are `counted`."""
    rows = [[model.title, *cells(own), *([str(len(own))] if counted else [])] for model, own in tested.items()]
    return markdown_table(["model", *columns, *(["runs"] if counted else [])], rows, 1)


def _scores(runs: Mapping[RunKey, TestedRun], shown: Sequence[tuple[str, str]]) -> list[str]:
    return [_text(over_runs([run.measures[metric][name] for run in runs.values()])) for metric, name in shown]


def _by_subset(runs: Mapping[RunKey, TestedRun], metric: str, subsets: Sequence[Subset]) -> list[str]:
    return [f"{np.mean([run.subsets[metric][subset] for run in runs.values()]):.3f}" for subset in subsets]


def _calibrations(runs: Mapping[RunKey, TestedRun]) -> list[str]:
    return [
        _text(over_runs([getattr(run.calibration[name], what) for run in runs.values()]), sign)
        for what, sign in (("error", ""), ("excess", "+"))
        for name in MAIN_MEASURES
    ]


def _differences(tested: Tested, reference: Model, pairs: Sequence[tuple[str, str]]) -> list[str]:
    """A table of all other models minus the reference; none without a common run."""
    rows = []
    for model in (model for model in tested if model != reference):
        every = [_difference(tested, model, reference, metric, name) for metric, name in pairs]
        found = [own for own in every if own is not None]
        if found:
            cells = [f"{_text(own.estimate, '+')}{own.verdict and ', '}{own.verdict}" for own in found]
            rows.append([f"{model.title} − {reference.title}", *cells, str(found[0].runs)])
    several = len({metric for metric, _ in pairs}) > 1
    columns = [f"{metric} {name}" if several else name for metric, name in pairs]
    return [markdown_table(["compared", *columns, "runs"], rows, 1)] if rows else []


def _difference(
    tested: Tested, model: Model, reference: Model, metric: str, name: str, data_seed: int | None = None
) -> Difference | None:
    """Of the runs that both have, or of those with one of the training data."""
    first, second = (
        {key: run.measures[metric][name] for key, run in tested[own].items() if data_seed is None or key[1] == data_seed}
        for own in (model, reference)
    )
    return paired_difference(first, second)


def _by_data(tested: Tested, reference: Model, metric: str) -> str:
    """Differences of the models that have runs with more than one of the training data."""
    seeds = sorted({key[1] for key in tested[reference] if key[1] is not None})
    rows = []
    for model in (model for model in tested if model != reference):
        found = {
            seed: [_difference(tested, model, reference, metric, name, seed) for name in MAIN_MEASURES] for seed in seeds
        }
        if sum(own[0] is not None for own in found.values()) < 2:
            continue
        rows.append([f"{model.title} − {reference.title}", *map(_without_interval, found.values())])
    columns = [f"data seed {seed}: complete / incomplete (runs)" for seed in seeds]
    return (
        markdown_table(["compared", *columns], rows, 1) if rows else "No other model has runs with two of the training data."
    )


def _without_interval(differences: Sequence[Difference | None]) -> str:
    """The values of the same runs, and how many these are."""
    known = [own for own in differences if own is not None]
    return " / ".join(f"{own.estimate.value:+.3f}" for own in known) + f" ({known[0].runs})" if known else "no common run"


def _cost(model: Model, outcomes: Mapping[Run, Outcome]) -> list[str]:
    """Of a model, with what the training of its members took."""
    records = [outcome.record for run, outcome in outcomes.items() if run.model in (model, *model.members)]
    own = [outcome.record for run, outcome in outcomes.items() if run.model == model]
    of_model = {
        run.model: outcome.record["iterations"]
        for run, outcome in outcomes.items()
        if run.model in (model.members or (model,))
    }
    training = sum(record["seconds"].get("training", 0.0) for record in records) / len(own)
    test = np.mean([record["seconds"]["test"] for record in own])
    return [f"{own[0]['parameters'] / 1e6:.1f} M", str(sum(of_model.values())), f"{training:.0f}", f"{test:.0f}"]


def _text(estimate: Estimate, sign: str = "") -> str:
    interval = "" if np.isnan(estimate.low) else f" [{estimate.low:{sign}.3f}, {estimate.high:{sign}.3f}]"
    return f"{estimate.value:{sign}.3f}{interval}"
