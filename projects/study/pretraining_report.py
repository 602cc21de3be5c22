"""The Markdown of the pre-training demo, computed from its runs."""

from __future__ import annotations

from collections.abc import Mapping

from imrsf_d2.evaluation.report import markdown_table
from projects.study.claims import CLEAR, judge_benefit
from projects.study.plan import Model, Run
from projects.study.runs import Outcome
from projects.study.scores import ModelScores
from projects.study.starts import FROM_G, FROM_GC, PARTIAL, PRETRAININGS, SCRATCH, STARTS, TENTH
from projects.study.tables import (
    Setting,
    describe_data,
    describe_difference,
    describe_missing,
    describe_origin,
    run_table,
    score_section,
    scores_by_model,
)

__all__ = ["write_up"]

#: (start, compared with, what the difference is the effect of)
COMPARISONS = (
    (FROM_G, SCRATCH, "pre-training, G"),
    (FROM_GC, SCRATCH, "pre-training, G & C"),
    (FROM_GC, FROM_G, "the contrastive loss"),
    (TENTH, FROM_GC, "a tenth of the encoder's learning rate"),
    (PARTIAL, FROM_GC, "freezing the encoder"),
    (PARTIAL, SCRATCH, "pre-training, G & C, and freezing"),
)

SHARED_PRETRAINING = (
    "All runs from G start from one and the same pre-training, and so do all from G & C: their ± holds the spread of "
    "fine-tuning, and not that of pre-training itself, which may well be larger."
)


def write_up(
    setting: Setting, labeled: int, outcomes: Mapping[Run, Outcome], missing: Mapping[Run, str], reconstructions: str
) -> str:
    """The report.

    Args:
        labeled: training tiles whose labels are used.
        outcomes: of the finished runs, pre-training runs among them.
        missing: of the others, why there are no numbers.
        reconstructions: file name of their picture beside the report; empty if there is none.
    """
    scores = scores_by_model(outcomes, STARTS)
    parts = [
        "# Does pre-training help here?",
        "Written by `tools/pretrain_demo.py` from the logs of its runs; not edited by hand. The encoder is pre-trained "
        "on all training tiles without their labels, by reconstruction (G) and by reconstruction and contrast (G & C). "
        f"Then building instances are learned from the labels of {labeled} of these tiles: from random weights, from "
        "either pre-training, and with a pre-trained encoder that learns at a tenth of the rate or is kept as it is; on "
        "the same tiles, for the same number of iterations.",
        describe_data(setting),
        describe_missing(missing),
    ]
    if scores:
        parts += ["## Scores by start", *score_section(setting, scores)]
        parts += [SHARED_PRETRAINING] * any(start.origin for start in scores)
        parts += ["## Verdict", _verdict(scores), "## Differences", _differences(scores)]
    pretrained = {run: outcome for run, outcome in outcomes.items() if run.model in PRETRAININGS}
    if pretrained:
        parts += ["## What pre-training learned", _loss_table(pretrained)]
        parts += [f"![reconstructions during pre-training]({reconstructions})"] * bool(reconstructions)
    if outcomes:
        parts += ["## How pre-training was measured", describe_origin(setting, outcomes), run_table(outcomes)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _verdict(scores: Mapping[Model, ModelScores]) -> str:
    judgments = [
        judgment
        for start in (FROM_G, FROM_GC)
        if start in scores and SCRATCH in scores
        for judgment in judge_benefit(start.title, scores[start], scores[SCRATCH])
    ]
    if not judgments:
        return "Nothing can be said: it takes finished runs from random weights and from pre-trained ones."
    lines = [f"- {judgment.claim} **{judgment.verdict.capitalize()}**: {judgment.finding}." for judgment in judgments]
    return "\n".join(lines) + (
        "\n\n*Yes*: better than from random weights; *no*: worse; *not clearly*: by less than "
        f"{CLEAR:g} times the spread of the difference, the root of the summed squares of both standard deviations."
    )


def _differences(scores: Mapping[Model, ModelScores]) -> str:
    body = [
        [
            f"{first.title} minus {second.title}",
            effect,
            describe_difference(scores[first].complete, scores[second].complete),
            describe_difference(scores[first].incomplete, scores[second].incomplete),
        ]
        for first, second, effect in COMPARISONS
        if first in scores and second in scores
    ]
    if not body:
        return "Nothing can be said: no two starts that are compared have finished runs."
    return (
        markdown_table(["difference", "the effect of", "complete input", "mean of the incomplete"], body, centerd=2)
        + f"\n\n*Unclear*: less than {CLEAR:g} times the spread. A single run is taken to vary as those it is "
        "compared with."
    )


def _loss_table(outcomes: Mapping[Run, Outcome]) -> str:
    """A row per loss, a column per pre-training."""
    losses = {run: outcome.record["losses"] for run, outcome in outcomes.items()}
    names = dict.fromkeys(name for of_run in losses.values() for name in of_run if name != "total_loss")
    body = [
        [name, *(f"{of_run[name][0]:.3f} → {of_run[name][1]:.3f}" if name in of_run else "" for of_run in losses.values())]
        for name in (*names, "total_loss")
    ]
    return (
        markdown_table(["loss", *(run.model.title for run in losses)], body, centerd=1)
        + "\n\nMedian of the first 20 iterations → of the last 20, on training tiles, weighted as they are summed; "
        "those of modalities are of masked patches, the contrastive one is of whole samples."
    )
