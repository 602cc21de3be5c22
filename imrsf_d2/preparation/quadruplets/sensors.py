"""What the values in each sensor's scenes mean, and how a tile stores them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from imrsf_d2.data.quadruplet_layout import LABELS
from imrsf_d2.geo.decibel import from_db
from imrsf_d2.geo.stored import Scaling
from imrsf_d2.utils.errors import InputError

__all__ = ["EXPORTED", "S1_UNITS", "SENSORS", "Sensor", "check_scale", "decode", "encode", "pick_bands", "to_tile_units"]

S1_UNITS = ("linear", "db")


@dataclass(frozen=True)
class Sensor:
    """One folder of the layout.

    Args:
        name: of the folder, and what the names of its scenes start with.
        bands: their names in Earth Engine, in the order that the tiles have.
        categorical: whether values are classes, which cannot be averaged.
        dtype: of the tiles.
    """

    name: str
    bands: tuple[str, ...]
    categorical: bool
    dtype: str


SENSORS = {
    sensor.name: sensor
    for sensor in (
        Sensor("s1", ("VV", "VH"), False, "float32"),
        Sensor("s2", ("B2", "B3", "B4", "B8"), False, "uint16"),
        Sensor("dem", ("DEM",), False, "float32"),
        Sensor("dnw", ("label",), True, "uint8"),
    )
}
#: Whatever may lie in the folder of a city as rasters: the sensors, and land-cover maps with codes of any kind as labels.
EXPORTED = {**SENSORS, LABELS: Sensor(LABELS, ("label",), True, "uint8")}
DYNAMIC_WORLD_CLASSES = 9
DYNAMIC_WORLD_NODATA = 255
# No land, nor sea floor near a coast, is further from sea level; no-data values such as -9999 and -32768 are.
GREATEST_HEIGHT_M = 9000.0
# A smaller sample of valid pixels says nothing about a scene.
FEWEST_SAMPLED = 100
# With a SCALE below the first, integers become reflectance from 0 to 1 (ESA's 1e-4, Landsat's 2.75e-5, 1/255); from the
# second on they become reflectance x 10000. Between the two it cannot be told.
LARGEST_REFLECTANCE_SCALE, LEAST_TILE_SCALE = 0.01, 0.5
REFLECTANCE_UNIT = 10000.0
# As stored and in the unit of the tiles. Over-corrected shadows are a little below 0; no-data values such as -9999 are far below.
LEAST_REFLECTANCE = -5000.0
# What else bands are called.
COLORS = {"blue": "b2", "green": "b3", "red": "b4", "nir": "b8"}


def pick_bands(sensor: Sensor, descriptions: Sequence[str | None], path: str) -> list[int]:
    """Which bands of a scene to read: those with the sensor's descriptions if the file has them, otherwise all in order.

    A description may say more, as in B4_median and Sigma0_VH; and Sentinel-2's bands may be called by their colors.

    Args:
        descriptions: of the file's bands, without an alpha band.
        path: for the message.

    Returns:
        Positions in `descriptions`, in the order of `sensor.bands`.

    Raises:
        ValueError: if the bands cannot be identified.
    """
    found = [_short((text or "").strip().lower()) for text in descriptions]
    wanted = [name.lower() for name in sensor.bands]
    if not any(name in found for name in wanted):
        found = [_band_in(text, wanted) or text for text in found]
    if all(found.count(name) == 1 for name in wanted):
        return [found.index(name) for name in wanted]
    if len(found) == len(wanted) and not any(name in found for name in wanted):
        return list(range(len(wanted)))
    names = ", ".join(sensor.bands)
    raise InputError(
        f"{path} has {len(found)} bands ({', '.join(text or 'no description' for text in descriptions)}), "
        f"expected {len(wanted)} for {sensor.name!r} in the order {names}, or bands with these descriptions. "
        f"In Earth Engine, image.select({list(sensor.bands)}) selects them; in GDAL, gdal_translate with -b NUMBER for "
        f"each of {names}."
    )


def _short(name: str) -> str:
    """Copernicus writes B02 where Earth Engine writes B2."""
    return re.sub(r"^b0?(?=\d)", "b", name)


def _band_in(description: str, wanted: Sequence[str]) -> str:
    """The one band that the words of a description name; empty if none or several do."""
    words = map(_short, re.split(r"[\W_]+", description))
    named = {COLORS.get(word, word) for word in words} & set(wanted)
    return named.pop() if len(named) == 1 else ""


def to_tile_units(sensor: Sensor, scaling: Scaling, path: str) -> Scaling:
    """The scaling from a scene's stored numbers to the unit of the tiles (before decibels become power, see `decode`).

    Args:
        scaling: of the scene's bands.
        path: for messages.

    Raises:
        ValueError: if a map of classes has a scale, or the unit of reflectance is unclear.
    """
    if sensor.categorical:
        scaling.refuse(path, f"{sensor.name!r}")
    if sensor.name != "s2" or not scaling.applies:
        return scaling
    if unclear := [
        scale for scale in scaling.scales if not (0 < scale < LARGEST_REFLECTANCE_SCALE or scale >= LEAST_TILE_SCALE)
    ]:
        raise InputError(
            f"{path} has SCALE {unclear[0]:g}, expected about 0.0001, which gives reflectance from 0 to 1, or 1 for "
            f"reflectance x 10000. gdal_edit.py -scale NUMBER -offset NUMBER {path} sets them."
        )
    return scaling.times([REFLECTANCE_UNIT if scale < LARGEST_REFLECTANCE_SCALE else 1.0 for scale in scaling.scales])


def decode(
    sensor: Sensor, raw: np.ndarray, valid: np.ndarray, scaling: Scaling, path: str, s1_unit: str = "linear"
) -> np.ndarray:
    """A scene's values in the unit of the tiles, ready to be interpolated.

    Args:
        raw: [C, H, W] as stored, of any real data type; values that mark missing data are compared with these.
        valid: [H, W] bool, see `file_validity`.
        scaling: of `to_tile_units`.
        path: for messages.
        s1_unit: of Sentinel-1 scenes, "linear" or "db".

    Returns:
        [C, H, W] float32, NaN in all bands of a pixel without data.

    Raises:
        ValueError: if valid pixels hold values that the sensor cannot measure.
    """
    with np.errstate(over="ignore"):
        values = scaling.apply(raw).astype(np.float32)
    valid = valid & np.isfinite(values).all(axis=0)
    if sensor.name == "s1" and s1_unit == "db":
        # Before interpolation: the mean of two powers in decibels is not their mean power.
        with np.errstate(over="ignore"):
            values = from_db(values)
    elif sensor.name == "s1":
        if (wrong := values[:, valid & (values < 0).any(axis=0)]).size:
            raise InputError(
                f"{path} holds {wrong.min():g}, expected linear power, which is never negative. "
                "If these are decibels, pass --s1-unit db."
            )
    if sensor.name == "s1":
        valid &= ((values > 0) & (values < np.inf)).all(axis=0)  # without power no echo was recorded
    elif sensor.name == "s2":
        valid &= (raw != 0).any(axis=0)  # Earth Engine writes masked pixels of integer images as 0, without a tag
        if (wrong := raw[:, valid & (np.maximum(raw, values) < LEAST_REFLECTANCE).any(axis=0)]).size:
            raise InputError(
                f"{path} holds {wrong.min():g}, expected reflectance x 10000. If this value means no data, tag it: gdal_edit.py "
                f"-a_nodata {wrong.min():g} {path}"
            )
    elif sensor.name == "dem":
        impossible = np.abs(values) > GREATEST_HEIGHT_M
        if scaling.applies and raw.dtype.kind == "i":
            impossible |= raw == np.iinfo(raw.dtype).min  # -32768 decimeters would pass for a height
        if (wrong := raw[:, valid & impossible.any(axis=0)]).size:
            meant = f" ({scaling.apply(wrong[:1, :1, None]).item():g} with {scaling})" if scaling.applies else ""
            raise InputError(
                f"{path} holds {wrong.flat[0]:g}{meant}, expected meters above sea level. If this value means "
                f"no data, tag it: gdal_edit.py -a_nodata {wrong.flat[0]:g} {path}"
            )
    elif sensor.name == "dnw":
        valid &= (raw != DYNAMIC_WORLD_NODATA).all(axis=0)
        known = np.isin(values, np.arange(DYNAMIC_WORLD_CLASSES)).all(axis=0)
        if (wrong := values[:, valid & ~known]).size:
            raise InputError(
                f"{path} holds {wrong.flat[0]:g}, expected Dynamic World classes 0 to "
                f"{DYNAMIC_WORLD_CLASSES - 1}, or {DYNAMIC_WORLD_NODATA} for no data (the band 'label' of "
                "GOOGLE/DYNAMICWORLD/V1)."
            )
    values[:, ~valid] = np.nan
    return values


def check_scale(sensor: Sensor, values: np.ndarray, path: str, s1_unit: str = "linear") -> None:
    """Check that a sample of a scene is in the unit that it is supposed to have.

    Args:
        values: [C, ...] from `decode`, of pixels from all over the scene.
        path: for the message.
        s1_unit: see `decode`.

    Raises:
        ValueError: if it clearly is not.
    """
    values = values[:, ~np.isnan(values).any(axis=0)]
    if values.shape[1] < FEWEST_SAMPLED:
        return
    if sensor.name == "s2" and values.max() <= 2:
        raise InputError(
            f"{path} holds values from {values.min():g} to {values.max():g}, expected reflectance x "
            "10000. If it is reflectance from 0 to 1, multiply it by 10000."
        )
    if sensor.name == "s1" and s1_unit == "db" and values[1].min() > 1:
        raise InputError(
            f"{path} holds VH backscatter above 0 dB in every sampled pixel, expected decibels, mostly "
            "below -10. If it is linear power, leave out --s1-unit db."
        )


def encode(sensor: Sensor, values: np.ndarray, nodata: float) -> np.ndarray:
    """Values as a tile stores them.

    Args:
        values: [C, H, W] float32, NaN = no data.
        nodata: written where there is no data.

    Returns:
        [C, H, W] in the sensor's data type.
    """
    if sensor.name == "s2":
        # From 1: to readers, 0 (the no-data tag) in any band means no data, and dark water may be rounded to it.
        values = np.clip(np.rint(values), 1, np.iinfo(np.uint16).max)
    return np.where(np.isnan(values), np.float32(nodata), values).astype(sensor.dtype)
