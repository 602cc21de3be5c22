"""Mean and standard deviation of every band over a dataset's valid pixels, in the model's units.

The variance is pooled: that of all pixels together, not a mean of per-image variances, which ignores how much images
differ from one another and so is too small. Each file is reduced in float64 to (count, mean, M2), and these are merged
by the update of Chan, Golub and LeVeque.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial, reduce

import numpy as np
import yaml

from imrsf_d2.data.decibel_checks import DECIBEL_HINT, check_decibels, share_of_decibels
from imrsf_d2.data.sample_checks import check_rasters
from imrsf_d2.data.windows import read_windows
from imrsf_d2.geo.rasters import RasterError, read_raster
from imrsf_d2.modalities import Modality, ModalitySet
from imrsf_d2.utils.errors import InputError
from imrsf_d2.utils.parallel import run_jobs

__all__ = [
    "DatasetStatistics",
    "Moments",
    "compute_statistics",
    "dataset_statistics",
    "describe_statistics",
    "modalities_yaml",
    "with_statistics",
]

logger = logging.getLogger(__name__)

#: A CLIP that cuts a larger share of a band's pixels hides what the sensor measured.
LARGEST_CUT = 0.01


@dataclass(frozen=True)
class Moments:
    """The count of some vectors, their mean [C], and M2 [C], the sum of their squared distances from it."""

    count: int
    mean: np.ndarray
    m2: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> Moments:
        """The moments of values [C, n]; n may be 0."""
        values = values.astype(np.float64)
        mean = values.mean(axis=1) if values.size else np.zeros(len(values))
        return cls(values.shape[1], mean, ((values - mean[:, None]) ** 2).sum(axis=1))

    def merge(self, other: Moments) -> Moments:
        """Those of both together."""
        count = self.count + other.count
        if not count:
            return self
        step = other.mean - self.mean
        return Moments(
            count,
            self.mean + step * (other.count / count),
            self.m2 + other.m2 + step**2 * (self.count * other.count / count),
        )

    @property
    def std(self) -> np.ndarray:
        """[C] float64, the population's standard deviation; NaN if there is no vector."""
        return np.sqrt(self.m2 / self.count) if self.count else np.full_like(self.m2, np.nan)


@dataclass(frozen=True)
class DatasetStatistics:
    """The statistics of one modality of a dataset.

    Attributes:
        moments: of its valid pixels.
        classes: valid pixels of each class of a categorical modality, else empty.
        pixels: number of pixels in all files read, valid or not.
        cut: [2, C], valid pixels below and above CLIP in each band.
        files, missing: number of samples whose file was read, and of samples without a file.
        decibels: files that hold decibels although the modality has TRANSFORM: db.
        unreadable: messages about files that cannot be read.
    """

    moments: Moments
    classes: np.ndarray
    pixels: int = 0
    cut: np.ndarray = field(default_factory=lambda: np.zeros((2, 1), dtype=np.int64))
    files: int = 0
    missing: int = 0
    decibels: int = 0
    unreadable: list[str] = field(default_factory=list)

    def merge(self, other: DatasetStatistics) -> DatasetStatistics:
        """Those of both together."""
        return DatasetStatistics(
            self.moments.merge(other.moments),
            self.classes + other.classes,
            self.pixels + other.pixels,
            self.cut + other.cut,
            self.files + other.files,
            self.missing + other.missing,
            self.decibels + other.decibels,
            self.unreadable + other.unreadable,
        )


def dataset_statistics(
    names: Iterable[str], modalities: ModalitySet, num_workers: int = 0, progress: bool = False
) -> dict[str, DatasetStatistics]:
    """`compute_statistics` of all samples of some registered datasets.

    Raises:
        InputError: if a name is not registered or there is nothing to measure; see also `compute_statistics`.
        MissingFileError: if a sample has no file of any sensor.
    """
    # Not at the top of the module: worker processes do not need Detectron2, which takes seconds to import.
    from detectron2.data import DatasetCatalog

    from imrsf_d2.data.datasets import check_registered

    names = list(names)
    check_registered(names, where="--dataset")
    samples = [sample for name in names for sample in DatasetCatalog.get(name)]
    check_rasters(samples, modalities.names, names)
    paths = [sample["modalities"] for sample in samples]
    radar = [modality for modality in modalities if modality.transform == "db"]
    check_decibels(read_windows(paths, radar), radar)
    statistics = compute_statistics(paths, modalities, num_workers, progress)
    if not any(found.moments.count for found in statistics.values()):
        there = sorted({name for sample in paths for name, path in sample.items() if path is not None})
        raise InputError(
            f"there is nothing to measure: {', '.join(names)} has files of "
            f"{', '.join(there) or 'no sensor'}, expected some with valid pixels of "
            f"{', '.join(modalities.names)} (MODEL.IMRSF.MODALITIES)."
        )
    return statistics


def compute_statistics(
    samples: Sequence[Mapping[str, str | None]], modalities: ModalitySet, num_workers: int = 0, progress: bool = False
) -> dict[str, DatasetStatistics]:
    """Compute the statistics of all files of all samples.

    Args:
        samples: path of each modality's file, None or no key where a sample lacks the sensor.
        modalities: what to read; their MEAN and STD do not matter.
        num_workers: processes; 0 = all cores. The result does not depend on it.
        progress: show a progress bar on the terminal.

    Returns:
        The statistics of each modality.

    Raises:
        ValueError: if there is no sample, a file contradicts its modality, or none of a modality's files can be read.
    """
    if not samples:
        raise InputError("there is no sample to compute statistics of.")
    paths = [{name: sample[name] for name in modalities.names if sample.get(name) is not None} for sample in samples]
    results = run_jobs(partial(_sample_statistics, tuple(modalities)), paths, num_workers, progress)
    merged = {name: reduce(DatasetStatistics.merge, (result[name] for result in results)) for name in modalities.names}
    for name, found in merged.items():
        if found.unreadable and not found.files:
            raise InputError(
                f"none of the {len(found.unreadable)} files of {name!r} can be read, e.g.: {found.unreadable[0]}"
            )
        if found.moments.count and (shares := found.cut / found.moments.count).max() > LARGEST_CUT:
            logger.warning(
                "CLIP %s of modality %r cuts more than %.0f%% of a band's valid pixels: %s. Widen it, or the model "
                "will not see these differences.",
                list(modalities[name].clip),
                name,
                100 * LARGEST_CUT,
                _cut_text(shares),
            )
    return merged


def modalities_yaml(entries: Sequence[Mapping], statistics: Mapping[str, DatasetStatistics]) -> str:
    """The config's list of modalities with the new MEAN and STD, to paste into a YAML file.

    Args:
        entries: `MODEL.IMRSF.MODALITIES`. What is not measured is left as it is.
        statistics: of `compute_statistics`.
    """
    lines = ["MODEL:", "  IMRSF:", "    MODALITIES:"]
    for entry in entries:
        modality, found = Modality.from_mapping(entry), statistics[entry["NAME"]]
        entry, remark = with_statistics(entry, modality, found)
        text = yaml.safe_dump(entry, default_flow_style=True, sort_keys=False, width=math.inf).strip()
        lines += [
            f"      # {modality.name}: {describe_statistics(found, modality.clip is not None)}{remark}",
            f"      - {text}",
        ]
    return "\n".join(lines) + "\n"


def _sample_statistics(modalities: Sequence[Modality], paths: Mapping[str, str]) -> dict[str, DatasetStatistics]:
    return {modality.name: _file_statistics(modality, paths.get(modality.name)) for modality in modalities}


def _file_statistics(modality: Modality, path: str | None) -> DatasetStatistics:
    no_classes = np.zeros(modality.classes, dtype=np.int64)
    nothing = Moments.of(np.empty((modality.channels, 0))), no_classes
    if path is None:
        return DatasetStatistics(*nothing, missing=1)
    try:
        bands, valid = read_raster(path, replace(modality, clip=None))  # so that what CLIP cuts can be counted
        decibels = modality.transform == "db" and valid.mean() < 0.5 and share_of_decibels(path, modality) > 0.5
    except RasterError as error:
        return DatasetStatistics(*nothing, unreadable=[str(error)])
    values = bands[:, valid]
    cut = np.zeros((2, len(values)), dtype=np.int64)
    if modality.clip is not None:
        low, high = modality.clip
        cut = np.stack([(values < low).sum(axis=1), (values > high).sum(axis=1)])
        np.clip(values, low, high, out=values)
    classes = no_classes
    if modality.categorical:
        classes = np.bincount(values[0].astype(np.int64), minlength=modality.classes)
    return DatasetStatistics(Moments.of(values), classes, pixels=valid.size, cut=cut, files=1, decibels=int(decibels))


def with_statistics(entry: Mapping, modality: Modality, found: DatasetStatistics) -> tuple[dict, str]:
    """The entry with MEAN and STD where there are any, its keys in the order of the config files; and a remark."""
    if not found.moments.count:
        return dict(entry), "; nothing to measure, left as it was"
    if modality.categorical:
        shares = found.classes / found.moments.count
        return dict(entry), "; classes " + ", ".join(f"{i}: {share:.1%}" for i, share in enumerate(shares))
    numbers = [_round(mean, std) for mean, std in zip(found.moments.mean.tolist(), found.moments.std.tolist())]
    constant = [modality.band_name(band) for band, (_, std) in enumerate(numbers) if std == 0]
    measured = {"MEAN": [mean for mean, _ in numbers], "STD": [std or 1.0 for _, std in numbers]}
    head = {key: entry[key] for key in ("NAME", "CHANNELS", "BANDS") if key in entry}
    remark = f"; constant: {', '.join(constant)}, whose STD of 0 became 1" if constant else ""
    return {**head, **measured, **{key: value for key, value in entry.items() if key not in {*head, *measured}}}, remark


def _round(mean: float, std: float) -> tuple[float, float]:
    """Both rounded to a thousandth of the deviation or finer: more digits do not matter to a normalized value."""
    decimals = max(0, 3 - math.floor(math.log10(std))) if std > 0 else 3
    return round(mean, decimals), round(std, decimals)


def describe_statistics(found: DatasetStatistics, clipped: bool) -> str:
    """What was measured, in words: numbers of files, valid pixels, and with `clipped` what CLIP cuts."""
    parts = [f"{found.files} tiles"]
    parts += [f"{found.missing} without this sensor"] if found.missing else []
    parts += [f"{len(found.unreadable)} unreadable"] if found.unreadable else []
    if found.pixels:
        parts.append(f"{found.moments.count / found.pixels:.1%} of the pixels valid")
    parts += [f"{found.decibels} with most values below 0: {DECIBEL_HINT}"] if found.decibels else []
    parts += [f"CLIP cuts {_cut_text(found.cut / found.moments.count)}"] if clipped and found.moments.count else []
    return ", ".join(parts)


def _cut_text(shares: np.ndarray) -> str:
    """[2, C] in words."""
    return "; ".join(
        f"{'/'.join(f'{share:.1%}' for share in side)} {where}" for side, where in zip(shares, ("below", "above"))
    )
