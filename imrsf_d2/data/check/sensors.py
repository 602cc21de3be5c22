"""A sensor as a whole: whether all of its files are alike, and whether MEAN and STD fit them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from imrsf_d2.data.check import kinds
from imrsf_d2.data.check.files import FileFacts
from imrsf_d2.data.check.findings import Finding
from imrsf_d2.data.value_checks import normalized, other_unit
from imrsf_d2.geo.grids import Grid
from imrsf_d2.modalities import Modality
from imrsf_d2.utils.errors import counted

__all__ = ["pixel_size_findings", "sensor_findings", "usual"]

#: MEAN and STD describe values whose mean is no farther from MEAN, in STD, and whose standard deviation is at most so many
#: times larger or smaller than STD.
MOST_OFF, MOST_TIMES = 1.0, 3.0
#: What marks missing data beside a tag with a number: files need it only where they lack data.
OTHER_MARKS = {"mask", "alpha", "nan"}
#: Farther from MEAN, or more spread, than this, in STD, they are in another unit.
FAR_OFF = 10.0


def sensor_findings(modality: Modality, files: Sequence[FileFacts], measured: bool) -> Iterable[Finding]:
    """What is wrong with a sensor as a whole.

    Args:
        modality: the sensor.
        files: those that could be opened.
        measured: whether it has a MEAN and STD to compare with.
    """
    for kind, texts in (
        (kinds.DATA_TYPES, [", ".join(file.dtypes) for file in files]),
        (kinds.NO_DATA_TAGS, [", ".join(sorted(set(file.no_data) - OTHER_MARKS)) or "none" for file in files]),
    ):
        if len(set(texts)) > 1:
            yield Finding(kind, modality.name, "", usual(texts))
    files = [file for file in files if file.values is not None]
    if modality.categorical or not any(file.valid for file in files):
        return
    seen = [{file.constant[i] for file in files if file.valid} for i in range(modality.channels)]
    constant = {i: value for i, (value, *others) in enumerate(seen) if value is not None and not others}
    for i, value in constant.items():
        text = f"{modality.band_name(i)}: {value:g} in all pixels of {counted(len(files), 'file')}"
        yield Finding(kinds.CONSTANT, modality.name, "", text)
    if measured:
        yield from _statistics_findings(modality, [file.values for file in files if file.values is not None], set(constant))


def _statistics_findings(modality: Modality, files: Sequence[np.ndarray], passed_over: set[int]) -> Iterable[Finding]:
    """The bands that MEAN and STD do not fit.

    Args:
        modality: the sensor.
        files: values [C, n] of each file, before TRANSFORM and CLIP.
        passed_over: bands (from 0) that are not looked at.
    """
    values = [normalized(part, modality) for part in files]
    every = np.concatenate(values, axis=1)
    if not every.size:
        return
    narrow = {found.band: found for found in other_unit(values, modality)}
    for i, (mean, std) in enumerate(zip(every.mean(axis=1).tolist(), every.std(axis=1).tolist(), strict=True)):
        name = modality.band_name(i)
        if i in passed_over:
            continue
        if name in narrow:
            yield Finding(kinds.UNIT, modality.name, "", str(narrow[name]))
        elif abs(mean) > MOST_OFF or not 1 / MOST_TIMES < std < MOST_TIMES:
            kind = kinds.UNIT if abs(mean) > FAR_OFF or std > FAR_OFF else kinds.OTHER_STATISTICS
            found_mean, found_std = modality.mean[i] + mean * modality.std[i], std * modality.std[i]
            yield Finding(
                kind,
                modality.name,
                "",
                f"{name}: mean {found_mean:.4g}, standard deviation {found_std:.4g}",
                f"MEAN {modality.mean[i]:g}, STD {modality.std[i]:g}",
            )


def pixel_size_findings(grids: Iterable[Grid]) -> Iterable[Finding]:
    """Whether the pixels of all tiles have one size on the ground."""
    sizes = [pixel_size(grid) for grid in grids if grid.located]
    if len(set(sizes)) > 1:
        yield Finding(kinds.PIXEL_SIZES, "", "", usual(sizes))


def pixel_size(grid: Grid) -> str:
    """The size of a located grid's pixels, in words."""
    step = grid.transform
    across, down = (f"{np.hypot(*side):.3g}" for side in ((step.a, step.d), (step.b, step.e)))
    unit = "degrees" if grid.crs is not None and grid.crs.is_geographic else "m"
    return f"{across} {unit}" if across == down else f"{across} x {down} {unit}"


def usual(texts: Iterable[str]) -> str:
    """Texts with how often each occurs, the most frequent first: "float32 (24), int16 (2)"."""
    counts = Counter(texts)
    shown = [f"{text} ({count})" for text, count in counts.most_common(6)]
    return ", ".join(shown) + (f" and {len(counts) - 6} more" if len(counts) > 6 else "")
