"""The work on one tile, done in worker processes. Detectron2 is not imported here, because it takes seconds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from imrsf_d2.data.quadruplet_layout import LABELS
from imrsf_d2.geo.grids import Grid
from imrsf_d2.geo.writing import write_raster
from imrsf_d2.preparation.files import RECORDS
from imrsf_d2.preparation.quadruplets.land_cover import TileLabels
from imrsf_d2.preparation.quadruplets.mosaics import Mosaic
from imrsf_d2.preparation.quadruplets.sensors import SENSORS, encode
from imrsf_d2.preparation.quadruplets.warping import fill_grid
from imrsf_d2.utils.atomic import write_text
from imrsf_d2.utils.file_state import file_size

__all__ = ["TileJob", "TileRecord", "TileWriter"]


@dataclass(frozen=True)
class TileJob:
    """A tile to be made.

    Args:
        name: `{City}_{row}_{column}`.
        grid: where its pixels lie.
        mosaics: sensor -> the scenes that it is read from.
        labels: the land cover that may overlap it.
    """

    name: str
    grid: Grid
    mosaics: Mapping[str, tuple[Mosaic, ...]]
    labels: TileLabels


@dataclass(frozen=True)
class TileRecord:
    """What became of a tile.

    Args:
        skipped: why it was not made; "" if it was.
        sensors: sensor with data in the tile -> number of its valid pixels that are copied, and that are resampled.
        pixels: label -> number of pixels.
        written: folder -> size of the tile's file in it, bytes.
    """

    skipped: str = ""
    sensors: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    pixels: Mapping[int, int] = field(default_factory=dict)
    written: Mapping[str, int | None] = field(default_factory=dict)


@dataclass(frozen=True)
class TileWriter:
    """Makes tiles.

    Args:
        root: the dataset's folder.
        nodata: folder -> no-data tag of its files.
        min_labeled: least share of a tile's pixels that must have a class.
    """

    root: Path
    nodata: Mapping[str, float]
    min_labeled: float

    def __call__(self, job: TileJob) -> TileRecord:
        """Make a tile unless it is there already. The record that the tile is done is written last."""
        path = self.root / RECORDS / f"{job.name}.json"
        record = self._done(job.name, path)
        if record is None:
            record = self._make(job)
            record = replace(record, written=self._written(job.name, record))
            write_text(path, json.dumps(asdict(record)) + "\n")
        return record

    def _done(self, name: str, path: Path) -> TileRecord | None:
        if not path.is_file():
            return None
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["skipped"]:
            return TileRecord(content["skipped"])
        record = TileRecord(
            "",
            {sensor: tuple(counts) for sensor, counts in content["sensors"].items()},
            {int(label): count for label, count in content["pixels"].items()},
            content.get("written", {}),
        )
        return record if record.written == self._written(name, record) else None

    def _written(self, name: str, record: TileRecord) -> dict[str, int | None]:
        """The sizes of a tile's files as they are now."""
        folders = () if record.skipped else (*record.sensors, LABELS)
        return {folder: file_size(self.root / folder / f"{name}.tif") for folder in folders}

    def _make(self, job: TileJob) -> TileRecord:
        ignore = int(self.nodata[LABELS])
        labels = job.labels.draw(job.grid)
        labeled = np.count_nonzero(labels != ignore)
        if not labeled or labeled < self.min_labeled * labels.size:
            return TileRecord(f"{labeled} of {labels.size} px are labeled")
        rasters, sensors = {}, {}
        for sensor, mosaics in job.mosaics.items():
            values, copied = fill_grid(mosaics, job.grid)
            if valid := int(np.count_nonzero(~np.isnan(values[0]))):
                sensors[sensor] = (own := int(np.count_nonzero(copied)), valid - own)
                rasters[sensor] = encode(SENSORS[sensor], values, self.nodata[sensor])
        if not rasters:
            return TileRecord("no sensor has data")
        # Labels last: a tile that has labels is complete.
        for folder, raster in {**rasters, LABELS: labels}.items():
            write_raster(
                self.root / folder / f"{job.name}.tif",
                raster,
                crs=job.grid.crs,
                transform=job.grid.transform,
                nodata=self.nodata[folder],
            )
        values, counts = np.unique(labels, return_counts=True)
        return TileRecord("", sensors, dict(zip(values.tolist(), counts.tolist())))
