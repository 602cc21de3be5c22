"""The study: the proposed model, the paper's baseline and its ablations, and whether the paper's claims hold for them."""

from __future__ import annotations

from imrsf_d2.modalities import subset_title
from projects.study.claims import Claim, claim_row, compare_models
from projects.study.plan import BASELINE, BASELINE_LONGER, CONFIGS, DATA, LONGER, MODELS, PROPOSED, PROPOSED_LONGER
from projects.study.report import Outcomes, Topic
from projects.study.scores import METRICS, AcrossSeeds, ModelScores, Subset, scores_by_model

__all__ = ["COLLAPSE", "collapse_rows", "study_claims", "study_topic"]

#: A model has collapsed on a subset if less than this share of its own score on complete input is left.
COLLAPSE = 0.1
PAIRS = ((PROPOSED, BASELINE), (PROPOSED_LONGER, BASELINE_LONGER))


def study_topic(scale: str) -> Topic:
    """The study at one of the scales of `DATA`."""
    return Topic(
        title="Do the paper's claims hold on synthetic data?",
        introduction=(
            "The proposed model, MultiViT (the paper's baseline) and the paper's ablations, trained from random weights on the "
            "same data for the same number of iterations, then evaluated on every subset of the sensors. *Longer* are the first "
            "two once more, for twice as many iterations: how far apart they are depends on how long they are trained."
        ),
        models=(*MODELS, *LONGER),
        drawn=MODELS,
        configs=CONFIGS / scale,
        data=DATA[scale],
        claims=study_claims,
    )


def study_claims(outcomes: Outcomes) -> list[Claim]:
    """The paper's claims about the proposed model, MultiViT and the ablations."""
    return [
        (
            "On complete input, the proposed model is at least as good as MultiViT.",
            compare_models(outcomes, PAIRS, ["complete"]),
        ),
        (
            "On average over the incomplete subsets, the proposed model scores at least twice as high as MultiViT.",
            compare_models(outcomes, PAIRS, ["incomplete"], factor=2.0),
        ),
        (
            f"On no subset does the proposed model collapse (to less than {100 * COLLAPSE:.0f} % of its own score on complete "
            "input) unless MultiViT does, too. Compared is the subset on which it comes closest to that.",
            collapse_rows(outcomes),
        ),
        (
            "Every component helps: the proposed model is better than MultiViT and than each model that lacks one component.",
            compare_models(outcomes, [(PROPOSED, model) for model in MODELS if model != PROPOSED]),
        ),
    ]


def collapse_rows(outcomes: Outcomes) -> list[list[str]]:
    """Rows on the proposed model where it comes closest to collapse, of the subsets on which MultiViT does not collapse."""
    rows = []
    for first, second in PAIRS:
        for metric in METRICS:
            scores = scores_by_model(outcomes, (first, second), metric)
            if len(scores) < 2:
                continue
            proposed, baseline = scores[first], scores[second]
            standing = [subset for subset in baseline.subsets[1:] if _margin(baseline, subset).mean >= 0]
            if not standing:  # nothing could contradict the claim
                rows.append([f"{first.title}, {metric}: {second.title} collapses on all", "", "", "", "holds"])
                continue
            subset = min(standing, key=lambda subset: _margin(proposed, subset).mean)
            # Both quantities are of the same runs, so the standard error is that of their difference within each run.
            margin = _margin(proposed, subset)
            error = None if margin.deviation is None else margin.deviation / len(margin.values) ** 0.5
            what = f"{first.title} with {subset_title(subset)} vs. {100 * COLLAPSE:.0f} % of complete input, {metric}"
            rows.append(claim_row(what, proposed.subset(subset), proposed.complete.scaled(COLLAPSE), error))
    return rows


def _margin(model: ModelScores, subset: Subset) -> AcrossSeeds:
    """How far a model is from collapse on a subset; negative if it has collapsed."""
    return model.across_seeds(lambda run: run[subset] - COLLAPSE * run[model.subsets[0]])
