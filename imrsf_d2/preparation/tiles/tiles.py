"""The work on one tile, done in worker processes."""

from __future__ import annotations

import functools
import hashlib
import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import shapely

from imrsf_d2.data.label_codes import IGNORE_LABEL, LabelCodes
from imrsf_d2.data.masks import MIN_INSTANCE_PIXELS
from imrsf_d2.geo.codes import CodeCounts
from imrsf_d2.geo.gdal import OpenFiles
from imrsf_d2.geo.grids import Grid
from imrsf_d2.geo.raster_state import raster_state
from imrsf_d2.geo.writing import write_raster
from imrsf_d2.inference.scene_reading import SceneFile
from imrsf_d2.preparation.files import RECORDS
from imrsf_d2.preparation.tiles.encoding import Pixels, write_pixels
from imrsf_d2.preparation.tiles.objects import cut_object, draw_shapes
from imrsf_d2.preparation.tiles.pixels import read_pixels
from imrsf_d2.preparation.tiles.scenes import LABELS, TileWindow
from imrsf_d2.preparation.tiles.sensors import Source
from imrsf_d2.utils.atomic import write_text
from imrsf_d2.utils.file_state import file_state

__all__ = ["CodeCounter", "TileJob", "TileMaker", "TileRecord", "forget_files"]

#: Files that each process leaves open.
OPEN_FILES = 32


@dataclass(frozen=True)
class TileJob:
    """A tile to be made.

    Args:
        name: of its files.
        scene: index of its scene, and the pixels of that.
        window: its place there.
        files: sensor -> files that may show some of it; and label rasters.
        shapes: polygons that may meet it, as WKB, in its pixels; and the class index of each.
        area: what of it is labeled, as WKB in its pixels; None if all is.
    """

    name: str
    scene: int
    grid: Grid
    window: TileWindow
    files: Mapping[str, tuple[SceneFile, ...]]
    label_files: tuple[SceneFile, ...] = ()
    shapes: tuple[tuple[bytes, int], ...] = ()
    area: bytes | None = None

    @property
    def pixels(self) -> tuple[slice, slice]:
        """Its rows and columns in the scene."""
        return self.window.rows, self.window.columns

    @property
    def part(self) -> Grid:
        """Its grid."""
        return self.grid.part(*self.pixels)


@dataclass(frozen=True)
class TileRecord:
    """What became of a tile.

    Args:
        skipped: why it was left out; "" if it was not.
        sensors: sensor with data -> number of pixels that are copied, and that are resampled.
        labels: class index -> pixels or objects.
        unlabeled: pixels without a label (semantic).
        annotations: objects, as in a COCO file (instance). Those of no class, with the index IGNORE_LABEL, are crowds.
        slivers: objects left out, of which the tile or its data hold too few pixels.
        made_from: stands for the files and labels that it was made from.
        written: folder -> size and time of change of the tile's file in it.
    """

    skipped: str = ""
    sensors: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    labels: Mapping[int, int] = field(default_factory=dict)
    unlabeled: int = 0
    annotations: Sequence[Mapping] = ()
    slivers: int = 0
    made_from: str = ""
    written: Mapping[str, tuple[int, int] | None] = field(default_factory=dict)


@dataclass(frozen=True)
class TileMaker:
    """Makes tiles.

    Args:
        output: the dataset's folder; None counts what would be made, without reading a sensor.
        sources: the sensors.
        task: see `LabelOptions`.
        outside: label of pixels that no polygon covers.
        labels: rasters of labels, and what their codes become.
        min_valid: least share of a tile's pixels with data of any sensor.
    """

    output: Path | None
    sources: Mapping[str, Source]
    task: str
    outside: int = IGNORE_LABEL
    labels: tuple[Source, LabelCodes] | None = None
    min_valid: float = 0.0

    def __call__(self, job: TileJob) -> TileRecord:
        """Make a tile unless it is there already, made from the same. The record that the tile is done is written last.

        Raises:
            RasterError: if a file cannot be read.
        """
        if self.output is None:
            return self._count(job)
        path = self.output / RECORDS / f"{job.name}.json"
        made_from = self._made_from(job)
        record = self._done(job, path)
        if record is None or record.made_from != made_from:
            path.unlink(missing_ok=True)
            record = replace(self._make(job), made_from=made_from)
            record = replace(record, written=self._written(job, record))
            write_text(path, json.dumps(asdict(record), separators=(",", ":")) + "\n")
        return record

    def raster(self, folder: str, name: str) -> Path:
        """The file of a tile."""
        assert self.output is not None
        return self.output / folder / f"{name}.tif"

    def forget_others(self, names: Collection[str]) -> None:
        """Remove tiles of an earlier run that are no longer among those named, as when a scene became smaller."""
        assert self.output is not None
        for path in (self.output / RECORDS).glob("*.json"):
            if path.stem not in names:
                self._remove(path.stem)
                path.unlink()

    def _remove(self, name: str) -> None:
        """Remove the files of a tile."""
        for folder in (*self.sources, LABELS):
            self.raster(folder, name).unlink(missing_ok=True)

    def _done(self, job: TileJob, path: Path) -> TileRecord | None:
        if not path.is_file():
            return None
        content = json.loads(path.read_text(encoding="utf-8"))
        content["sensors"] = {sensor: tuple(counts) for sensor, counts in content["sensors"].items()}
        content["labels"] = {int(index): count for index, count in content["labels"].items()}
        content["written"] = {folder: state and tuple(state) for folder, state in content.get("written", {}).items()}
        record = TileRecord(**content)
        written = self._written(job, record)
        return record if record.written == written and None not in written.values() else None

    def _written(self, job: TileJob, record: TileRecord) -> dict[str, tuple[int, int] | None]:
        """The files of a tile as they are now."""
        folders = () if record.skipped else (*record.sensors, *([LABELS] if self.task == "semantic" else []))
        return {folder: file_state(self.raster(folder, job.name)) for folder in folders}

    def _made_from(self, job: TileJob) -> str:
        """Changes if a file that the tile is made from does, or what is labeled in it, or what a code stands for."""
        files = [_version(file.path) for of_sensor in (*job.files.values(), job.label_files) for file in of_sensor]
        codes = None if self.labels is None else sorted(self.labels[1].codes.items())
        content = (tuple(job.part.transform), files, job.shapes, job.area, self.outside, codes)
        return hashlib.sha256(repr(content).encode()).hexdigest()[:16]

    def _make(self, job: TileJob) -> TileRecord:
        self._remove(job.name)  # may be left from an earlier run, when the tile had another sensor
        part = job.part
        rasters: dict[str, Pixels] = {}
        valid = np.zeros(part.shape, dtype=bool)
        for name, files in job.files.items():
            pixels = read_pixels(self.sources[name], files, job.grid, job.pixels, _open_files())
            if pixels is not None:
                rasters[name] = pixels
                valid |= pixels.valid
        if not rasters:
            return TileRecord("no sensor has data")
        if np.count_nonzero(valid) < self.min_valid * valid.size:
            return TileRecord("too few pixels have data")
        record, labels = self._label(job, valid)
        if record.skipped:
            return record
        for name, pixels in rasters.items():
            write_pixels(self.raster(name, job.name), pixels, part)
        if labels is not None:
            write_raster(self.raster(LABELS, job.name), labels, crs=part.crs, transform=part.transform, nodata=IGNORE_LABEL)
        sensors = {name: (pixels.copied, pixels.resampled) for name, pixels in rasters.items()}
        return replace(record, sensors=sensors)

    def _count(self, job: TileJob) -> TileRecord:
        """What a tile holds by the outlines of the files."""
        part = job.part
        sensors = {
            name: (part.height * part.width, 0)
            for name, files in job.files.items()
            if any(part.meets(file.grid) for file in files)
        }
        if not sensors:
            return TileRecord("no sensor has data")
        valid = np.zeros(part.shape, dtype=bool)
        valid[: job.grid.height - job.window.rows.start, : job.grid.width - job.window.columns.start] = True
        if np.count_nonzero(valid) < self.min_valid * valid.size:
            return TileRecord("too few pixels have data")
        record, _ = self._label(job, valid)
        return record if record.skipped else replace(record, sensors=sensors)

    def _label(self, job: TileJob, valid: np.ndarray) -> tuple[TileRecord, np.ndarray | None]:
        """What is labeled in a tile, and its label map (semantic).

        Args:
            valid: [H, W] bool, where any sensor has data.
        """
        if self.task == "pretrain":
            return TileRecord(), None
        known = valid
        if job.area is not None:
            known = valid & (draw_shapes([(shapely.from_wkb(job.area), 1)], valid.shape, 0) > 0)
        if self.task == "instance":
            if (valid & ~known).any():
                return TileRecord("not all of it is in the labeled area"), None
            return self._objects(job, valid), None
        if self.labels is None:
            labels = draw_shapes(
                [(shapely.from_wkb(shape), index) for shape, index in job.shapes], valid.shape, self.outside
            )
        else:
            labels = self._read_labels(job)
        labels[~known] = IGNORE_LABEL
        values, counts = np.unique(labels, return_counts=True)
        found = dict(zip(values.tolist(), counts.tolist(), strict=True))
        unlabeled = found.pop(IGNORE_LABEL, 0)
        if not found:
            return TileRecord("nothing in it is labeled"), None
        return TileRecord(labels=found, unlabeled=unlabeled), labels

    def _objects(self, job: TileJob, valid: np.ndarray) -> TileRecord:
        annotations, slivers = [], 0
        for shape, index in job.shapes:
            found = cut_object(shapely.from_wkb(shape), valid)
            if found is None:
                continue
            annotation, seen = found
            unknown = index == IGNORE_LABEL
            if unknown or min(annotation["area"], seen) >= MIN_INSTANCE_PIXELS:
                annotations.append({"category_id": index, "iscrowd": int(unknown), **annotation})
            else:
                slivers += 1
        counts = Counter(annotation["category_id"] for annotation in annotations if not annotation["iscrowd"])
        return TileRecord(labels=dict(counts), annotations=annotations, slivers=slivers)

    def _read_labels(self, job: TileJob) -> np.ndarray:
        assert self.labels is not None
        source, codes = self.labels
        pixels = read_pixels(source, job.label_files, job.grid, job.pixels, _open_files())
        if pixels is None:
            return np.full(job.part.shape, IGNORE_LABEL, dtype=np.uint8)
        return codes.apply(pixels.stored[0], pixels.valid, f"the labels of tile {job.name}")


@dataclass(frozen=True)
class CodeCounter:
    """Counts the codes of label rasters in tiles."""

    source: Source

    def __call__(self, job: TileJob) -> CodeCounts:
        """The codes in a tile, where there are data."""
        pixels = read_pixels(self.source, job.label_files, job.grid, job.pixels, _open_files())
        if pixels is None:
            return CodeCounts({}, 0)
        return CodeCounts.of(pixels.stored[0][pixels.valid], pixels.valid.size)


def forget_files() -> None:
    """Look at files anew, which may have been replaced since this process saw them."""
    _version.cache_clear()
    _open_files.cache_clear()


@functools.cache  # not once for each tile
def _version(path: str) -> tuple:
    """A raster with the size and time of change of its files; what GDAL opens need not be a file."""
    return path, *raster_state(path)


@functools.cache
def _open_files() -> OpenFiles:
    """The files that this process has open."""
    return OpenFiles(OPEN_FILES)
