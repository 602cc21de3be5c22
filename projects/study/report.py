"""From a topic to its report: training runs, then a table of all their scores (CSV), a figure, and a report in Markdown."""

from __future__ import annotations

import csv
import io
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from imrsf_d2.evaluation.tables import markdown_table
from imrsf_d2.modalities import subset_title
from imrsf_d2.utils.atomic import write_text
from imrsf_d2.utils.errors import InputError
from projects.study.claims import CLEAR, Claim
from projects.study.experiment import Experiment
from projects.study.outcomes import Outcome
from projects.study.plan import Model, Run
from projects.study.plots import draw_scores
from projects.study.scores import METRICS, ModelScores, scores_by_model

__all__ = ["Outcomes", "Topic", "run_topic", "write_report"]

Outcomes = Mapping[Run, Outcome]
CLAIM_HEADER = ["compared", "first", "second", "difference", "verdict"]

READING = (
    "Scores are computed from instance masks and range from 0 to 1: mean ± standard deviation over training runs that differ "
    "only in their seed, which sets the initial weights, the order and augmentation of the samples and the subsets drawn in "
    "training. Without ±: a single run. Retention is the mean over the incomplete subsets as a share of the score on complete "
    "input. The data are synthetic: the scores compare these models with each other and say nothing about real imagery."
)
VERDICTS = (
    "A difference is given ± its standard error, sqrt(s1² / n1 + s2² / n2) for standard deviations s and numbers of runs n; a "
    f"single run is taken to vary like the model it is compared with. A difference of less than {CLEAR:g} standard errors, or "
    "between two single runs, is not clear."
)


@dataclass(frozen=True)
class Topic:
    """What a report is about.

    Args:
        title: heading of the report.
        introduction: what was trained, a paragraph.
        models: the models to train; those that are evaluated are in the tables.
        drawn: those in the figure.
        configs: folder with a config per model.
        data: see `Experiment`.
        claims: makes the claims from the outcomes of the finished runs.
        extra: makes further sections from these, in Markdown; figures go into the folder that it gets.
    """

    title: str
    introduction: str
    models: Sequence[Model]
    drawn: Sequence[Model]
    configs: Path
    data: Mapping
    claims: Callable[[Outcomes], list[Claim]]
    extra: Callable[[Experiment, Outcomes, Path], list[str]] = lambda experiment, outcomes, folder: []


def run_topic(
    topic: Topic,
    command: Sequence[str],
    output: Path,
    results: Path,
    *,
    only: Sequence[str] = (),
    report_only: bool = False,
    opts: Sequence[str] = (),
) -> None:
    """Do what is left of a topic's training runs and write the report.

    Args:
        topic: the models, what they are trained on and what is claimed of them.
        command: what does all of this, without overrides; for the report.
        output: gets data/ and a folder per run. Finished runs are kept, interrupted ones are resumed.
        results: the report, see `write_report`.
        only: models or runs to work on (see `choose_runs`); the report is about all that are finished.
        report_only: train and evaluate nothing.
        opts: KEY VALUE overrides of every run's config.

    Raises:
        InputError: on a name or an override that is not accepted; if a run to work on, or the data, were made with other
            settings (one folder never mixes two settings).
    """
    experiment = Experiment(topic.models, topic.configs, topic.data, output, only=only, opts=opts)
    if not report_only:
        experiment.work()
    write_report(experiment, topic, shlex.join([*command, *opts]), results.resolve())


def write_report(experiment: Experiment, topic: Topic, command: str, path: Path) -> None:
    """Report on all finished runs of an experiment.

    Args:
        command: that made the runs.
        path: the report. Beside it go the figure of the scores, with the same name, and `<name>_runs.csv`.

    Raises:
        InputError: if no run can be reported and there is a report, which would be lost.
    """
    outcomes, missing = experiment.collect()
    if not outcomes and path.exists():
        reasons = "; ".join(f"{run.name}: {reason}" for run, reason in missing.items())
        raise InputError(f"no run in {experiment.output} can be reported, so {path} is left as it is. {reasons}.")
    evaluated = {run: outcome for run, outcome in outcomes.items() if outcome.rows}
    table = path.with_name(f"{path.stem}_runs.csv")
    facts = [
        f"Command: `{command}`",
        f"Configuration: `{os.path.relpath(topic.configs)}/MODEL.yaml`, with the seed of each run",
        f"Data: {experiment.describe_data()}",
    ]
    if outcomes:
        write_text(table, runs_csv(experiment, outcomes))
        records = [outcome.record for outcome in outcomes.values()]
        facts += [
            f"Versions: {' / '.join(dict.fromkeys(record['versions'] for record in records))}",
            f"Machine: {' / '.join(dict.fromkeys(record['machine'] + ', device ' + record['device'] for record in records))}",
            f"Time: {sum(sum(record['seconds'].values()) for record in records) / 3600:.1f} h for all runs together",
            f"Scores, time and config digest of every run: [{table.name}]({table.name})",
        ]
    parts = [f"# {topic.title}", topic.introduction, "## How it was made", "\n".join(f"- {fact}" for fact in facts)]
    if missing:
        rows = [[f"`{run.name}`", reason] for run, reason in missing.items()]
        parts += ["## Missing runs", markdown_table(["run", "reason"], rows, 2)]
    if evaluated:
        parts += ["## Scores", READING]
        for metric in METRICS:
            parts += [f"### {metric}", score_table(scores_by_model(evaluated, topic.models, metric))]
        if drawn := scores_by_model(evaluated, topic.drawn):
            draw_scores(path.with_suffix(".png"), {model.title: scores for model, scores in drawn.items()}, topic.title)
            parts.append(f"![{METRICS[0]} by subset of the sensors]({path.stem}.png)")
        parts += ["## Claims", VERDICTS]
        for number, (claim, rows) in enumerate(topic.claims(evaluated), start=1):
            parts += [f"### Claim {number}", claim]
            parts.append(markdown_table(CLAIM_HEADER, rows, 1) if rows else "The runs to compare are not finished.")
    write_text(path, "\n\n".join([*parts, *topic.extra(experiment, outcomes, path.parent)]) + "\n")
    print(f"Report: {path} ({len(outcomes)} of {len(experiment.runs)} runs)", flush=True)


def score_table(scores: Mapping[Model, ModelScores]) -> str:
    """Markdown: a row per subset and per summary, a column per model."""
    subsets = next(iter(scores.values())).subsets
    rows = [[subset_title(subset), *(str(model.subset(subset)) for model in scores.values())] for subset in subsets]
    rows += [
        ["mean of the incomplete", *(str(model.incomplete) for model in scores.values())],
        ["retention", *(str(model.retention) for model in scores.values())],
        ["runs", *(str(len(model.complete.values)) for model in scores.values())],
    ]
    return markdown_table(["sensors", *(model.title for model in scores)], rows, 1)


def runs_csv(experiment: Experiment, outcomes: Outcomes) -> str:
    """CSV: a row per run and subset, or per pre-training run, with everything that was measured."""
    rows = []
    for run, outcome in outcomes.items():
        record = outcome.record
        about = {"run": run.name, "model": run.model.name, "seed": run.seed}
        if run.data_seed is not None:
            about["data_seed"] = run.data_seed
        cost = {
            "iterations": record["iterations"],
            "batch": record["batch"],
            "parameters": record["parameters"],
            **{f"{phase}_seconds": round(seconds, 1) for phase, seconds in record["seconds"].items()},
            "config_digest": experiment.config_digest(run),
            **{key: record[key] for key in ("device", "machine", "versions")},
        }
        splits = {"validation": outcome.rows or [{"modalities": [], "results": {}}], "test": outcome.test_rows}
        for split, of_split in splits.items():
            for row in of_split:
                scores = {f"{task}/{metric}": v for task, metrics in row["results"].items() for metric, v in metrics.items()}
                rows.append({**about, "split": split, "subset": "+".join(row["modalities"]), **cost, **scores})
    file = io.StringIO()
    writer = csv.DictWriter(file, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()
