"""What is seen to before anything is read: that samples have the model's sensors, and that no file is in two splits."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from imrsf_d2.utils.errors import InputError, MissingFileError, some_of

__all__ = ["check_rasters", "padding_share", "shared_samples", "with_sensors"]

logger = logging.getLogger(__name__)


def check_rasters(samples: Sequence[Mapping], names: Sequence[str], source: Sequence[str]) -> dict[str, int]:
    """See that the samples have the model's sensors.

    Args:
        samples: dataset dicts.
        names: the model's modalities.
        source: the datasets that the samples are of.

    Returns:
        How many samples have each of their sensors.

    Raises:
        InputError: if there is no sample, one is not of our form, none has any of the modalities, or one that no sample knows may be misspelled, as
            the samples have a sensor that the model does not know.
        MissingFileError: if a sample has no file of any sensor. One that has files of other sensors than the model's alone
            is counted in a warning.
    """
    source, names = list(source), list(names)
    if not samples:
        raise InputError(f"there is no sample in {source}.")
    if foreign := [sample for sample in samples if "modalities" not in sample]:
        raise InputError(
            f"{len(foreign)} of {len(samples)} samples of {source} have no 'modalities', e.g. "
            f"{foreign[0].get('file_name')!r}; expected e.g. {{'rgb': path, 'sar': None}} in each."
        )
    files = [sample["modalities"] for sample in samples]
    counts = Counter(name for paths in files for name, path in paths.items() if path is not None)
    if not any(counts[name] for name in names):
        raise InputError(
            f"no sample of {source} has any of the model's modalities {names}; found {dict(counts)}. The "
            "NAMEs in MODEL.IMRSF.MODALITIES must be those of the dataset."
        )
    known = {name for paths in files for name in paths}  # also those that no tile has a file of
    unknown, spare = [name for name in names if name not in known], sorted(set(counts) - set(names))
    if unknown and spare:
        raise InputError(
            f"no sample of {source} has the modality {some_of(unknown)}, while the model does not know the "
            f"dataset's {some_of(spare)}: the model has {names}, the dataset {sorted(counts)}. If they are "
            "the same, give them one name, in MODEL.IMRSF.MODALITIES or in the samples' 'modalities'; if not, "
            f"say so in the samples: {unknown[0]!r}: None."
        )
    without = [
        sample
        for sample, paths in zip(samples, files)
        if not any(_exists(path) for path in paths.values() if path is not None)
    ]
    if without:
        gone = next((path for sample in without for path in sample["modalities"].values() if path is not None), None)
        raise MissingFileError(
            f"{len(without)} of the {len(samples)} images of {source} have no file of any sensor, "
            f"expected one of {names}: {some_of(sample.get('file_name') for sample in without)}."
            + (f" There is no {os.fspath(gone)}, for one." if gone is not None else "")
            + " Put their files where the dataset looks for them (a folder or a backslash in a file "
            "name is part of it), or leave these images out."
        )
    if unseen := len(samples) - len(with_sensors(samples, names)):
        logger.warning(
            "%d of the %d images of %s have none of the model's sensors %s, but others: training leaves them out, "
            "and what is predicted for them at test time is predicted from nothing.",
            unseen,
            len(samples),
            source,
            names,
        )
    return dict(counts)


def with_sensors(samples: Sequence[Mapping], names: Sequence[str]) -> list[Mapping]:
    """The samples that have a file of any of some modalities."""
    return [
        sample
        for sample in samples
        if any(_exists(path) for name in names if (path := sample["modalities"].get(name)) is not None)
    ]


def shared_samples(first: Sequence[Mapping], second: Sequence[Mapping]) -> list[Mapping]:
    """The samples of `second` that have a raster or label map in common with any of `first`, under whatever name."""
    seen = {_identity(path) for sample in first for path in _files(sample)}
    return [sample for sample in second if any(_identity(path) in seen for path in _files(sample))]


def padding_share(sizes: Sequence[tuple[int, int]], crop: tuple[int, int], scale: tuple[float, float] = (1.0, 1.0)) -> float:
    """How much of what is cut out of images lies beyond their edges.

    Args:
        sizes: (H, W) of each image, px.
        crop: (height, width) of what is cut out, px.
        scale: (least, most) factor by which images grow before; of these the one nearest to 1 is looked at.

    Returns:
        The share of the pixels, from 0 to 1.
    """
    window = np.asarray(crop) / np.clip(1.0, *scale)
    covered = np.minimum(np.asarray(sizes), window).prod(axis=1)
    return float(1 - covered.mean() / window.prod())


def _exists(path: str | os.PathLike) -> bool:
    """False if there is certainly no such file: GDAL opens more than files, as archives, addresses and parts of files."""
    path = os.fspath(path)
    return os.path.exists(path) or path.startswith("/vsi") or ":" in os.path.splitdrive(path)[1]


def _files(sample: Mapping) -> Iterator[str | os.PathLike]:
    paths = [*sample.get("modalities", {}).values(), sample.get("sem_seg_file_name")]
    return (path for path in paths if path is not None)


def _identity(path: str | os.PathLike) -> object:
    """The same for all names of one file, links included."""
    try:
        status = os.stat(path)
    except OSError:
        return os.path.abspath(path)
    return status.st_dev, status.st_ino
