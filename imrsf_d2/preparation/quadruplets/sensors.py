"""What the values of each sensor's scenes mean, and how they are written in a tile."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from imrsf_d2.geo.decibel import from_db
from imrsf_d2.geo.stored import Scaling
from imrsf_d2.utils.errors import InputError

__all__ = ["S1_UNITS", "SENSORS", "Sensor", "check_scale", "decode", "encode", "pick_bands", "to_tile_units"]

S1_UNITS = ("linear", "db")


@dataclass(frozen=True)
class Sensor:
    """One folder of the layout.

    Args:
        name: of the folder, and what the names of its scenes start with.
        bands: their descriptions as Earth Engine writes them, in the order of the tiles.
        categorical: values are classes, which have no mean.
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
DYNAMIC_WORLD_CLASSES = 9
DYNAMIC_WORLD_NODATA = 255
# No land and no sea floor next to it is further from sea level; -9999, -32768 and the like are.
GREATEST_HEIGHT_M = 9000.0
# A sample of fewer pixels says nothing about a scene.
FEWEST_SAMPLED = 100
# With a SCALE below the first, whole numbers become reflectance from 0 to 1 (1e-4 of ESA, 2.75e-5 of Landsat, 1/255); from
# the second on they are, or become, reflectance x 10000. Between the two nobody can tell.
LARGEST_REFLECTANCE_SCALE, LEAST_TILE_SCALE = 0.01, 0.5
REFLECTANCE_UNIT = 10000.0


def pick_bands(sensor: Sensor, descriptions: Sequence[str | None], path: str) -> list[int]:
    """Which bands of a scene to read: by description if the file has these descriptions, else all in their order.

    Args:
        descriptions: of the file's bands, without an alpha band.
        path: for the message.

    Returns:
        Positions in `descriptions`, in the order of `sensor.bands`.

    Raises:
        ValueError: if the bands cannot be told.
    """
    # Files of the Copernicus hub say B02 where Earth Engine says B2.
    found = [re.sub(r"^b0?(?=\d)", "b", (text or "").strip().lower()) for text in descriptions]
    wanted = [name.lower() for name in sensor.bands]
    if all(found.count(name) == 1 for name in wanted):
        return [found.index(name) for name in wanted]
    if len(found) == len(wanted) and not any(name in found for name in wanted):
        return list(range(len(wanted)))
    names = ", ".join(sensor.bands)
    raise InputError(
        f"{path} has {len(found)} bands ({', '.join(text or 'no description' for text in descriptions)}), "
        f"expected {len(wanted)} for {sensor.name!r} in the order {names}, or with these descriptions. "
        f"In Earth Engine: image.select({list(sensor.bands)}); with GDAL: gdal_translate, -b NUMBER for "
        f"each of {names}."
    )


def to_tile_units(sensor: Sensor, scaling: Scaling, path: str) -> Scaling:
    """What makes the sensor's unit in the tiles of a scene's stored numbers (decibels, which no factor does, apart).

    Args:
        scaling: of the scene's bands.
        path: for messages.

    Raises:
        ValueError: if a map of classes has a scale, or the unit of reflectance cannot be told.
    """
    if sensor.categorical:
        scaling.refuse(path, f"{sensor.name!r}")
    if sensor.name != "s2" or not scaling.applies:
        return scaling
    if unclear := [
        scale for scale in scaling.scales if not (0 < scale < LARGEST_REFLECTANCE_SCALE or scale >= LEAST_TILE_SCALE)
    ]:
        raise InputError(
            f"{path} has SCALE {unclear[0]:g}, expected about 0.0001, which makes reflectance from 0 to 1, or 1 for "
            f"reflectance x 10000. gdal_edit.py -scale NUMBER -offset NUMBER {path} sets them."
        )
    return scaling.times([REFLECTANCE_UNIT if scale < LARGEST_REFLECTANCE_SCALE else 1.0 for scale in scaling.scales])


def decode(
    sensor: Sensor, raw: np.ndarray, valid: np.ndarray, scaling: Scaling, path: str, s1_unit: str = "linear"
) -> np.ndarray:
    """A scene's values in the unit of the tiles, ready to be interpolated.

    Args:
        raw: [C, H, W] as stored, of any real data type; what marks missing data is looked for in these.
        valid: [H, W] bool, what the file itself says about no data.
        scaling: of `to_tile_units`.
        path: for messages.
        s1_unit: of Sentinel-1 scenes, "linear" or "db".

    Returns:
        [C, H, W] float32, NaN in all bands of a pixel without data.

    Raises:
        ValueError: if valid pixels hold what this sensor cannot measure.
    """
    with np.errstate(over="ignore"):
        values = scaling.apply(raw).astype(np.float32)
    valid = valid & np.isfinite(values).all(axis=0)
    if sensor.name == "s1" and s1_unit == "db":
        # Before interpolation: the mean of two powers in decibel is not the mean power.
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
        valid &= (raw != 0).any(axis=0)  # Earth Engine writes masked pixels of whole numbers as 0, without a tag
    elif sensor.name == "dem":
        impossible = np.abs(values) > GREATEST_HEIGHT_M
        if scaling.applies and raw.dtype.kind == "i":
            impossible |= raw == np.iinfo(raw.dtype).min  # -32768 decimeters would pass for a height
        if (wrong := raw[:, valid & impossible.any(axis=0)]).size:
            meant = f", which {scaling} make {scaling.apply(wrong[:1, :1, None]).item():g}" if scaling.applies else ""
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
    """See that a sample of a scene is in the unit that it is said to be in.

    Args:
        values: [C, ...] from `decode`, of pixels from all over the scene.
        path: for the message.
        s1_unit: see `decode`.

    Raises:
        ValueError: if it plainly is not.
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
        nodata: what no data becomes.

    Returns:
        [C, H, W] in the sensor's data type.
    """
    if sensor.name == "s2":
        # From 1: readers take 0, the tag, in any band for no data, and reflectance may round to it over dark water.
        values = np.clip(np.rint(values), 1, np.iinfo(np.uint16).max)
    return np.where(np.isnan(values), np.float32(nodata), values).astype(sensor.dtype)
