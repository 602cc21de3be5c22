"""What a user exported: one folder per city with the scenes of each sensor and one vector file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from imrsf_d2.preparation.sensors import SENSORS

__all__ = ["City", "find_cities"]

RASTERS = (".tif", ".tiff")
VECTORS = (".gpkg", ".shp")


@dataclass(frozen=True)
class City:
    """The files of one city.

    Args:
        name: of its folder.
        scenes: sensor -> paths, sorted; sensors without files are absent.
        vector: path of the vector file.
        listing: file, relative to the city's folder -> [size in bytes, time of last change in seconds]; tells whether
            this is still the same input.
    """

    name: str
    scenes: dict[str, tuple[str, ...]]
    vector: str
    listing: dict[str, list[int]]


def find_cities(root: str | os.PathLike) -> list[City]:
    """Find the cities below a folder, by name.

    Raises:
        FileNotFoundError: if there is no such folder, or no folder of a city in it.
        ValueError: if a city's folder holds a raster of no sensor, no raster, or not exactly one vector file.
    """
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"no folder {root}, expected the one that holds a folder for each city.")
    folders = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not folders:
        raise FileNotFoundError(f"{root} holds no folder, expected one for each city, e.g. {root / 'Lyon'} with "
                                "s1*.tif, s2*.tif, dem*.tif, dnw*.tif and one *.gpkg or *.shp.")
    return [_look_into(folder) for folder in folders]


def _look_into(folder: Path) -> City:
    if "#" in folder.name or folder.name != folder.name.strip():
        raise ValueError(f"{folder}: the name of a city must not hold '#' or end in a space, which lists of tiles do "
                         "not keep. Rename the folder.")
    scenes: dict[str, list[Path]] = {}
    for path in _files(folder, RASTERS):
        sensor = next((name for name in SENSORS if path.name.lower().startswith(name)), None)
        if sensor is None:
            raise ValueError(f"{path} belongs to no sensor, expected a name that starts with {', '.join(SENSORS)}. "
                             "Rename it, or move it out of the city's folder.")
        scenes.setdefault(sensor, []).append(path)
    for sensor in SENSORS:
        # A folder of that name says what its files are.
        scenes.setdefault(sensor, []).extend(_files(folder / sensor, RASTERS))
    if not any(scenes.values()):
        raise ValueError(f"{folder} holds no scenes, expected files named s1*.tif, s2*.tif, dem*.tif or dnw*.tif.")
    vectors = _files(folder, VECTORS)
    if len(vectors) != 1:
        raise ValueError(f"{folder} holds {len(vectors)} vector files"
                         f"{': ' + ', '.join(p.name for p in vectors) if vectors else ''}, expected one *.gpkg "
                         "or *.shp with the land cover.")
    # A shapefile is several files of one name.
    parts = [p for p in folder.iterdir() if p.is_file() and p.stem == vectors[0].stem] \
        if vectors[0].suffix.lower() == ".shp" else vectors
    files = sorted({*(path for paths in scenes.values() for path in paths), *parts})
    listing = {p.relative_to(folder).as_posix(): [p.stat().st_size, int(p.stat().st_mtime)] for p in files}
    return City(folder.name, {sensor: tuple(map(os.fspath, scenes[sensor])) for sensor in SENSORS if scenes[sensor]},
                os.fspath(vectors[0]), listing)


def _files(folder: Path, endings: Sequence[str]) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir()
                  if p.suffix.lower() in endings and not p.name.startswith(".") and p.is_file())
