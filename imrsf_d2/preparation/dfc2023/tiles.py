"""One tile of DFC2023 cut into crops, with a record of what came of it.

The record is written when all of a tile's files are in place: a tile with a record is done, and a run that was
interrupted goes on with the others. It names the size and time of the files that were read, so that a tile whose
files were replaced is done again.
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
from imrsf_d2.preparation.dfc2023.footprints import cut_footprint
from imrsf_d2.preparation.files import RECORDS
from imrsf_d2.utils.atomic import write_text
from imrsf_d2.utils.errors import InputError

__all__ = ["Cutter", "Tile"]


@dataclass(frozen=True)
class Tile:
    """What cutting needs of a dataset dict, without the types of Detectron2, which takes seconds to import.

    Args:
        name: of its files.
        height, width: px, as in the labels.
        paths: file of each modality that it has.
        annotations: with segmentation, category_id and iscrowd.
    """

    name: str
    height: int
    width: int
    paths: Mapping[str, str]
    annotations: Sequence[Mapping]

    @classmethod
    def of(cls, sample: Mapping) -> Tile:
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
    """How tiles are cut, and where to.

    Args:
        output: the folder that gets `track2`.
        tile_size: side of a crop, px; None keeps whole tiles.
        min_pixels: parts of a footprint with fewer pixels are dropped.
    """

    output: Path
    tile_size: int | None
    min_pixels: int

    def done(self, tile: Tile) -> dict | None:
        """The record of a tile of which everything is in place, else None."""
        try:
            record = json.loads(self._record(tile).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None
        files = [self._raster(modality, crop["file_name"]) for crop in record["crops"] for modality in record["sources"]]
        return record if record["sources"] == _sources(tile) and all(map(os.path.isfile, files)) else None

    def cut(self, tile: Tile) -> dict:
        """Write a tile's crops.

        Returns:
            Its record: `crops` with file_name, height, width and annotations (segmentation, bbox, area, iscrowd,
            category_id as in the tile); and the numbers of `empty` crops, `footprints`, those `cut` by a border, parts
            dropped as `slivers`, and `lost` footprints of which nothing is left. Or `problem`, a text, alone.
        """
        sources = _sources(tile)
        try:
            valid = _valid_anywhere(tile)
        except ValueError as error:
            return {"problem": str(error)}
        windows = tile_windows(*valid.shape, self.tile_size)
        kept = [window.apply(valid).any() for window in windows]
        names = [self._crop_name(tile, window) for window in windows]
        for modality in BANDS.names:
            crops = []
            for window, name, keep in zip(windows, names, kept):
                if keep and modality in tile.paths:
                    crops.append((window, self._raster(modality, name)))
                else:  # may be there from a time when the tile had this sensor
                    self._raster(modality, name).unlink(missing_ok=True)
            if crops:
                write_crops(tile.paths[modality], crops)
        record = {"sources": sources, **self._cut_footprints(tile, windows, kept)}
        for crop, window, name in zip(record["crops"], windows, names):
            crop.update(file_name=name, height=window.height, width=window.width)
        record["crops"] = [crop for crop, keep in zip(record["crops"], kept) if keep]
        record["empty"] = len(windows) - len(record["crops"])
        write_text(self._record(tile), json.dumps(record, separators=(",", ":")) + "\n")
        return record

    def _cut_footprints(self, tile: Tile, windows: list[Geometry], kept: list[bool]) -> dict:
        crops = [{"annotations": []} for _ in windows]
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

    def _crop_name(self, tile: Tile, window: Geometry) -> str:
        name = Path(tile.name)
        if self.tile_size is None:
            return tile.name
        return f"{name.stem}_{window.top // self.tile_size}_{window.left // self.tile_size}{name.suffix}"

    def _raster(self, modality: str, name: str) -> Path:
        return self.output / "track2" / "train" / modality / name

    def _record(self, tile: Tile) -> Path:
        return self.output / RECORDS / f"{tile.name}.json"


def _sources(tile: Tile) -> dict[str, list[int]]:
    """Size and time of the tile's files, by modality."""
    stats = {modality: os.stat(path) for modality, path in tile.paths.items()}
    return {modality: [stat.st_size, stat.st_mtime_ns] for modality, stat in stats.items()}


def _valid_anywhere(tile: Tile) -> np.ndarray:
    """[H, W] bool: some modality holds data there."""
    expected = (tile.height, tile.width)
    valid = np.zeros(expected, dtype=bool)
    for modality, path in tile.paths.items():
        _, here = read_raster(path, BANDS[modality])
        if here.shape != expected:
            raise InputError(f"{path} is {size_text(here.shape)}, expected {size_text(expected)} as in the labels.")
        valid |= here
    return valid
