"""The test of one run: its scores on all test images and on bootstrap resamples of them, as the report needs them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from imrsf_d2.evaluation.per_image import InstanceImages
from projects.study.contributions import METRICS, Calibration, Contributions, calibration, read_contributions
from projects.study.paired import RESAMPLES, image_counts
from projects.study.robustness import Subset, robustness

__all__ = ["TestedRun", "score_run", "score_folder"]

#: Digits of the scores in a record: a report has three.
DIGITS = 5


@dataclass(frozen=True)
class TestedRun:
    """The test of one run.

    Args:
        measures: metric -> name in `MEASURES` -> [1 + R] on all images and on each resample of them; [1] where the resamples were
            not kept.
        subsets: metric -> subset -> score on all images.
        calibration: "complete" and "incomplete" (the mean over subsets) -> on all images and on each resample; empty for label maps.
        images: digest of the ids of the test images in their order; empty if it was not kept.
    """

    __test__ = False  # pytest takes it for tests otherwise

    measures: Mapping[str, Mapping[str, np.ndarray]]
    subsets: Mapping[str, Mapping[Subset, float]]
    calibration: Mapping[str, Calibration] = field(default_factory=dict)
    images: str = ""

    def to_json(self) -> dict:
        """For a record: lists and strings, scores with `DIGITS` digits."""
        return {
            "images": self.images,
            "measures": {metric: {name: _rounded(v) for name, v in own.items()} for metric, own in self.measures.items()},
            "subsets": {metric: {"+".join(s): _rounded(v) for s, v in own.items()} for metric, own in self.subsets.items()},
            "calibration": {
                name: {what: _rounded(v) for what, v in asdict(own).items()} for name, own in self.calibration.items()
            },
        }

    @classmethod
    def from_json(cls, record: Mapping) -> TestedRun:
        """Of what `to_json` made."""
        return cls(
            {metric: {name: np.array(v) for name, v in own.items()} for metric, own in record["measures"].items()},
            {metric: {tuple(s.split("+")): v for s, v in own.items()} for metric, own in record["subsets"].items()},
            {
                name: Calibration(**{what: np.array(v) for what, v in own.items()})
                for name, own in record["calibration"].items()
            },
            record["images"],
        )


def score_run(by_subset: Mapping[Subset, Contributions], counts: np.ndarray) -> TestedRun:
    """Score a run.

    Args:
        by_subset: of all subsets of the sensors.
        counts: [1 + R, I] of `image_counts`.
    """
    metrics = METRICS[next(iter(by_subset.values())).kind]
    scores = {metric: {subset: own.scores(metric, counts) for subset, own in by_subset.items()} for metric in metrics}
    return TestedRun(
        {metric: robustness(list(own), own.__getitem__) for metric, own in scores.items()},
        {metric: {subset: float(values[0]) for subset, values in own.items()} for metric, own in scores.items()},
        _calibration(by_subset, counts),
        _digest(next(iter(by_subset.values())).images[0].image_ids),
    )


def score_folder(folder: Path, subsets: Sequence[Subset], resamples: int = RESAMPLES) -> TestedRun:
    """Score a run from what its sweep over the test data left.

    Args:
        folder: of the sweep.
        subsets: all subsets of the sensors.
        resamples: of the bootstrap over images.
    """
    by_subset = {subset: read_contributions(folder, subset) for subset in subsets}
    num_images = len(next(iter(by_subset.values())).images[0].image_ids)
    return score_run(by_subset, image_counts(num_images, resamples))


def _calibration(by_subset: Mapping[Subset, Contributions], counts: np.ndarray) -> dict[str, Calibration]:
    found = {
        subset: calibration(images, counts)
        for subset, own in by_subset.items()
        if isinstance(images := own.images[0], InstanceImages)
    }
    if not found:
        return {}
    complete = max(found, key=len)
    others = [own for subset, own in found.items() if subset != complete]
    mean = Calibration(*(np.mean([getattr(own, name) for own in others], axis=0) for name in ("error", "excess")))
    return {"complete": found[complete], "incomplete": mean}


def _rounded(values: np.ndarray | float) -> list | float:
    return np.round(values, DIGITS).tolist()


def _digest(image_ids: tuple) -> str:
    return hashlib.sha256(json.dumps([str(own) for own in image_ids]).encode()).hexdigest()[:12]
