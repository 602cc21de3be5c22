"""Values of a scene that a model would take for something else: said before anything is computed."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from imrsf_d2.data.decibel_checks import LEAST, check_decibels
from imrsf_d2.data.value_checks import FAR, NARROW, OtherUnit, is_normalized, normalized
from imrsf_d2.data.windows import find_stored, read_values
from imrsf_d2.geo.gdal import RasterError
from imrsf_d2.geo.stored import number_text
from imrsf_d2.inference.scene import Scene, SceneFile
from imrsf_d2.modalities import Modality

__all__ = ["check_scene_values"]

logger = logging.getLogger(__name__)

#: Windows of a sensor that are looked at, about, and their side, px.
WINDOWS, SIDE_PX = 16, 128
#: In standard deviations of the config: a model has seen no band whose median is farther from the mean ...
NEVER_SEEN = 10.0
#: ... and one whose median is farther than this, and which hardly has two values, is no ground.
ASIDE = 1.5
#: Pixels without data that no tag names: at least this share has one value, which lies farther from all others than so many
#: standard deviations; of images, at least this share is 0 in all of three bands or more.
FILLED, APART, BLACK = 0.001, 10.0, 0.01


def check_scene_values(scene: Scene) -> None:
    """Warn of sensors whose values are not those that the model was trained on, as far as a few windows show.

    Raises:
        InputError: if a sensor holds decibels where the model takes linear power, or a file contradicts its modality.
    """
    modalities = [scene.modalities[name] for name in scene.sensors if not scene.modalities[name].categorical]
    windows = {modality.name: _read(scene, modality) for modality in modalities}
    check_decibels(windows, modalities)
    for modality in modalities:
        if not (files := [values for values in windows[modality.name].values() if values.size]):
            continue
        values = np.concatenate(files, axis=1)
        if filled := _filled(values, modality):
            logger.warning("Modality %r: %s", modality.name, _no_data(filled, _stored(scene, modality, filled)))
        elif found := _unlike_training(values, modality):
            logger.warning(
                "Modality %r: %s. The model's MEAN and STD are of other values. See whether the unit of the files, their SCALE and "
                "their OFFSET are those of the training data.",
                modality.name,
                found,
            )


def _read(scene: Scene, modality: Modality) -> dict[str, np.ndarray]:
    """Path of a file -> values [C, n] before TRANSFORM and CLIP, of the windows that are looked at."""
    found: dict[str, np.ndarray] = {}
    for path, windows in _windows(scene, modality):
        try:
            parts = [read_values(path, modality, window) for window in windows]
        except RasterError:
            continue  # said where it is read
        if parts:
            found[path] = np.concatenate(parts, axis=1)
    return found


def _windows(scene: Scene, modality: Modality) -> Iterator[tuple[str, list[tuple[slice, slice]]]]:
    """The paths of some of a sensor's files, and windows spread over what the map has of each."""
    files = scene.sensors[modality.name]
    some = [files[int(i)] for i in np.linspace(0, len(files) - 1, min(WINDOWS, len(files)))]
    per_side = math.ceil(math.sqrt(WINDOWS / len(some)))
    for file in some:
        yield file.path, _spread(scene, file, per_side)


def _spread(scene: Scene, file: SceneFile, per_side: int) -> list[tuple[slice, slice]]:
    """Rows and columns of windows of a file, spread over what the map has of it."""
    ranges = [(0, side) for side in file.grid.shape]
    if (corners := scene.grid.corners(file.grid.crs)) is not None:
        columns, rows = ~file.grid.transform * corners
        ranges = [
            (max(int(side.min()), start), min(math.ceil(side.max()), stop))
            for side, (start, stop) in zip((rows, columns), ranges)
        ]
    places = [
        [
            slice(first, min(first + SIDE_PX, stop))
            for first in sorted({int(i) for i in np.linspace(start, max(start, stop - SIDE_PX), per_side)})
        ]
        for start, stop in ranges
        if start < stop
    ]
    return [(rows, columns) for rows in places[0] for columns in places[1]] if len(places) == 2 else []


@dataclass(frozen=True)
class _Filled:
    """A value that stands for no data.

    Args:
        band: that has it, from 0.
        value: as it is read, before TRANSFORM and CLIP.
        said: what was found.
    """

    band: int
    value: np.float32
    said: str


def _filled(values: np.ndarray, modality: Modality) -> _Filled | None:
    """What values [C, n] some of which stand for no data are filled with; None if none do."""
    black = float((values == 0).all(axis=0).mean())
    if len(values) >= 3 and black >= BLACK:
        return _Filled(0, np.float32(0), f"all bands are 0 in {black:.1%} of the pixels looked at")
    for i, (band, std) in enumerate(zip(values, modality.std)):
        for value in (band.min(), band.max()):
            is_it = band == value
            if is_it.mean() < FILLED or is_it.all():
                continue
            far = np.abs(band[~is_it] - value).min() > APART * std
            if value < LEAST if modality.transform == "db" else far:
                said = f"{is_it.mean():.1%} of the values looked at are {number_text(value)}, far from all others"
                return _Filled(i, value, said)
    return None


def _stored(scene: Scene, modality: Modality, filled: _Filled) -> str:
    """The value as files hold it, before SCALE and OFFSET, in digits that equal it: what no-data tags and NODATA say."""
    for path, windows in _windows(scene, modality):
        for window in windows:
            with contextlib.suppress(RasterError):
                if text := find_stored(path, modality, filled.band, float(filled.value), window):
                    return text
    return number_text(filled.value)


def _no_data(filled: _Filled, stored: str) -> str:
    return (
        f"{filled.said}: most likely pixels without data, which nothing marks. The model takes them for ground. Mark them "
        f"(gdal_edit.py -a_nodata {stored} FILE), or set NODATA: {stored} in MODEL.IMRSF.MODALITIES."
    )


def _unlike_training(values: np.ndarray, modality: Modality) -> OtherUnit | None:
    """The first band of values [C, n] that a model with this MEAN and STD has not seen the like of."""
    if not is_normalized(modality):
        return None
    if not (values := normalized(values, modality)).size:
        return None
    least, low, median, high, most = np.quantile(values, (0.005, 0.25, 0.5, 0.75, 0.995), axis=1)
    away = np.abs(median)
    wrong = (away > NEVER_SEEN) | ((away > FAR) & (high - low < NARROW)) | ((away > ASIDE) & (most - least < NARROW))
    for i in np.flatnonzero(wrong).tolist():
        return OtherUnit(modality.band_name(i), float(high[i] - low[i]), float(median[i]), modality.mean[i], modality.std[i])
    return None
