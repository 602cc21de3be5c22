"""What each sensor's files hold: bands, unit, no-data, classes; said by the user, or read from the files."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import rasterio
from rasterio.enums import ColorInterp

from imrsf_d2.data.class_tables import read_class_table
from imrsf_d2.data.displays import true_color_bands
from imrsf_d2.data.windows import read_windows
from imrsf_d2.geo.bands import modality_bands
from imrsf_d2.geo.gdal import opened
from imrsf_d2.geo.stored import kind_of
from imrsf_d2.inference.scene import find_files
from imrsf_d2.modalities import DECIBEL, Modality, unit_name
from imrsf_d2.utils.errors import InputError

__all__ = ["POWER", "SensorOptions", "Source", "describe_sensors"]

#: What `SensorOptions.units` calls linear radar power, which the model receives in decibels, and nothing.
POWER, NO_UNIT = "power", "none"
#: Names of sensors and bands that are radar: only of those a unit is guessed.
RADAR = re.compile(r"(^|_)(sar|s1|sentinel_?1|radar)(_|$)|^(vv|vh|hh|hv)$", re.IGNORECASE)
#: What files may call the unit of a ratio of powers, which says nothing of whether it is in decibels.
RATIOS = {
    "1",
    "-",
    "none",
    "unitless",
    "dimensionless",
    "ratio",
    "linear",
    "power",
    "intensity",
    "sigma0",
    "gamma0",
    "beta0",
}
# Decibels of backscatter are mostly below zero; power never is, and rarely above a hundred.
LEAST_DB, MOST_DB, MOST_POWER = -100.0, -0.1, 100.0


@dataclass(frozen=True)
class SensorOptions:
    """What a user says of the sensors; name of a sensor -> what it is.

    Args:
        bands: those to take, as numbers from 1 or descriptions.
        classes: the number of classes of a map raster, or a table of its codes (a name or a path).
        units: POWER, DECIBEL, NO_UNIT or any text for figures, such as "m"; those left out have that of the file, and of radar
            it is guessed from the values.
        nodata: stored value that marks a pixel without data if all bands have it.
        display: the bands to show, one or three.
    """

    bands: Mapping[str, tuple[int | str, ...]] = field(default_factory=dict)
    classes: Mapping[str, int | str] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    nodata: Mapping[str, float] = field(default_factory=dict)
    display: Mapping[str, tuple[int | str, ...]] = field(default_factory=dict)

    def check(self, sensors: Sequence[str]) -> None:
        """See that only sensors that there are are spoken of.

        Raises:
            InputError: naming the option.
        """
        given = {
            "--bands": self.bands,
            "--classes-of": self.classes,
            "--unit": self.units,
            "--nodata": self.nodata,
            "--display": self.display,
        }
        for option, said in given.items():
            if unknown := [name for name in said if name not in sensors]:
                raise InputError(f"{option} names {unknown[0]!r}, expected a sensor of --modality: {', '.join(sensors)}.")


@dataclass(frozen=True)
class Source:
    """A sensor and the files that it is read from.

    Args:
        modality: what the files hold, without statistics.
        files: in the order in which they count where they overlap.
        remarks: what was guessed or left out, for people.
        classes: the files hold classes, of which that of the nearest pixel is taken.
        names: of several bands, if all files name them and no two are alike.
    """

    modality: Modality
    files: tuple[str, ...]
    remarks: tuple[str, ...] = ()
    classes: bool = False
    names: tuple[str, ...] = ()

    @property
    def tile_modality(self) -> Modality:
        """What the tiles hold: these bands alone, under their names if they have some."""
        modality = self.modality
        numbers = tuple(range(1, modality.channels + 1))
        choice: tuple[int | str, ...] = modality.bands or numbers
        shown: Sequence[int] = [choice.index(band) for band in modality.display]
        if not shown and self.names:
            shown = true_color_bands(self.names) or ()
        own: tuple[int | str, ...] = self.names or numbers
        return replace(modality, bands=self.names, display=tuple(own[index] for index in shown))


def describe_sensors(rasters: Mapping[str, str], options: SensorOptions) -> dict[str, Source]:
    """Look at the headers of each sensor's files, and at some values of radar.

    Args:
        rasters: name of a sensor -> a file, a folder or a glob.

    Raises:
        MissingFileError: if there is no file.
        RasterError: if one cannot be opened.
        InputError: if the files of a sensor differ in their number of bands, or an option contradicts them.
    """
    if not rasters:
        raise InputError("there is no sensor, expected --modality NAME=FILES at least once, e.g. rgb=scene.tif.")
    options.check(list(rasters))
    return {name: _describe(name, find_files(pattern), options) for name, pattern in rasters.items()}


def _describe(name: str, files: Sequence[str], options: SensorOptions) -> Source:
    remarks = []
    bands, classes = options.bands.get(name, ()), options.classes.get(name, 0)
    with opened(files[0], repr(name)) as file:
        if file.count > (channels := len(bands) or file.count - _alphas(file)) and not bands:
            remarks.append(
                f"band {file.count} of {name} is an alpha band: a mask, no measurement (--bands {name}=1,2,... keeps it)"
            )
    table = read_class_table(classes) if isinstance(classes, str) else None
    modality = Modality(
        name,
        channels=channels,
        bands=bands,
        classes=classes if isinstance(classes, int) else 0,
        codes=() if table is None else dict(zip(table.numbers(table.codes), table.codes.values(), strict=True)),
        class_names=() if table is None else table.classes,
        nodata=options.nodata.get(name),
    )
    headers = [_header(path, modality) for path in files]
    names, bands, said = _names([header.names for header in headers], modality)
    remarks += [said] if said else []
    own_units = {header.unit for header in headers}
    radar = not modality.categorical and any(RADAR.search(text) for text in (name, *headers[0].names))
    own_unit = own_units.pop() if len(own_units) == 1 and not modality.categorical else ""
    if radar and own_unit.strip().casefold() in RATIOS:
        own_unit = ""
    unit = unit_name(options.units.get(name, own_unit))
    modality = replace(
        modality,
        bands=bands,
        transform="db" if unit == POWER else "none",
        unit="" if unit in (POWER, NO_UNIT) else unit,
        display=options.display.get(name, ()),
    )
    if radar and not unit:
        modality, said = _guess_unit(modality, files, all(header.floating for header in headers))
        remarks += [said] if said else []
    return Source(modality, tuple(files), tuple(remarks), modality.categorical, names)


@dataclass(frozen=True)
class _Header:
    """What a file says of some bands: their names, the unit if they have one, whether they are floating-point numbers."""

    names: tuple[str, ...]
    unit: str
    floating: bool


def _header(path: str, modality: Modality) -> _Header:
    with opened(path, repr(modality.name)) as file:
        numbers = modality_bands(file, path, modality)
        units = {file.units[number - 1] or "" for number in numbers}
        return _Header(
            tuple(file.descriptions[number - 1] or "" for number in numbers),
            units.pop() if len(units) == 1 else "",
            all(kind_of(file.dtypes[number - 1]) == "f" for number in numbers),
        )


def _names(found: Sequence[tuple[str, ...]], modality: Modality) -> tuple[tuple[str, ...], tuple[int | str, ...], str]:
    """The names of a sensor's bands if they can be told apart by them, which bands to read, and a word if files differ."""
    first = found[0]
    if len(first) == 1:
        return (), modality.bands, ""  # there is nothing to tell apart
    usable = all(name.strip() for name in first) and len(set(first)) == len(first)
    if usable and all(names == first for names in found):
        return first, modality.bands, ""
    if usable and not modality.bands and all(set(names) == set(first) for names in found):
        said = f"files of {modality.name} have their bands in different orders; they are taken by their names"
        return first, first, said
    if len(set(found)) > 1:
        return (), modality.bands, f"files of {modality.name} call their bands differently; they are taken in their order"
    return (), modality.bands, ""


def _alphas(file: rasterio.DatasetReader) -> int:
    return sum(kind == ColorInterp.alpha for kind in file.colorinterp)


def _guess_unit(modality: Modality, files: Sequence[str], floating: bool) -> tuple[Modality, str]:
    """The modality with the unit that its values can only have, and a word about it; unchanged if that is not clear."""
    name = modality.name
    found = read_windows([{name: path} for path in files], [modality])[name].values()
    values = np.concatenate([part.ravel() for part in found]) if found else np.empty(0)
    if not values.size:
        return modality, ""
    if ((values > LEAST_DB) & (values < MOST_DB)).mean() > 0.5:
        return replace(
            modality, unit=DECIBEL
        ), f"{name} holds decibels, as most of its values are below 0 (--unit {name}=dB)"
    if floating and (values >= 0).all() and np.quantile(values, 0.99) < MOST_POWER:
        said = f"{name} is taken for linear power, which the model receives in decibels (--unit {name}=power; --unit {name}=none if it is not)"
        return replace(modality, transform="db"), said
    return modality, f"{name}: its unit is not clear from its values; --unit {name}=power or --unit {name}=dB says it"
