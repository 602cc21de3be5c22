"""What the paper claims, judged from the numbers of our runs."""

from __future__ import annotations

import math
from dataclasses import dataclass

from imrsf_d2.modalities import subset_title
from projects.study.scores import AcrossSeeds, ModelScores, Subset

__all__ = ["CLEAR", "COLLAPSE", "Judgment", "compare", "effect", "judge", "judge_benefit", "judge_claims", "signed"]

#: A model has collapsed on a subset when less than this share of its own score on complete input is left.
COLLAPSE = 0.1
#: A difference is clear when it is at least this many times its spread.
CLEAR = 2.0


@dataclass(frozen=True)
class Judgment:
    """A claim, whether it holds, and the numbers that say so."""

    claim: str
    verdict: str
    finding: str


def compare(first: AcrossSeeds, second: AcrossSeeds, factor: float = 1.0) -> tuple[float, float | None]:
    """By how much `first` exceeds `factor` times `second`.

    Returns:
        The difference of the means; and its spread, the root of the summed squares of both standard deviations (the
        second's times `factor`). The deviation of a single run is taken to be the other's; None if both are single.
    """
    deviations = [first.deviation, second.deviation]
    known = [deviation for deviation in deviations if deviation is not None]
    margin = first.mean - factor * second.mean
    if not known:
        return margin, None
    one, other = (known[0] if deviation is None else deviation for deviation in deviations)
    return margin, math.hypot(one, factor * other)


def effect(margin: float, spread: float | None) -> str:
    """In a word, what a difference says: "helps", "hurts", "unclear", or "spread unknown".

    It is unclear when the runs vary as much anyway.

    Args:
        margin, spread: as from `compare`.
    """
    if spread is None:
        return "spread unknown"
    if abs(margin) < CLEAR * spread:
        return "unclear"
    return "helps" if margin > 0 else "hurts"


def judge(margin: float, spread: float | None) -> str:
    """In words, whether something holds that needs a margin of at least 0.

    Args:
        margin, spread: as from `compare`.
    """
    word = "holds" if margin >= 0 else "does not hold"
    if spread is None:
        return f"{word} (single runs, spread unknown)"
    return f"{word}, but not clearly" if effect(margin, spread) == "unclear" else word


def judge_claims(proposed: ModelScores, baseline: ModelScores) -> list[Judgment]:
    """Hold the paper's three claims about the proposed model and MultiViT against their scores."""
    return [_complete(proposed, baseline), _incomplete(proposed, baseline), _collapse(proposed, baseline)]


def judge_benefit(title: str, pretrained: ModelScores, scratch: ModelScores) -> list[Judgment]:
    """Say whether a model is the better for its pre-training, on complete and on incomplete input.

    Args:
        title: of the pre-trained model.
        scratch: the same model's scores, trained from random weights.
    """
    verdicts = {"helps": "yes", "hurts": "no", "unclear": "not clearly", "spread unknown": "single runs, spread unknown"}
    judgments = []
    for name, ours, theirs in (
        ("on complete input", pretrained.complete, scratch.complete),
        (f"over the {len(scratch.subsets) - 1} incomplete subsets", pretrained.incomplete, scratch.incomplete),
    ):
        margin, spread = compare(ours, theirs)
        judgments.append(
            Judgment(
                f"Does pre-training help {name} ({title})?",
                verdicts[effect(margin, spread)],
                f"{ours} against {theirs}, a difference of {signed(margin, spread)}",
            )
        )
    return judgments


def _complete(proposed: ModelScores, baseline: ModelScores) -> Judgment:
    margin, spread = compare(proposed.complete, baseline.complete)
    return Judgment(
        "On complete input the proposed model at least matches MultiViT.",
        judge(margin, spread),
        f"{proposed.complete} against {baseline.complete}, a difference of {signed(margin, spread)}",
    )


def _incomplete(proposed: ModelScores, baseline: ModelScores) -> Judgment:
    margin, spread = compare(proposed.incomplete, baseline.incomplete, factor=2.0)
    ours, theirs = proposed.incomplete, baseline.incomplete
    ratio = f"{ours.mean / theirs.mean:.2f} times" if theirs.mean > 0 else "while MultiViT finds nothing"
    return Judgment(
        f"Over the {len(proposed.subsets) - 1} incomplete subsets its mean is at least twice MultiViT's.",
        judge(margin, spread),
        f"{ours} against {theirs}, {ratio}; above twice MultiViT's by {signed(margin, spread)}",
    )


def _collapse(proposed: ModelScores, baseline: ModelScores) -> Judgment:
    claim = (
        f"On no subset does it collapse (less than {100 * COLLAPSE:.0f} % of its score on complete input left) "
        "where MultiViT does not."
    )
    withstood = [subset for subset in baseline.subsets[1:] if _reserve(baseline, subset).mean >= 0]
    if not withstood:
        return Judgment(claim, judge(0.0, 0.0), f"MultiViT collapses on all {len(baseline.subsets) - 1} of them")
    reserves = {subset: _reserve(proposed, subset) for subset in withstood}
    worst = min(reserves, key=lambda subset: reserves[subset].mean)
    collapsed = [subset_title(subset) for subset in withstood if reserves[subset].mean < 0]
    finding = (
        f"it collapses on {', '.join(collapsed)}"
        if collapsed
        else (
            f"MultiViT does not collapse on {len(withstood)} of them, nor does the proposed model there; it comes closest "
            f"with {subset_title(worst)}: {proposed.subset(worst)}"
        )
    )
    return Judgment(claim, judge(reserves[worst].mean, reserves[worst].deviation), finding)


def _reserve(scores: ModelScores, subset: Subset) -> AcrossSeeds:
    """How far a model is from collapse on a subset; negative if it has collapsed."""
    return scores.across_seeds(lambda run: run[subset] - COLLAPSE * run[scores.subsets[0]])


def signed(margin: float, spread: float | None) -> str:
    """A difference with its sign and spread."""
    return f"{margin:+.3f}" + ("" if spread is None else f" ± {spread:.3f}")
