"""Cutting one tile of DFC2023 into crops, with a record of the result.

The record is written when all files of a tile are there: a tile with a record is done, and an interrupted run continues
with the others. It holds size and time of the files that were read, and the size of those written, so that a tile is cut again
if its files were replaced or are not whole.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from imrsf_d2.data.geometry import Geometry
from imrsf_d2.geo.rasters import read_raster, size_text
from imrsf_d2.preparation.dfc2023.bands import BANDS
from imrsf_d2.preparation.dfc2023.crops import tile_windows, write_crops
from imrsf_d2.preparation.files import RECORDS
from imrsf_d2.preparation.footprints import cut_footprint
from imrsf_d2.utils.atomic import write_text
from imrsf_d2.utils.errors import InputError
from imrsf_d2.utils.file_state import file_size

__all__ = ["Cutter", "SourceTile"]


@dataclass(frozen=True)
class SourceTile:
    """The part of a dataset dict that cutting needs, without the types of Detectron2, which takes seconds to import.

    Args:
        name: of its files, in each folder.
        height, width: px, as in the labels.
        paths: file of each modality that it has.
        annotations: segmentation, category_id and iscrowd of each.
    """

    name: str
    height: int
    width: int
    paths: Mapping[str, str]
    annotations: Sequence[Mapping]

    @classmethod
    def of(cls, sample: Mapping) -> SourceTile:
        """The tile of a dict of `load_dfc2023`."""
        keys = ("segmentation", "category_id", "iscrowd")
        return cls(
            Path(sample["file_name"]).name,
            sample["height"],
            sample["width"],
            {modality: path for modality, path in sample["modalities"].items() if path is not None},
            [{key: annotation[key] for key in keys} for annotation in sample["annotations"]],
        )


@dataclass(frozen=True)
class Cutter:
    """Cuts tiles.

    Args:
        output: the folder that `track2` is written to.
        tile_size: side of a crop, px; None keeps whole tiles.
        min_pixels: parts of a footprint with fewer pixels are dropped.
    """

    output: Path
    tile_size: int | None
    min_pixels: int

    def done(self, tile: SourceTile) -> dict | None:
        """The record of a tile if all of its files are there, otherwise None."""
        try:
            record = json.loads(self._record(tile).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None
        return record if record["sources"] == _sources(tile) and record.get("written") == self._written(record) else None

    def cut(self, tile: SourceTile) -> dict:
        """Write a tile's crops.

        Returns:
            The tile's record: `crops`, with file_name, height, width and annotations (segmentation, bbox, area, iscrowd,
            category_id as in the tile); and the numbers of `empty` crops, of `footprints`, of those `cut` by a border, of
            parts dropped as `slivers`, and of `lost` footprints, of which nothing is left. If the tile cannot be cut,
            nothing but `problem`, a text.
        """
        sources = _sources(tile)
        try:
            valid = _valid_anywhere(tile)
        except ValueError as error:
            return {"problem": str(error)}
        windows = tile_windows(tile.height, tile.width, self.tile_size)
        kept = [bool(window.apply(valid).any()) for window in windows]
        names = [self._crop_name(tile, window) for window in windows]
        for modality in BANDS.names:
            crops = []
            for window, name, keep in zip(windows, names, kept):
                if keep and modality in tile.paths:
                    crops.append((window, self._raster(modality, name)))
                else:  # may be left from an earlier run, when the tile had this sensor
                    self._raster(modality, name).unlink(missing_ok=True)
            if crops:
                write_crops(tile.paths[modality], crops)
        record = {"sources": sources, **self._cut_footprints(tile, windows, kept)}
        for crop, window, name in zip(record["crops"], windows, names):
            crop.update(file_name=name, height=window.height, width=window.width)
        record["crops"] = [crop for crop, keep in zip(record["crops"], kept) if keep]
        record["empty"] = len(windows) - len(record["crops"])
        record["written"] = self._written(record)
        write_text(self._record(tile), json.dumps(record, separators=(",", ":")) + "\n")
        return record

    def _cut_footprints(self, tile: SourceTile, windows: list[Geometry], kept: list[bool]) -> dict:
        crops: list[dict] = [{"annotations": []} for _ in windows]
        counts = {"footprints": 0, "cut": 0, "slivers": 0, "lost": 0}
        for annotation in tile.annotations:
            parts = cut_footprint(annotation["segmentation"], tile.height, tile.width, windows)
            large = {position: part for position, part in parts.items() if part["area"] >= self.min_pixels}
            counts["footprints"] += 1
            counts["cut"] += len(parts) > 1
            counts["slivers"] += len(parts) - len(large)
            counts["lost"] += not any(kept[position] for position in large)
            for position, part in large.items():
                crops[position]["annotations"].append(
                    {"category_id": annotation["category_id"], "iscrowd": annotation["iscrowd"], **part}
                )
        return {"crops": crops, **counts}

    def _written(self, record: Mapping) -> list[int | None]:
        """The sizes of a tile's files as they are now, bytes; None for one that is gone."""
        files = (self._raster(modality, crop["file_name"]) for crop in record["crops"] for modality in record["sources"])
        return [file_size(file) for file in files]

    def _crop_name(self, tile: SourceTile, window: Geometry) -> str:
        name = Path(tile.name)
        if self.tile_size is None:
            return tile.name
        return f"{name.stem}_{window.top // self.tile_size}_{window.left // self.tile_size}{name.suffix}"

    def _raster(self, modality: str, name: str) -> Path:
        return self.output / "track2" / "train" / modality / name

    def _record(self, tile: SourceTile) -> Path:
        return self.output / RECORDS / f"{tile.name}.json"


def _sources(tile: SourceTile) -> dict[str, list[int]]:
    """Size in bytes and time of change (ns) of the tile's files, by modality."""
    stats = {modality: os.stat(path) for modality, path in tile.paths.items()}
    return {modality: [stat.st_size, stat.st_mtime_ns] for modality, stat in stats.items()}


def _valid_anywhere(tile: SourceTile) -> np.ndarray:
    """[H, W] bool, True where any modality holds data."""
    expected = (tile.height, tile.width)
    valid = np.zeros(expected, dtype=bool)
    for modality, path in tile.paths.items():
        _, here = read_raster(path, BANDS[modality])
        if here.shape != expected:
            raise InputError(f"{path} is {size_text(here.shape)}, expected {size_text(expected)} as in the labels.")
        valid |= here
    return valid
