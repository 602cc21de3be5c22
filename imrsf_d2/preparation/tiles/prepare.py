"""Scenes and labels become a folder of tiles that `dataset.yaml` describes.

Written to the output folder:
    dataset.yaml                what everything is
    {sensor}/{scene}_{row}_{column}.tif     tiles; none where a sensor has no data
    labels/...                  label maps (semantic): class index, 255 = not labeled
    splits/train.txt, val.txt   names of tiles (semantic, pretrain); train.json, val.json: COCO files (instance)
    summary.md                  scenes, sensors and classes
    prepared.json               the parameters, and whether everything is there
    .prepared/                  a record per tile, from which an interrupted run continues
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from imrsf_d2.data.dataset_file import DATASET_FILE
from imrsf_d2.data.dataset_yaml import write_dataset_file
from imrsf_d2.preparation.files import MARKER, RECORDS, SUMMARY
from imrsf_d2.preparation.tiles.description import SPLITS, dataset_file, measure, write_splits
from imrsf_d2.preparation.tiles.labels import LabelOptions
from imrsf_d2.preparation.tiles.padding import padding_remark
from imrsf_d2.preparation.tiles.plan import TilePlan, plan_tiles
from imrsf_d2.preparation.tiles.scenes import LABELS, GridOptions
from imrsf_d2.preparation.tiles.sensors import SensorOptions
from imrsf_d2.preparation.tiles.splits import Split, SplitOptions, TilePlace, check_split, split_tiles
from imrsf_d2.preparation.tiles.summary import tiles_summary, unseen_classes
from imrsf_d2.preparation.tiles.tiles import TileJob, TileMaker, TileRecord
from imrsf_d2.utils.atomic import write_text
from imrsf_d2.utils.claim import claim_folder
from imrsf_d2.utils.errors import InputError
from imrsf_d2.utils.locks import sole_user
from imrsf_d2.utils.parallel import run_jobs

__all__ = ["TileRequest", "forecast_tiles", "prepare_tiles"]

# Raise this when the same input and parameters no longer give the same files.
VERSION = 1
#: Tiles with a smaller share of pixels with data are slivers along the edge of a scene.
MIN_VALID = 0.05


@dataclass(frozen=True)
class TileRequest:
    """What a user asks for.

    Args:
        rasters: name of a sensor -> a file, a folder or a glob.
        labels, grids, sensors, split: see there.
        min_valid: least share of a tile's pixels with data of any sensor.
    """

    rasters: Mapping[str, str]
    labels: LabelOptions
    grids: GridOptions = GridOptions()
    sensors: SensorOptions = SensorOptions()
    split: SplitOptions = SplitOptions()
    min_valid: float = MIN_VALID

    def __post_init__(self) -> None:
        if taken := [name for name in self.rasters if name in (LABELS, SPLITS)]:
            raise InputError(
                f"--modality names a sensor {taken[0]!r}, which is another folder of the output; choose another name."
            )
        if not 0 <= self.min_valid <= 1:
            raise InputError(f"--min-valid is {self.min_valid:g}, expected a share from 0 to 1.")


def forecast_tiles(request: TileRequest, *, num_workers: int = 0, progress: bool = False) -> str:
    """Say what `prepare_tiles` would make, without writing anything or reading the pixels of sensors.

    Raises:
        UserError: as `prepare_tiles`, as far as it can be known.
    """
    plan = plan_tiles(
        request.rasters, request.labels, request.grids, request.sensors, num_workers=num_workers, progress=progress
    )
    check_split([_place(job) for job in plan.jobs], request.split)
    records = run_jobs(_maker(request, plan, None), plan.jobs, num_workers, progress)
    _check_some(records)
    split = _split(request, plan, records)
    return tiles_summary(plan, records, split, _remarks(request, plan, records, split), made=False)


def prepare_tiles(request: TileRequest, output: str | os.PathLike, *, num_workers: int = 0, progress: bool = False) -> str:
    """Make the tiles of all scenes, and describe them.

    An interrupted call can be repeated, and continues. The same tiles can be split again in another way.

    Args:
        output: the folder of the dataset; `dataset.yaml` is written last.
        num_workers: processes; 0 = all cores.
        progress: show bars on the terminal.

    Returns:
        The text of `summary.md`.

    Raises:
        MissingFileError: if a file is missing.
        OccupiedError: if `output` holds data made with other parameters, from other files, or by another program, or another
            process writes to it.
        RasterError: if a file cannot be read.
        InputError: if files and options contradict each other, or no tile is left.
    """
    output = Path(output).expanduser()
    plan = plan_tiles(
        request.rasters, request.labels, request.grids, request.sensors, num_workers=num_workers, progress=progress
    )
    _check_outside(output, plan, request.labels)
    check_split([_place(job) for job in plan.jobs], request.split)
    # Claimed only now: mistakes that are usually corrected in a second try have been found.
    with sole_user(output):
        return _make_dataset(request, plan, output, num_workers, progress)


def _make_dataset(request: TileRequest, plan: TilePlan, output: Path, num_workers: int, progress: bool) -> str:
    """Make the tiles and what comes with them; see `prepare_tiles`."""
    owned = (*plan.sources, LABELS, SPLITS, DATASET_FILE, SUMMARY, RECORDS)
    claimed = claim_folder(output, MARKER, _parameters(request, plan), owned)
    claimed.mark(complete=False)
    (output / DATASET_FILE).unlink(missing_ok=True)
    maker = _maker(request, plan, output)
    records = run_jobs(maker, plan.jobs, num_workers, progress)
    try:
        _check_some(records)
    except InputError:
        # Nothing was written, so there is no reason to refuse other parameters next time.
        shutil.rmtree(output / RECORDS)
        claimed.release()
        raise
    split = _split(request, plan, records)
    remarks = _remarks(request, plan, records, split)
    splits = write_splits(output, request.labels.task, plan, records, split)
    entries, more = measure(output, plan, records, split, num_workers, progress)
    summary = tiles_summary(plan, records, split, [*remarks, *more], made=True)
    write_text(output / SUMMARY, summary)
    maker.forget_others({job.name for job in plan.jobs})
    write_dataset_file(dataset_file(output, request.labels.task, plan, entries, splits))
    claimed.mark(complete=True)
    return summary


def _maker(request: TileRequest, plan: TilePlan, output: Path | None) -> TileMaker:
    return TileMaker(output, plan.sources, request.labels.task, plan.outside, plan.labels, min_valid=request.min_valid)


def _parameters(request: TileRequest, plan: TilePlan) -> dict:
    """What the tiles follow from; not the split, which can be made again, nor the content of files, see `TileRecord`."""
    labels, grids = request.labels, request.grids
    files = {name: _digest(source.files) for name, source in plan.sources.items()}
    label_files = () if labels.path is None else plan.labels[0].files if plan.labels else (labels.path,)
    return {
        "layout": "tiles",
        "version": VERSION,
        "tile": grids.tile,
        "overlap": grids.overlap,
        "reference": grids.reference,
        "crs": grids.crs,
        "resolution": grids.resolution,
        "assume_crs": grids.assume_crs,
        "min_valid": request.min_valid,
        **{f"files of {name}": digest for name, digest in files.items()},
        **{f"sensor {name}": repr(source.modality) for name, source in plan.sources.items()},
        "labels": {key: value for key, value in asdict(labels).items() if key not in ("path", "table", "area")},
        "files of labels": _digest(label_files),
        # Spelled as in the folders that are there already: another name would refuse to continue them.
        "files of labelled-area": _digest(() if labels.area is None else (labels.area,)),
        "classes": {label.name: label.codes for label in plan.classes},
    }


def _digest(paths: Sequence[str]) -> str:
    """The names of files, in short."""
    names = [os.path.abspath(path) if os.path.exists(path) else path for path in paths]
    return f"{len(names)} named {hashlib.sha256(json.dumps(names).encode()).hexdigest()[:12]}"


def _check_outside(output: Path, plan: TilePlan, labels: LabelOptions) -> None:
    """See that no input lies in the output."""
    paths = [path for source in plan.sources.values() for path in source.files]
    paths += [path for path in (labels.path, labels.area) if path is not None]
    for path in paths:
        if output.resolve() in Path(path).resolve().parents:
            raise InputError(f"{path} lies in the output {output}, expected an output that holds no input.")


def _check_some(records: Sequence[TileRecord]) -> None:
    if any(not record.skipped for record in records):
        return
    reasons = ", ".join(sorted({record.skipped for record in records}))
    raise InputError(f"none of {len(records)} tiles is left: {reasons}. See what --dry-run says of the scenes and labels.")


def _split(request: TileRequest, plan: TilePlan, records: Sequence[TileRecord]) -> Split:
    """The split of the tiles that are there."""
    kept = [(job, record) for job, record in zip(plan.jobs, records, strict=True) if not record.skipped]
    places = [_place(job) for job, _ in kept]
    amounts = [
        [
            *(record.labels.get(index, 0) for index in range(len(plan.classes))),
            *(name in record.sensors for name in plan.sources),
        ]
        for _, record in kept
    ]
    split = split_tiles(places, np.array(amounts, dtype=float), request.split)
    names = iter(split.names)
    return replace(split, names=tuple("" if record.skipped else next(names) for record in records))


def _place(job: TileJob) -> TilePlace:
    return TilePlace(job.scene, job.window.row, job.window.column, job.part)


def _remarks(request: TileRequest, plan: TilePlan, records: Sequence[TileRecord], split: Split) -> list[str]:
    return [
        *plan.remarks,
        *padding_remark(plan.scenes, request.grids),
        *filter(None, [split.remark]),
        *unseen_classes(plan, records, split),
    ]
