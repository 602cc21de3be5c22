"""The user's exports: a folder per city, with the scenes of each sensor and its land cover."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from imrsf_d2.data.quadruplet_layout import LABELS
from imrsf_d2.preparation.quadruplets.sensors import EXPORTED, SENSORS
from imrsf_d2.utils.errors import InputError, MissingFileError

__all__ = ["CityExport", "find_exports"]

RASTERS = (".tif", ".tiff")
VECTORS = (".gpkg", ".shp")
#: Files that a user may expect to be read; only GeoTIFFs are.
OTHER_RASTERS = (".jp2", ".img", ".vrt", ".nc", ".hdf", ".h5", ".asc", ".zip", ".tar", ".gz")


@dataclass(frozen=True)
class CityExport:
    """The files of one city.

    Args:
        name: of its folder, and of the city.
        scenes: sensor -> paths, sorted; sensors without files are absent.
        labels: paths of the land cover: one vector file, or rasters, sorted.
        listing: file, relative to the city's folder -> [size in bytes, time of last change in seconds]; shows whether
            the input has changed.
        ignored: subfolders and rasters that are not read, relative to the city's folder.
    """

    name: str
    scenes: dict[str, tuple[str, ...]]
    labels: tuple[str, ...]
    listing: dict[str, list[int]]
    ignored: tuple[str, ...] = ()

    @property
    def mapped(self) -> bool:
        """Whether the land cover is in rasters."""
        return Path(self.labels[0]).suffix.lower() in RASTERS


def find_exports(root: str | os.PathLike) -> list[CityExport]:
    """Find the cities in a folder, sorted by name.

    Raises:
        FileNotFoundError: if there is no such folder, or no folder of a city in it.
        ValueError: if a city's folder holds a raster that belongs to no sensor, no scene, or neither one vector
            file nor rasters with the land cover.
    """
    root = Path(root)
    if not root.is_dir():
        raise MissingFileError(f"there is no folder {root}, expected one that holds a folder for each city.")
    folders = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not folders:
        raise MissingFileError(
            f"{root} holds no folder, expected one for each city, e.g. {root / 'Lyon'} with "
            "s1*.tif, s2*.tif, dem*.tif, dnw*.tif and one *.gpkg or *.shp, or labels*.tif."
        )
    return [_look_into(folder) for folder in folders]


def _look_into(folder: Path) -> CityExport:
    if "#" in folder.name or folder.name != folder.name.strip():
        raise InputError(
            f"{folder}: the name of a city must not contain '#', nor begin or end with a space, because lists of tiles "
            "would lose them. Rename the folder."
        )
    scenes: dict[str, list[Path]] = {}
    for path in _files(folder, RASTERS):
        sensor = next((name for name in EXPORTED if path.name.lower().startswith(name)), None)
        if sensor is None:
            raise InputError(
                f"{path} belongs to no sensor, expected a name that starts with {', '.join(EXPORTED)}. "
                "Rename it, or move it out of the city's folder."
            )
        scenes.setdefault(sensor, []).append(path)
    # Files in a folder with the name of a sensor, or of the labels, may have any name.
    sensor_folders = [path for path in _visible(folder) if path.is_dir() and path.name.lower() in EXPORTED]
    for path in sensor_folders:
        scenes.setdefault(path.name.lower(), []).extend(_files(path, RASTERS))
    ignored = tuple(
        f"{path.relative_to(folder).as_posix()}{'/' if path.is_dir() else ''}"
        for place in (folder, *sensor_folders)
        for path in _visible(place)
        if path not in sensor_folders and (path.is_dir() or path.suffix.lower() in OTHER_RASTERS)
    )
    maps = sorted(scenes.pop(LABELS, []))
    if not any(scenes.values()):
        found = f"no scenes except {ignored[0]}, which is not read" if ignored else "no scenes"
        raise InputError(f"{folder} holds {found}, expected files named s1*.tif, s2*.tif, dem*.tif or dnw*.tif.")
    vectors = _files(folder, VECTORS)
    if len(vectors) != 1 - bool(maps):
        raise InputError(
            f"{folder} holds {len(vectors)} vector files"
            f"{': ' + ', '.join(p.name for p in vectors) if vectors else ''}"
            f"{f' and {len(maps)} rasters of land cover (labels*.tif)' if maps else ''}, expected one *.gpkg or *.shp with the land "
            "cover, or rasters with it, named labels*.tif, and not both."
        )
    # A shapefile consists of several files of one name.
    parts = vectors
    if vectors and vectors[0].suffix.lower() == ".shp":
        parts = [p for p in folder.iterdir() if p.is_file() and p.stem == vectors[0].stem]
    files = sorted({*(path for paths in scenes.values() for path in paths), *maps, *parts})
    listing = {p.relative_to(folder).as_posix(): [p.stat().st_size, int(p.stat().st_mtime)] for p in files}
    paths = {sensor: tuple(map(os.fspath, scenes[sensor])) for sensor in SENSORS if scenes.get(sensor)}
    return CityExport(folder.name, paths, tuple(map(os.fspath, maps or vectors)), listing, ignored)


def _files(folder: Path, endings: Sequence[str]) -> list[Path]:
    return [path for path in _visible(folder) if path.suffix.lower() in endings and path.is_file()]


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
