"""The report of the fair study: test scores with intervals, measures of robustness, paired differences, calibration and cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from imrsf_d2.evaluation.per_image import InstanceImages
from imrsf_d2.evaluation.summary import Estimate
from imrsf_d2.evaluation.tables import markdown_table
from imrsf_d2.modalities import subset_title
from imrsf_d2.utils.atomic import write_text
from imrsf_d2.utils.errors import InputError
from projects.study.contributions import METRICS, Contributions, calibration_error, read_contributions
from projects.study.experiment import Experiment
from projects.study.fair import BEST, MEAN, MULTIVIT, PROPOSED, Study
from projects.study.paired import RESAMPLES, draws, paired_difference, run_measure
from projects.study.plan import Model, Run
from projects.study.report import runs_csv
from projects.study.robustness import MEASURES, robustness
from projects.study.runs import TEST_FOLDER, Outcome

__all__ = ["TestedRun", "test_run", "write_fair_report"]

#: Those that all others are compared with.
REFERENCES = tuple(model.name for model in (BEST, PROPOSED, MEAN, MULTIVIT))

READING = (
    "Scores are of the test tiles, which no choice was made on, and range from 0 to 1; `incomplete` is the mean over all subsets "
    "of the sensors but the complete one, `worst` the lowest of them. In brackets: 95 % bootstrap intervals over the test images "
    "and the training runs together. A run has a training seed (initial weights, order, augmentation, random subsets) and a data "
    "seed (training and validation tiles). The data are synthetic: the scores compare these models with each other and say "
    "nothing about real imagery."
)
ROBUSTNESS = (
    "`last one` is the mean over the single sensors, `average` that over all subsets; `E` is expected if each sensor fails by "
    "itself with probability p, where the score without any sensor is 0."
)
DIFFERENCES = (
    "First minus second, over the runs that both have, on the same resamples of the images and runs. A difference whose interval "
    "contains 0 is not clear. With a single common run there is no interval and no verdict."
)
CALIBRATION = (
    "The expected calibration error: how far the scores of predicted instances are from the fraction of them that is right at an "
    "IoU of 0.5, in ten bins of the score. 0 is best."
)


@dataclass(frozen=True)
class TestedRun:
    """The test of one run.

    Args:
        measures: metric -> name in `MEASURES` -> [1 + R] on each resample of the images, the first of which is all images.
        subsets: metric -> subset -> score on all images.
        calibration: subset -> calibration error; empty for label maps.
    """

    __test__ = False  # pytest takes it for tests otherwise

    measures: Mapping[str, Mapping[str, np.ndarray]]
    subsets: Mapping[str, Mapping[tuple[str, ...], float]]
    calibration: Mapping[tuple[str, ...], float] = field(default_factory=dict)


def test_run(by_subset: Mapping[tuple[str, ...], Contributions], counts: np.ndarray) -> TestedRun:
    """Score a run.

    Args:
        by_subset: of all subsets of the sensors.
        counts: [1 + R, I] of `draws`.
    """
    metrics = METRICS[next(iter(by_subset.values())).kind]
    # The first metric alone has intervals; the others stand beside it.
    scores = {
        metric: {
            subset: own.scores(metric, counts if metric == metrics[0] else counts[:1]) for subset, own in by_subset.items()
        }
        for metric in metrics
    }
    return TestedRun(
        {metric: robustness(list(own), own.__getitem__) for metric, own in scores.items()},
        {metric: {subset: float(values[0]) for subset, values in own.items()} for metric, own in scores.items()},
        {
            subset: calibration_error(own.images[0])
            for subset, own in by_subset.items()
            if isinstance(own.images[0], InstanceImages)
        },
    )


test_run.__test__ = False  # type: ignore[attr-defined]


def write_fair_report(experiment: Experiment, study: Study, command: str, path: Path, resamples: int = RESAMPLES) -> None:
    """Report on all finished runs of a fair study.

    Args:
        command: that made the runs.
        path: the report. Beside it goes `<name>_runs.csv`, with the scores of every run, subset and split.
        resamples: of the bootstrap.

    Raises:
        InputError: if no run can be reported and there is a report, which would be lost.
    """
    outcomes, missing = experiment.collect()
    if not outcomes and path.exists():
        raise InputError(f"no run in {experiment.output} can be reported, so {path} is left as it is.")
    table = path.with_name(f"{path.stem}_runs.csv")
    parts = [f"# {study.title}: models that may miss sensors, compared fairly", f"- Command: `{command}`"]
    parts[-1] += (
        f"\n- Data: {experiment.describe_data()}\n- Test data: {study.test['num_val']} tiles of seed {study.test['seed']}"
    )
    if outcomes:
        write_text(table, runs_csv(experiment, outcomes))
        hours = sum(sum(outcome.record["seconds"].values()) for outcome in outcomes.values()) / 3600
        machines = " / ".join(dict.fromkeys(outcome.record["machine"] for outcome in outcomes.values()))
        parts[-1] += (
            f"\n- Machine: {machines}; {hours:.1f} h of wall-clock time for all runs together\n- Every run: [{table.name}]({table.name})"
        )
    tested = _test(experiment, outcomes, resamples)
    if tested:
        parts += _sections(tested, outcomes)
    if missing:
        reasons = dict.fromkeys(missing.values())
        lines = [f"- {why}: {', '.join(f'`{run.name}`' for run, own in missing.items() if own == why)}" for why in reasons]
        parts += ["## Missing runs", "\n".join(lines)]
    write_text(path, "\n\n".join(parts) + "\n")
    print(f"Report: {path} ({len(outcomes)} of {len(experiment.runs)} runs)", flush=True)


def _test(experiment: Experiment, outcomes: Mapping[Run, Outcome], resamples: int) -> dict[Model, dict[tuple, TestedRun]]:
    """model -> (training seed, data seed) -> its test; without the members of late fusion, which know one sensor."""
    tested: dict[Model, dict[tuple, TestedRun]] = {}
    counts: np.ndarray | None = None
    for run, outcome in outcomes.items():
        if run.model.sensor is not None or not outcome.test_rows:
            continue
        folder = experiment.folder(run) / TEST_FOLDER
        by_subset = {tuple(row["modalities"]): read_contributions(folder, row["modalities"]) for row in outcome.test_rows}
        if counts is None:
            counts, _ = draws(len(next(iter(by_subset.values())).images[0].image_ids), 1, resamples)
        tested.setdefault(run.model, {})[run.seed, run.data_seed] = test_run(by_subset, counts)
    return tested


def _sections(tested: Mapping[Model, Mapping[tuple, TestedRun]], outcomes: Mapping[Run, Outcome]) -> list[str]:
    first = next(iter(next(iter(tested.values())).values()))
    metrics, subsets = list(first.measures), sorted(next(iter(first.subsets.values())), key=len, reverse=True)
    main = metrics[0]
    shown = [(metric, name) for metric in metrics for name in ("complete", "incomplete", "worst")]
    rows = [
        [model.title, *(_text(_measure(runs, metric, name)) for metric, name in shown), str(len(runs))]
        for model, runs in tested.items()
    ]
    parts = ["## Test scores", READING]
    parts.append(markdown_table(["model", *(f"{metric} {name}" for metric, name in shown), "runs"], rows, 1))
    names = [name for name in MEASURES if name not in ("complete", "incomplete", "worst")]
    rows = [[model.title, *(_text(_measure(runs, main, name)) for name in names)] for model, runs in tested.items()]
    parts += [f"## Robustness, {main}", ROBUSTNESS, markdown_table(["model", *names], rows, 1)]
    rows = [
        [model.title, *(f"{np.mean([run.subsets[main][subset] for run in runs.values()]):.3f}" for subset in subsets)]
        for model, runs in tested.items()
    ]
    parts += [f"## {main} by subset", markdown_table(["model", *map(subset_title, subsets)], rows, 1)]
    parts += ["## Differences", DIFFERENCES]
    by_name = {model.name: model for model in tested}
    for reference in (by_name[name] for name in REFERENCES if name in by_name and len(tested) > 1):
        parts.append(markdown_table(["compared", "complete", "incomplete"], _differences(tested, reference, main), 1))
    if first.calibration:
        rows = [[model.title, *_calibration(list(runs.values()), subsets)] for model, runs in tested.items()]
        parts += ["## Calibration", CALIBRATION, markdown_table(["model", "complete", "mean of the incomplete"], rows, 1)]
    rows = [[model.title, *_cost([outcome for run, outcome in outcomes.items() if run.model == model])] for model in tested]
    parts += [
        "## Cost",
        markdown_table(["model", "parameters", "iterations", "training, s", "sweep of the test, s"], rows, 1),
    ]
    return parts


def _measure(runs: Mapping[tuple, TestedRun], metric: str, name: str) -> Estimate:
    values = np.stack([run.measures[metric][name] for run in runs.values()])
    return run_measure(values, draws(1, len(values), values.shape[1] - 1)[1])


def _differences(tested: Mapping[Model, Mapping[tuple, TestedRun]], reference: Model, metric: str) -> list[list[str]]:
    rows = []
    for model, runs in tested.items():
        if model == reference:
            continue
        cells = []
        for name in ("complete", "incomplete"):
            ours, theirs = (
                {key: run.measures[metric][name] for key, run in own.items()} for own in (runs, tested[reference])
            )
            difference = paired_difference(ours, theirs)
            cells.append("no common run" if difference is None else f"{_text(difference, '+')}{_verdict(difference)}")
        rows.append([f"{model.title} − {reference.title}", *cells])
    return rows


def _verdict(difference: Estimate) -> str:
    if np.isnan(difference.low):
        return ""
    return ", better" if difference.low > 0 else ", worse" if difference.high < 0 else ", not clear"


def _calibration(runs: Sequence[TestedRun], subsets: Sequence[tuple[str, ...]]) -> list[str]:
    complete = np.nanmean([run.calibration[subsets[0]] for run in runs])
    return [f"{complete:.3f}", f"{np.nanmean([run.calibration[s] for run in runs for s in subsets[1:]]):.3f}"]


def _cost(outcomes: Sequence[Outcome]) -> list[str]:
    records = [outcome.record for outcome in outcomes]
    seconds = {phase: np.mean([record["seconds"].get(phase, 0.0) for record in records]) for phase in ("training", "test")}
    iterations = 0 if not seconds["training"] else records[0]["iterations"]
    return [f"{records[0]['parameters'] / 1e6:.1f} M", str(iterations), *(f"{value:.0f}" for value in seconds.values())]


def _text(estimate: Estimate, sign: str = "") -> str:
    interval = "" if np.isnan(estimate.low) else f" [{estimate.low:{sign}.3f}, {estimate.high:{sign}.3f}]"
    return f"{estimate.value:{sign}.3f}{interval}"
