"""Checks that need no pixels: whether samples have the model's sensors, and whether two splits share a file."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from imrsf_d2.data.dataset_memory import find_file, may_exist
from imrsf_d2.data.labels import label_file
from imrsf_d2.utils.errors import InputError, MissingFileError, UserError, some_of

__all__ = [
    "check_rasters",
    "count_sensors",
    "find_problems",
    "padding_share",
    "sample_files",
    "shared_samples",
    "with_sensors",
]

logger = logging.getLogger(__name__)


def check_rasters(samples: Sequence[dict], names: Sequence[str], source: Sequence[str]) -> dict[str, int]:
    """Check that samples have the model's sensors.

    Args:
        samples: dataset dicts.
        names: the model's modalities.
        source: the datasets that the samples come from.

    Returns:
        For each sensor of the samples, how many of them name a file of it.

    Raises:
        InputError: if there is no sample, one has no `modalities`, none has any of the model's modalities, or one of these
            may be misspelled: no sample knows it, while the samples have a sensor that the model does not know.
        MissingFileError: if a sample has no file of any sensor. A warning counts those that have files of other sensors
            than the model's only.
    """
    source, names = list(source), list(names)
    for problem in find_problems(samples, names, source):
        raise problem
    if unseen := len(samples) - len(with_sensors(samples, names)):
        logger.warning(
            "%d of the %d images of %s have none of the model's sensors %s, but others: training leaves them out, "
            "and at test time the model sees nothing of them.",
            unseen,
            len(samples),
            source,
            names,
        )
    return dict(count_sensors(samples))


def find_problems(samples: Sequence[dict], names: Sequence[str], source: Sequence[str]) -> Iterator[UserError]:
    """All errors that `check_rasters` knows, the one that it raises first.

    Args:
        samples, names, source: as of `check_rasters`.
    """
    source, names = list(source), list(names)
    if not samples:
        yield InputError(f"there is no sample in {source}.")
        return
    if foreign := [sample for sample in samples if "modalities" not in sample]:
        yield InputError(
            f"{len(foreign)} of {len(samples)} samples of {source} have no 'modalities', e.g. "
            f"{foreign[0].get('file_name')!r}; expected e.g. {{'rgb': path, 'sar': None}} in each."
        )
        return
    files = [sample["modalities"] for sample in samples]
    counts = count_sensors(samples)
    if not any(counts[name] for name in names):
        yield InputError(
            f"no sample of {source} has any of the model's modalities {names}; found {dict(counts)}. The "
            "NAMEs in MODEL.IMRSF.MODALITIES must be those of the dataset."
        )
    known = {name for paths in files for name in paths}  # also sensors of which no tile has a file
    unknown, spare = [name for name in names if name not in known], sorted(set(counts) - set(names))
    if unknown and spare and any(counts[name] for name in names):
        yield InputError(
            f"no sample of {source} has the modality {some_of(unknown)}, while the model does not know the "
            f"dataset's {some_of(spare)}: the model has {names}, the dataset {sorted(counts)}. If they are "
            "the same, give them one name, in MODEL.IMRSF.MODALITIES or in the samples' 'modalities'; if not, "
            f"say so in the samples: {unknown[0]!r}: None."
        )
    without = [
        sample
        for sample, paths in zip(samples, files)
        if not any(may_exist(path) for path in paths.values() if path is not None)
    ]
    if without:
        gone = next((path for sample in without for path in sample["modalities"].values() if path is not None), None)
        yield MissingFileError(
            f"{len(without)} of the {len(samples)} images of {source} have no file of any sensor, "
            f"expected one of {names}: {some_of(sample.get('file_name') for sample in without)}."
            + (f" There is no {os.fspath(gone)}, for one." if gone is not None else "")
            + " Put their files where the dataset looks for them (a folder or a backslash in a file "
            "name is part of it), or leave these images out."
        )


def count_sensors(samples: Sequence[Mapping]) -> Counter[str]:
    """For each sensor of some samples, how many of them name a file of it."""
    return Counter(name for sample in samples for name, path in sample["modalities"].items() if path is not None)


def with_sensors(samples: Sequence[dict], names: Sequence[str]) -> list[dict]:
    """The samples that have a file of any of some modalities."""
    return [
        sample
        for sample in samples
        if any(may_exist(path) for name in names if (path := sample["modalities"].get(name)) is not None)
    ]


def sample_files(sample: Mapping) -> Iterator[tuple[str, str | os.PathLike]]:
    """Sensor and path of each raster of a sample, and "labels" and that of its label map."""
    paths = [*sample.get("modalities", {}).items(), ("labels", label_file(sample))]
    return ((name, path) for name, path in paths if path is not None)


def shared_samples(first: Sequence[Mapping], second: Sequence[Mapping]) -> list[Mapping]:
    """The samples of `second` that share a raster or label map with any of `first`, whatever its path is called."""
    seen = {_identity(path) for sample in first for _, path in sample_files(sample)}
    return [sample for sample in second if any(_identity(path) in seen for _, path in sample_files(sample))]


def padding_share(sizes: Sequence[tuple[int, int]], crop: tuple[int, int], scale: tuple[float, float] = (1.0, 1.0)) -> float:
    """The share of the crops' pixels that lie beyond the edges of their images.

    Args:
        sizes: (H, W) of each image, px.
        crop: (height, width) of the crops, px.
        scale: (least, most) factor by which images are scaled before; the one nearest to 1 is considered.

    Returns:
        From 0 to 1.
    """
    window = np.asarray(crop) / np.clip(1.0, *scale)
    covered = np.minimum(np.asarray(sizes), window).prod(axis=1)
    return float(1 - covered.mean() / window.prod())


def _identity(path: str | os.PathLike) -> object:
    """The same for all names of one file, links included."""
    return find_file(path) or os.path.abspath(path)
