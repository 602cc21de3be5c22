"""What the reports have in common: scores in tables, differences in words, and how they were made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from imrsf_d2.evaluation.report import markdown_table, subset_ticks
from projects.study.claims import compare, effect, signed
from projects.study.plan import Model, Run
from projects.study.runs import Outcome
from projects.study.scores import AcrossSeeds, ModelScores

__all__ = [
    "Setting",
    "describe_data",
    "describe_difference",
    "describe_missing",
    "describe_origin",
    "run_table",
    "score_section",
    "score_tables",
    "scores_by_model",
]


@dataclass(frozen=True)
class Setting:
    """What a report says beside the runs.

    Args:
        data: one sentence.
        command: that makes it from nothing.
        configs: folder of the models' configs, as a reader finds it.
        picture: of the scores; file name beside the report.
    """

    data: str
    command: str
    configs: str
    picture: str


def scores_by_model(
    outcomes: Mapping[Run, Outcome], models: Sequence[Model], metric: str | None = None
) -> dict[Model, ModelScores]:
    """The scores of each model that has at least one finished run, in the order of `models` (metric: see `ModelScores`)."""
    rows = {model: [outcome.rows for run, outcome in outcomes.items() if run.model == model] for model in models}
    return {model: ModelScores(runs, metric) for model, runs in rows.items() if runs}


def describe_data(setting: Setting) -> str:
    """A paragraph on what the numbers are of, and what they are not."""
    return (
        f"**Data.** {setting.data} Synthetic: the numbers compare these models with each other, and say nothing "
        "about scores on real imagery; do not compare them with published ones."
    )


def describe_missing(missing: Mapping[Run, str]) -> str:
    """A paragraph on the runs that there is nothing of, and why; empty if there are none."""
    if not missing:
        return ""
    lines = "\n".join(f"- `{run.name}`: {reason}" for run, reason in missing.items())
    return f"**Incomplete.** These runs are missing from everything below:\n\n{lines}"


def score_section(setting: Setting, scores: Mapping[Model, ModelScores]) -> list[str]:
    """Paragraphs: the scores by subset and in sum, how to read them, and their picture."""
    first = next(iter(scores.values()))
    reading = (
        f"Scores are {first.metric} from 0 to 1: the mean over the runs of a model ± the standard deviation between "
        "them. Runs of a model differ in their seed alone (initial weights, order and augmentation of the samples, the "
        "subsets drawn), not in their data. No ±: a single run. Retention is the mean of the incomplete subsets as a "
        "share of the score on complete input."
    )
    return [*score_tables(scores), reading, f"![scores by subset]({setting.picture})"]


def score_tables(scores: Mapping[Model, ModelScores]) -> list[str]:
    """Two tables: the scores by subset, and in sum."""
    first = next(iter(scores.values()))
    names = first.subsets[0]
    by_subset = markdown_table(
        [*map(str.upper, names), *(model.title for model in scores)],
        [subset_ticks(subset, names) + [str(s.subset(subset)) for s in scores.values()] for subset in first.subsets],
        centerd=len(names),
    )
    summary = markdown_table(
        ["model", "runs", "complete input", "mean of the incomplete", "retention"],
        [
            [model.title, str(len(s.complete.values)), str(s.complete), str(s.incomplete), str(s.retention)]
            for model, s in scores.items()
        ],
        centerd=1,
    )
    return [by_subset, summary]


def describe_difference(first: AcrossSeeds, second: AcrossSeeds) -> str:
    """By how much the first exceeds the second, with its spread and in a word."""
    margin, spread = compare(first, second)
    return f"{signed(margin, spread)} ({effect(margin, spread)})"


def describe_origin(setting: Setting, outcomes: Mapping[Run, Outcome]) -> str:
    """A list: command, configs, machine, versions and time."""
    records = [outcome.record for outcome in outcomes.values()]
    weights = ", and with the weights of its pre-training" if any(run.origin for run in outcomes) else ""
    return "\n".join(
        [
            f"- Command: `{setting.command}`; each run's configuration is `{setting.configs}/MODEL.yaml` with its "
            f"SEED{weights}.",
            f"- Machine: {_each(record['machine'] + '; device ' + record['device'] for record in records)}",
            f"- Versions: {_each(record['versions'] for record in records)}",
            f"- Time: {sum(sum(record['seconds'].values()) for record in records) / 3600:.1f} h in all",
        ]
    )


def run_table(outcomes: Mapping[Run, Outcome]) -> str:
    """A row per run: its size, its time and its scores, which a pre-training run has none of."""
    body = []
    for run, outcome in outcomes.items():
        record, seconds = outcome.record, outcome.record["seconds"]
        scores = ModelScores([outcome.rows]) if outcome.rows else None
        body.append(
            [
                run.name,
                f"{record['parameters'] / 1e6:.1f}",
                f"{record['iterations']} x {record['batch']}",
                f"{seconds.get('training', 0):.0f}",
                f"{seconds.get('evaluation', 0):.0f}",
                *([str(scores.complete), str(scores.incomplete)] if scores else ["", ""]),
            ]
        )
    return markdown_table(
        ["run", "M parameters", "iterations x tiles", "training, s", "evaluation, s", "complete", "incomplete"],
        body,
        centerd=1,
    )


def _each(values: Iterable[str]) -> str:
    """What all runs share once; what they do not, each."""
    return " / ".join(dict.fromkeys(values))
