"""What follows from the scores of the subsets: retention, losses without a sensor, and each sensor's contribution."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from imrsf_d2.evaluation.bootstrap import LEAST_IMAGES, interval, resample_counts
from imrsf_d2.evaluation.coverage import Coverage
from imrsf_d2.evaluation.per_image import Images
from imrsf_d2.evaluation.scores import main_score
from imrsf_d2.evaluation.shapley import shapley_values
from imrsf_d2.evaluation.trivial import trivial_images
from imrsf_d2.modalities import subset_label
from imrsf_d2.utils.errors import InputError

__all__ = ["Estimate", "Kept", "Summary", "summarize"]

Subset = tuple[str, ...]


@dataclass(frozen=True)
class Estimate:
    """A value with its bootstrap interval; low and high are NaN without a bootstrap, and of fewer than `LEAST_IMAGES` images."""

    value: float
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class Kept:
    """Scores of the subsets on some images, in percent; `retention` is a fraction of 1.

    Args:
        images: number of images that each subset is scored on.
        scores: of each evaluated subset, in order.
        retention: score / score of the complete input on the same images; empty if that was not evaluated.
        mean_incomplete: mean score over the incomplete subsets that were evaluated; None if there are none.
        worst: the incomplete subset with the lowest score; None if there are none.
    """

    images: Mapping[Subset, int]
    scores: Mapping[Subset, Estimate]
    retention: Mapping[Subset, Estimate]
    mean_incomplete: Estimate | None
    worst: Subset | None


@dataclass(frozen=True)
class Summary(Kept):
    """Scores on all images and what is derived from them, in percent; `retention` is a fraction of 1.

    Args:
        names: the modalities that at least one image has, in config order.
        absent: the modalities of the model that no image has.
        metric: the metric of all scores, e.g. "AP50".
        num_images, resamples, seed: of the bootstrap over images; its draws are the same for every subset.
        blind: what a predictor that uses no sensor predicts, in words.
        blind_results: its results, like those of an evaluator.
        having: number of images with data of each modality.
        empty: number of files of each modality without a valid pixel, which count as missing; without the modalities that
            have no such file.
        covered: the same on the images with data of at least one modality of the subset.
        complete_images: number of images with data of all `names`, on which `losses` and `shapley` are computed.
        losses: score of the complete input minus that without one sensor, for the sensors for which both are known.
        shapley: value of each sensor; empty unless all subsets were evaluated and an image has data of all sensors. The
            values sum to the difference of `ends`.
        leads: the highest Shapley value minus that of each other sensor, by the name of the other one; its interval is that of the
            difference, on the same resamples.
        alone_leads: the highest retention of a single sensor minus that of each other one, likewise; empty if the complete input was
            not evaluated.
        ends: scores of (the predictor that uses no sensor, the complete input); None without `shapley`.
    """

    names: Subset
    absent: Subset
    metric: str
    num_images: int
    resamples: int
    seed: int
    blind: str
    blind_results: Mapping
    having: Mapping[str, int]
    empty: Mapping[str, int]
    covered: Kept
    complete_images: int
    losses: Mapping[str, Estimate]
    shapley: Mapping[str, Estimate]
    leads: Mapping[str, Estimate]
    alone_leads: Mapping[str, Estimate]
    ends: tuple[Estimate, Estimate] | None


def summarize(
    names: Sequence[str],
    rows: Sequence[Mapping],
    images: Mapping[Subset, Images],
    classes: Sequence[str],
    resamples: int,
    seed: int = 0,
    coverage: Coverage | None = None,
) -> Summary:
    """Derive a summary, with percentile intervals from a bootstrap over images.

    Args:
        names: the modalities that at least one image has, in config order.
        rows: as returned by `sweep_subsets`, at least one.
        images: what each image contributes to each row's main score.
        classes: names of the classes of label maps, from which the best constant label map is chosen.
        resamples: of the bootstrap; 0 for no intervals.
        seed: of its draws.
        coverage: which image has which modality; None: every image has all.

    Raises:
        ValueError: if the subsets were evaluated on different images.
    """
    names = tuple(names)
    image_ids = next(iter(images.values())).image_ids
    for subset, own in images.items():
        if own.image_ids != image_ids:
            raise InputError(
                f"{subset_label(subset)} was evaluated on {len(own.image_ids)} images, which are not the "
                f"{len(image_ids)} images of {subset_label(next(iter(images)))}: evaluate all subsets on the same images."
            )
    evaluated = [tuple(row["modalities"]) for row in rows]
    everywhere = np.ones(len(image_ids), dtype=bool)
    covered, having, whole = dict.fromkeys(evaluated, everywhere), dict.fromkeys(names, len(image_ids)), everywhere
    if coverage is not None:
        coverage = coverage.ordered(image_ids)
        covered = {subset: coverage.with_any(subset) for subset in evaluated}
        having = {name: int(coverage.with_any([name]).sum()) for name in names}
        whole = coverage.with_all(names)
    blind, blind_results, blind_images = trivial_images(next(iter(images.values())), classes)
    score = _scorer(
        {**{tuple(row["modalities"]): row["results"] for row in rows}, (): blind_results},
        {**images, (): blind_images},
        resample_counts(len(image_ids), resamples, seed),
    )
    without = {name: tuple(other for other in names if other != name) for name in names}
    shapley, leads, ends, losses = {}, {}, None, {}
    if whole.any():
        losses = {
            name: _estimate(score(names, whole) - score(rest, whole))
            for name, rest in without.items()
            if names in evaluated and rest in evaluated
        }
    if whole.any() and len(evaluated) == 2 ** len(names) - 1:
        values = {subset: score(subset, whole) for subset in [*evaluated, ()]}
        worths = shapley_values(names, values)
        shapley = {name: _estimate(worth) for name, worth in worths.items()}
        leads = _leads(worths)
        ends = _estimate(values[()]), _estimate(values[names])
    alone_leads = {}
    if names in evaluated:
        alone = {name: score((name,), everywhere) for name in names if (name,) in evaluated}
        alone_leads = _leads({name: _ratio(own, score(names, everywhere)) for name, own in alone.items()})
    return Summary(
        **vars(_kept(score, dict.fromkeys(evaluated, everywhere), names)),
        names=names,
        absent=coverage.absent if coverage is not None else (),
        metric=main_score(rows[0]["results"])[1],
        num_images=len(image_ids),
        resamples=resamples,
        seed=seed,
        blind=blind,
        blind_results=blind_results,
        having=having,
        empty=dict(coverage.empty) if coverage is not None else {},
        covered=_kept(score, covered, names),
        complete_images=int(whole.sum()),
        losses=losses,
        shapley=shapley,
        leads=leads,
        alone_leads=alone_leads,
        ends=ends,
    )


def _scorer(
    results: Mapping[Subset, Mapping], images: Mapping[Subset, Images], counts: np.ndarray
) -> Callable[[Subset, np.ndarray], np.ndarray]:
    """A function that scores a subset on chosen images.

    Args:
        results: of each subset on all images.
        images: what each image contributes.
        counts: [R, I] resamples.

    Returns:
        (subset, chosen [I] bool) -> [1 + R] scores in percent: the first on the chosen images, the others on those of them
        that are in each resample, NaN if fewer than `LEAST_IMAGES` are chosen. What is derived from the scores can so be
        derived for all resamples at once.
    """
    draws = np.concatenate([np.ones((1, counts.shape[1]), dtype=counts.dtype), counts])

    @functools.cache
    def score(subset: Subset, mask: bytes) -> np.ndarray:
        chosen = np.frombuffer(mask, dtype=bool)
        values = images[subset].scores(draws * chosen)
        if chosen.all():  # exactly as in the results
            values[0] = main_score(results[subset])[2]
        if chosen.sum() < LEAST_IMAGES:
            values[1:] = np.nan
        return values

    return lambda subset, chosen: score(subset, chosen.tobytes())


def _kept(score: Callable[[Subset, np.ndarray], np.ndarray], chosen: Mapping[Subset, np.ndarray], names: Subset) -> Kept:
    """Score each subset on its images [I] bool."""
    values = {subset: score(subset, tiles) for subset, tiles in chosen.items()}
    incomplete = [subset for subset in chosen if subset != names]
    retention = {
        subset: _estimate(_ratio(values[subset], score(names, tiles))) for subset, tiles in chosen.items() if names in chosen
    }
    return Kept(
        images={subset: int(tiles.sum()) for subset, tiles in chosen.items()},
        scores={subset: _estimate(own) for subset, own in values.items()},
        retention=retention,
        mean_incomplete=_estimate(np.mean([values[subset] for subset in incomplete], axis=0)) if incomplete else None,
        worst=min(incomplete, key=lambda subset: np.nan_to_num(values[subset][0], nan=np.inf)) if incomplete else None,
    )


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return part / whole


def _leads(values: Mapping[str, np.ndarray]) -> dict[str, Estimate]:
    """The highest of some sensors' values [1 + R] minus each other one."""
    best = max(values, key=lambda name: np.nan_to_num(values[name][0], nan=-np.inf), default=None)
    with np.errstate(invalid="ignore"):  # of infinite ratios, where the whole scores 0
        return {name: _estimate(values[best] - own) for name, own in values.items() if best is not None and name != best}


def _estimate(values: np.ndarray) -> Estimate:
    return Estimate(float(values[0]), *interval(values[1:]))
