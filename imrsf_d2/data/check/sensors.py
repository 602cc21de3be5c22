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

__all__ = ["pixel_size_findings", "sensor_findings", "usual"]

#: MEAN and STD describe values whose mean is no farther from MEAN, in STD, and whose standard deviation is at most so many
#: times larger or smaller than STD.
MOST_OFF, MOST_TIMES = 1.0, 3.0


def sensor_findings(modality: Modality, files: Sequence[FileFacts], measured: bool) -> Iterable[Finding]:
    """What is wrong with a sensor as a whole.

    Args:
        modality: the sensor.
        files: those that could be opened.
        measured: whether it has a MEAN and STD to compare with.
    """
    for kind, texts in (
        (kinds.DATA_TYPES, [", ".join(file.dtypes) for file in files]),
        (kinds.NO_DATA_TAGS, [file.no_data or "none" for file in files]),
    ):
        if len(set(texts)) > 1:
            yield Finding(kind, modality.name, "", usual(texts))
    files = [file for file in files if file.values is not None]
    if modality.categorical or not any(file.valid for file in files):
        return
    constants = {file.constant for file in files if file.valid}
    constant = {
        i for i in range(modality.channels) if len({c[i] for c in constants}) == 1 and next(iter(constants))[i] is not None
    }
    for i in sorted(constant):
        text = f"{modality.band_name(i)}: {next(iter(constants))[i]:g} in all pixels of {len(files)} files"
        yield Finding(kinds.CONSTANT, modality.name, "", text)
    if not measured:
        return
    values = [normalized(file.values, modality) for file in files if file.values is not None]
    wrong = other_unit(values, modality)
    for found in wrong:
        yield Finding(kinds.UNIT, modality.name, "", str(found))
    constant |= {i for i in range(modality.channels) if modality.band_name(i) in [found.band for found in wrong]}
    every = np.concatenate(values, axis=1)
    for i in sorted(set(range(modality.channels)) - constant):
        mean, std = float(every[i].mean()), float(every[i].std())
        if abs(mean) > MOST_OFF or not 1 / MOST_TIMES < std < MOST_TIMES:
            found_mean, found_std = modality.mean[i] + mean * modality.std[i], std * modality.std[i]
            yield Finding(
                kinds.OTHER_STATISTICS,
                modality.name,
                "",
                f"{modality.band_name(i)}: mean {found_mean:.4g}, standard deviation {found_std:.4g}",
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
