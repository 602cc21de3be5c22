"""From the scores of subsets to what a reader wants to know: what is kept, what is lost, what a sensor is worth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from imrsf_d2.errors import InputError
from imrsf_d2.evaluation.bootstrap import interval, resample_counts
from imrsf_d2.evaluation.per_image import InstanceImages, SemanticImages
from imrsf_d2.evaluation.report import main_score
from imrsf_d2.evaluation.shapley import shapley_values
from imrsf_d2.evaluation.trivial import trivial_images
from imrsf_d2.modalities import subset_label

__all__ = ["Estimate", "Summary", "summarise"]

Subset = tuple[str, ...]


@dataclass(frozen=True)
class Estimate:
    """A value with its bootstrap interval; low and high are NaN without a bootstrap."""

    value: float
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class Summary:
    """Scores and what is derived from them, in percent but for `retention`, which is a fraction of 1.

    Args:
        names: the modalities, in config order.
        metric: the score that everything is about, e.g. "AP50".
        num_images, resamples, seed: of the bootstrap over images, the same draws for every subset.
        blind: what the predictor does that looks at nothing, and `blind_results` its results.
        scores: of each evaluated subset, in order.
        retention: score / score of the complete input; empty if that was not evaluated.
        losses: score of the complete input minus that without one sensor; of the sensors for which both are known.
        shapley: of each sensor; empty unless all subsets were evaluated.
        mean_incomplete: mean score over the incomplete subsets that were evaluated; None if there is none.
        worst: the lowest scoring of them; None if there is none.
    """

    names: Subset
    metric: str
    num_images: int
    resamples: int
    seed: int
    blind: str
    blind_results: Mapping
    scores: Mapping[Subset, Estimate]
    retention: Mapping[Subset, Estimate]
    losses: Mapping[str, Estimate]
    shapley: Mapping[str, Estimate]
    mean_incomplete: Estimate | None
    worst: Subset | None


def summarise(names: Sequence[str], rows: Sequence[Mapping], images: Mapping[Subset, SemanticImages | InstanceImages],
              classes: Sequence[str], resamples: int, seed: int = 0) -> Summary:
    """Derive everything, with percentile intervals of a bootstrap over images that all subsets share.

    Args:
        names: the modalities, in config order.
        rows: of `sweep_subsets`, at least one.
        images: what each image contributed to each row's main score.
        classes: names of the classes of label maps, for the best constant one.
        resamples: of the bootstrap; 0 leaves the intervals out.
        seed: of its draws.

    Raises:
        ValueError: if the subsets were evaluated on different images.
    """
    names = tuple(names)
    image_ids = next(iter(images.values())).image_ids
    for subset, own in images.items():
        if own.image_ids != image_ids:
            raise InputError(f"{subset_label(subset)} was evaluated on {len(own.image_ids)} images that are not the "
                             f"{len(image_ids)} of {subset_label(next(iter(images)))}; only scores of the same images "
                             "can be compared.")
    blind, blind_results, blind_images = trivial_images(next(iter(images.values())), classes)
    counts = resample_counts(len(image_ids), resamples, seed)
    # Position 0 is the data set itself, the others are its resamples: whatever is derived is derived for all alike.
    evaluated = [tuple(row["modalities"]) for row in rows]
    values = {subset: np.append(main_score(row["results"])[2], images[subset].scores(counts))
              for subset, row in zip(evaluated, rows)}
    values[()] = np.append(main_score(blind_results)[2], blind_images.scores(counts))
    incomplete = [subset for subset in evaluated if subset != names]
    without = {name: tuple(other for other in names if other != name) for name in names}
    complete = values.get(names)
    with np.errstate(divide="ignore", invalid="ignore"):
        retention = {s: _estimate(values[s] / complete) for s in evaluated} if complete is not None else {}
    return Summary(
        names=names, metric=main_score(rows[0]["results"])[1], num_images=len(image_ids), resamples=resamples,
        seed=seed, blind=blind, blind_results=blind_results,
        scores={subset: _estimate(values[subset]) for subset in evaluated},
        retention=retention,
        losses={name: _estimate(complete - values[rest]) for name, rest in without.items()
                if complete is not None and rest and rest in values},
        shapley={name: _estimate(worth) for name, worth in shapley_values(names, values).items()}
        if len(values) == 2 ** len(names) else {},
        mean_incomplete=_estimate(np.mean([values[subset] for subset in incomplete], axis=0)) if incomplete else None,
        worst=min(incomplete, key=lambda subset: values[subset][0]) if incomplete else None)


def _estimate(values: np.ndarray) -> Estimate:
    return Estimate(float(values[0]), *interval(values[1:]))
