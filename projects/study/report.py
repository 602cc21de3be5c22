"""The Markdown of the study, computed from its runs."""

from __future__ import annotations

from collections.abc import Mapping

from imrsf_d2.evaluation.report import markdown_table
from projects.study.claims import CLEAR, judge_claims
from projects.study.plan import BASELINE, BASELINE_LONGER, LONGER, MODELS, PROPOSED, PROPOSED_LONGER, Model, Run
from projects.study.runs import Outcome
from projects.study.scores import ModelScores
from projects.study.tables import (
    Setting,
    describe_data,
    describe_difference,
    describe_missing,
    describe_origin,
    run_table,
    score_section,
    score_tables,
    scores_by_model,
)

__all__ = ["write_up"]

HOW_SURE = (
    "A difference is followed by its spread, the root of the summed squares of both models' standard deviations; a "
    f"single run is taken to vary as the model it is compared with. *Not clearly*: less than {CLEAR:g} times that."
)


def write_up(setting: Setting, outcomes: Mapping[Run, Outcome], missing: Mapping[Run, str]) -> str:
    """The report.

    Args:
        outcomes: of the finished runs.
        missing: of the others, why there are no numbers.
    """
    scores = scores_by_model(outcomes, MODELS)
    parts = [
        "# Do the paper's claims hold here?",
        "Written by `tools/study.py` from the logs of its runs; not edited by hand. The proposed model, MultiViT (the "
        "paper's baseline) and the paper's ablations, trained from random weights on the same data for the same number "
        "of iterations, then evaluated with every subset of the sensors.",
        describe_data(setting),
        describe_missing(missing),
    ]
    if scores:
        parts += ["## Scores", *score_section(setting, scores)]
        parts += ["## Claims", _claims(scores, PROPOSED, BASELINE), HOW_SURE]
        parts += _longer(outcomes)
        parts += ["## What each component contributes", _contributions(scores)]
        parts += _exact_masks(scores_by_model(outcomes, MODELS, metric="AP"))
    if outcomes:
        parts += ["## How it was made", describe_origin(setting, outcomes), run_table(outcomes)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _claims(scores: Mapping[Model, ModelScores], proposed: Model, baseline: Model) -> str:
    absent = [model.title for model in (proposed, baseline) if model not in scores]
    if absent:
        return f"Nothing can be said: no finished run of {' and '.join(absent)}."
    return "\n".join(
        f"{number}. {judgment.claim} **{judgment.verdict.capitalize()}**: {judgment.finding}."
        for number, judgment in enumerate(judge_claims(scores[proposed], scores[baseline]), start=1)
    )


def _exact_masks(scores: Mapping[Model, ModelScores]) -> list[str]:
    """Paragraphs on the claims by a metric that also asks how exact a mask is."""
    return [
        "## The claims by exact masks",
        "The same runs, by AP from 0 to 1 in place of AP50. AP50 takes a building as found when its mask and the true "
        "one overlap by an IoU of 0.5, which large buildings that stand alone reach with a rough mask; AP is the mean "
        "over the thresholds from 0.50 to 0.95.",
        *score_tables(scores),
        _claims(scores, PROPOSED, BASELINE),
    ]


def _longer(outcomes: Mapping[Run, Outcome]) -> list[str]:
    """Paragraphs on the claims after a longer training; none if there is none."""
    scores = scores_by_model(outcomes, LONGER)
    if not scores:
        return []
    iterations = next(outcome.record["iterations"] for run, outcome in outcomes.items() if run.model in scores)
    return [
        "## The claims after a longer training",
        "The two models once more, on the same data and from the same seed as their first runs above, but for "
        f"{iterations} iterations. What holds above and not here says that the proposed model learns faster, and not "
        "that it ends so far ahead.",
        *score_tables(scores),
        _claims(scores, PROPOSED_LONGER, BASELINE_LONGER),
    ]


def _contributions(scores: Mapping[Model, ModelScores]) -> str:
    """The proposed model minus each of the others."""
    if PROPOSED not in scores:
        return f"Nothing can be said: no finished run of {PROPOSED.title}."
    others = {model: s for model, s in scores.items() if model != PROPOSED}
    if not others:
        return "Nothing can be said: no finished run of another model."
    ours = scores[PROPOSED]
    body = [
        [model.title, describe_difference(ours.complete, s.complete), describe_difference(ours.incomplete, s.incomplete)]
        for model, s in others.items()
    ]
    return (
        markdown_table(["proposed minus", "complete input", "mean of the incomplete"], body, centerd=1)
        + "\n\nPositive: the proposed model is better, so what the other lacks helps. "
        f"*Unclear*: less than {CLEAR:g} times the spread."
    )
