"""The Markdown of the study, computed from its runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from imrsf_d2.evaluation.report import markdown_table, subset_ticks
from imrsf_d2.study.claims import CLEAR, compare, is_clear, judge_claims, signed
from imrsf_d2.study.plan import BASELINE, MODELS, PROPOSED, Model, Run
from imrsf_d2.study.runs import Outcome
from imrsf_d2.study.scores import AcrossSeeds, ModelScores

__all__ = ["Setting", "scores_by_model", "write_up"]


@dataclass(frozen=True)
class Setting:
    """What the report says beside the runs.

    Args:
        data: one sentence.
        command: that makes it from nothing.
        configs: folder of the models' configs, as a reader finds it.
        picture: file name beside the report; empty if there is none.
    """

    data: str
    command: str
    configs: str
    picture: str


def scores_by_model(outcomes: Mapping[Run, Outcome]) -> dict[Model, ModelScores]:
    """The scores of each model that has at least one finished run, in the plan's order."""
    rows = {model: [outcome.rows for run, outcome in outcomes.items() if run.model == model] for model in MODELS}
    return {model: ModelScores(runs) for model, runs in rows.items() if runs}


def write_up(setting: Setting, outcomes: Mapping[Run, Outcome], missing: Mapping[Run, str]) -> str:
    """The report.

    Args:
        outcomes: of the finished runs.
        missing: of the others, why there are no numbers.
    """
    scores = scores_by_model(outcomes)
    parts = [
        "# Do the paper's claims hold here?",
        "Written by `tools/study.py` from the logs of its runs; not edited by hand. The proposed model, MultiViT (the "
        "paper's baseline) and the paper's ablations, trained from random weights on the same data for the same number "
        "of iterations, then evaluated with every subset of the sensors.",
        f"**Data.** {setting.data} Synthetic: the numbers compare these models with each other, and say nothing about "
        "scores on real imagery; do not compare them with published ones.",
        _missing(missing),
    ]
    if scores:
        parts += ["## Scores", _subset_table(scores), _summary_table(scores)]
        parts += [_reading(scores)] + [f"![scores by subset]({setting.picture})"] * bool(setting.picture)
        parts += ["## Claims", _claims(scores), "## What each component contributes", _contributions(scores)]
        parts += ["## How it was made", _origin(setting, outcomes), _run_table(outcomes)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _missing(missing: Mapping[Run, str]) -> str:
    if not missing:
        return ""
    lines = "\n".join(f"- `{run.name}`: {reason}" for run, reason in missing.items())
    return f"**Incomplete.** These runs of the study are missing from everything below:\n\n{lines}"


def _subset_table(scores: Mapping[Model, ModelScores]) -> str:
    """One row per subset, one column per model."""
    subsets = next(iter(scores.values())).subsets
    names = subsets[0]
    body = [subset_ticks(subset, names) + [str(s.subset(subset)) for s in scores.values()]
            for subset in subsets]
    return markdown_table([*map(str.upper, names), *(model.title for model in scores)], body, centred=len(names))


def _summary_table(scores: Mapping[Model, ModelScores]) -> str:
    return markdown_table(["model", "runs", "complete input", "mean of the incomplete", "retention"], [
        [model.title, str(len(s.complete.values)), str(s.complete), str(s.incomplete), str(s.retention)]
        for model, s in scores.items()], centred=1)


def _reading(scores: Mapping[Model, ModelScores]) -> str:
    metric = next(iter(scores.values())).metric
    return (f"Scores are {metric} from 0 to 1: the mean over the runs of a model ± the standard deviation between them. "
            "Runs of a model differ in their seed alone (initial weights, order and augmentation of the samples, the "
            "subsets drawn), not in their data. No ±: a single run. Retention is the mean of the incomplete subsets as a "
            "share of the score on complete input.")


def _claims(scores: Mapping[Model, ModelScores]) -> str:
    absent = [model.title for model in (PROPOSED, BASELINE) if model not in scores]
    if absent:
        return f"Nothing can be said: no finished run of {' and '.join(absent)}."
    lines = [f"{number}. {judgement.claim} **{judgement.verdict.capitalize()}**: {judgement.finding}."
             for number, judgement in enumerate(judge_claims(scores[PROPOSED], scores[BASELINE]), start=1)]
    return "\n".join(lines) + (
        "\n\nA difference is followed by its spread, the root of the summed squares of both models' standard deviations; "
        f"a single run is taken to vary as the model it is compared with. *Not clearly*: less than {CLEAR:g} times that.")


def _contributions(scores: Mapping[Model, ModelScores]) -> str:
    """The proposed model minus each of the others."""
    if PROPOSED not in scores:
        return f"Nothing can be said: no finished run of {PROPOSED.title}."
    others = {model: s for model, s in scores.items() if model != PROPOSED}
    if not others:
        return "Nothing can be said: no finished run of another model."
    ours = scores[PROPOSED]
    body = [[model.title, _difference(ours.complete, s.complete), _difference(ours.incomplete, s.incomplete)]
            for model, s in others.items()]
    return (markdown_table(["proposed minus", "complete input", "mean of the incomplete"], body, centred=1)
            + "\n\nPositive: the proposed model is better, so what the other lacks helps. "
              f"*Unclear*: less than {CLEAR:g} times the spread.")


def _difference(ours: AcrossSeeds, theirs: AcrossSeeds) -> str:
    margin, spread = compare(ours, theirs)
    if spread is None:
        word = "spread unknown"
    elif not is_clear(margin, spread):
        word = "unclear"
    else:
        word = "helps" if margin > 0 else "hurts"
    return f"{signed(margin, spread)} ({word})"


def _origin(setting: Setting, outcomes: Mapping[Run, Outcome]) -> str:
    records = [outcome.record for outcome in outcomes.values()]
    lines = [
        f"- Command: `{setting.command}`; each run's configuration is `{setting.configs}/MODEL.yaml` with its SEED.",
        f"- Machine: {_each(record['machine'] + '; device ' + record['device'] for record in records)}",
        f"- Versions: {_each(record['versions'] for record in records)}",
        f"- Time: {sum(sum(record['seconds'].values()) for record in records) / 3600:.1f} h in all",
    ]
    return "\n".join(lines)


def _run_table(outcomes: Mapping[Run, Outcome]) -> str:
    body = []
    for run, outcome in outcomes.items():
        record, seconds = outcome.record, outcome.record["seconds"]
        complete = ModelScores([outcome.rows])
        body.append([run.name, f"{record['parameters'] / 1e6:.1f}", f"{record['iterations']} x {record['batch']}",
                     f"{seconds.get('training', 0):.0f}", f"{seconds.get('evaluation', 0):.0f}",
                     str(complete.complete), str(complete.incomplete)])
    return markdown_table(["run", "M parameters", "iterations x tiles", "training, s", "evaluation, s", "complete",
                           "incomplete"], body, centred=1)


def _each(values: Iterable[str]) -> str:
    """What all runs share once; what they do not, each."""
    return " / ".join(dict.fromkeys(values))
