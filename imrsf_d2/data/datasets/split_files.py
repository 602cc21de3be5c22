"""The tiles of a split of a `dataset.yaml`: from names, a text file of names, a CSV of paths, or a COCO file."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from imrsf_d2.data.dataset_file import TILE, DatasetFile, is_coco
from imrsf_d2.data.dataset_memory import is_gdal_name, may_exist
from imrsf_d2.data.datasets.coco import read_images
from imrsf_d2.utils.errors import InputError, MissingFileError, some_of

__all__ = ["Tile", "read_tiles", "shared_tiles", "tile_of"]

#: The columns of a CSV besides the modalities.
TILE_COLUMN, LABELS_COLUMN = "tile", "labels"


@dataclass(frozen=True)
class Tile:
    """A tile and where its files should be.

    Args:
        name: of the tile.
        files: modality -> path, None where it is known that the tile lacks the sensor.
        labels: path of its label raster, None if it has none.
    """

    name: str
    files: Mapping[str, str | None]
    labels: str | None


def tile_of(file_name: str) -> str:
    """The name of the tile of an image in a COCO file: its file name without the ending, folders kept."""
    return os.path.splitext(file_name)[0]


def read_tiles(file: DatasetFile, split: str) -> list[Tile]:
    """The tiles of one split, in the order of the file; no raster is looked for.

    Args:
        file: the dataset.
        split: one of its splits.

    Raises:
        InputError: if the split is unknown, empty or malformed, or names a tile twice.
        MissingFileError: if a CSV names files that are not there.
    """
    if split not in file.splits:
        raise InputError(f"{file.path} has no split {split!r}, expected one of {', '.join(file.splits)} (SPLITS).")
    tiles = _read(file, split)
    if not tiles:
        raise InputError(f"{_source(file, split)} lists no tiles, expected at least one.")
    for name, count in Counter(tile.name for tile in tiles).items():
        if count > 1:
            raise InputError(f"{_source(file, split)} lists the tile {name!r} {count} times, expected each once.")
    return tiles


def shared_tiles(file: DatasetFile, split: str, tiles: Sequence[Tile]) -> Iterator[InputError]:
    """An error for each other split of the dataset that has any of a split's tiles."""
    names = {tile.name for tile in tiles}
    for other in file.splits:
        if other != split and (shared := [tile.name for tile in read_tiles(file, other) if tile.name in names]):
            yield InputError(
                f"{file.path}: the splits {split!r} and {other!r} share {len(shared)} tiles: {some_of(shared, 3)}; a score on "
                "training tiles says nothing about new places."
            )


def _read(file: DatasetFile, split: str) -> list[Tile]:
    content = file.splits[split]
    if not isinstance(content, str):
        return [_tile(file, name) for name in content]
    path = file.find(content)
    if is_coco(content):
        return [_tile(file, tile_of(image["file_name"])) for image in read_images(path)]
    try:
        if content.lower().endswith(".csv"):
            return _read_csv(file, path)
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read ({error}), expected UTF-8 text.") from error
    return [_tile(file, name) for line in lines if (name := line.partition("#")[0].strip())]


def _tile(file: DatasetFile, name: str) -> Tile:
    files: dict[str, str | None] = {modality: _path(file, pattern, name) for modality, pattern in file.files.items()}
    return Tile(name, files, None if file.labels is None else _path(file, file.labels, name))


def _path(file: DatasetFile, pattern: str, name: str = "") -> str:
    """A path below ROOT; what is no path of a file, /vsizip/a.zip/b.tif or NETCDF:a.nc:b, stays as it is."""
    path = pattern.replace(TILE, name)
    return path if is_gdal_name(path) else os.path.normpath(file.root / Path(path).expanduser())


def _read_csv(file: DatasetFile, path: Path) -> list[Tile]:
    names = [entry["NAME"] for entry in file.modalities]
    with open(path, newline="", encoding="utf-8-sig") as text:
        rows = csv.DictReader(text, skipinitialspace=True)
        columns = [column.strip() for column in rows.fieldnames or ()]
        rows.fieldnames = columns
        known = [TILE_COLUMN, *names, LABELS_COLUMN]
        for column, count in Counter(columns).items():
            if column not in known or count > 1:
                problem = f"the column {column!r} twice" if count > 1 else f"the unknown column {column!r}"
                raise InputError(f"{path} has {problem}, expected some of {', '.join(known)}.")
        for name in names:
            if name not in columns and not (name in file.files and TILE_COLUMN in columns):
                raise InputError(
                    f"{path} has the columns {', '.join(columns)}, expected {name!r} among them, or a column 'tile' and FILES of "
                    f"this modality in {file.path}."
                )
        if file.task == "semantic" and LABELS_COLUMN not in columns and not (file.labels and TILE_COLUMN in columns):
            raise InputError(
                f"{path} has the columns {', '.join(columns)}, expected 'labels' among them, or a column 'tile' and LABELS in "
                f"{file.path}."
            )
        return [_csv_tile(file, row, f"{path}, line {rows.line_num}") for row in rows]


def _csv_tile(file: DatasetFile, row: Mapping, where: str) -> Tile:
    if None in row or None in row.values():
        raise InputError(f"{where} has more or fewer cells than the header has columns.")
    cells = {column: cell.strip() for column, cell in row.items()}
    written = [cells[entry["NAME"]] for entry in file.modalities if cells.get(entry["NAME"])]
    if TILE_COLUMN not in cells and not written:
        raise InputError(f"{where} has no path of any sensor, expected one at least.")
    name = cells[TILE_COLUMN] if TILE_COLUMN in cells else os.path.splitext(written[0])[0]
    if not name:
        raise InputError(f"{where} has no name of a tile in the column 'tile'.")
    tile = _tile(file, name)
    given: dict[str, str | None] = {
        key: _path(file, cell) if cell else None for key, cell in cells.items() if key != TILE_COLUMN
    }
    labels = given.pop(LABELS_COLUMN, tile.labels)
    gone = [path for path in (*given.values(), labels if LABELS_COLUMN in cells else None) if path and not may_exist(path)]
    if gone:
        raise MissingFileError(
            f"{where} names {gone[0]!r}, but there is no such file; leave the cell empty if it is missing."
        )
    return Tile(name, {entry["NAME"]: {**tile.files, **given}.get(entry["NAME"]) for entry in file.modalities}, labels)


def _source(file: DatasetFile, split: str) -> str:
    content = file.splits[split]
    return os.fspath(file.find(content)) if isinstance(content, str) else f"{file.path}: SPLITS: {split!r}"
