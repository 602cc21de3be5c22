"""How a folder of tiles describes itself: lists of tiles, statistics, `dataset.yaml`."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from imrsf_d2.data.class_colors import class_colors
from imrsf_d2.data.dataset_file import DATASET_FILE, DatasetClass, DatasetFile
from imrsf_d2.data.label_codes import IGNORE_LABEL
from imrsf_d2.data.statistics import compute_statistics, with_statistics
from imrsf_d2.modalities import Modality, ModalitySet
from imrsf_d2.preparation.tiles.plan import TilePlan
from imrsf_d2.preparation.tiles.scenes import LABELS
from imrsf_d2.preparation.tiles.splits import TRAIN, VAL, Split
from imrsf_d2.preparation.tiles.tiles import TileJob, TileRecord
from imrsf_d2.utils.atomic import write_text

__all__ = ["SPLITS", "dataset_file", "measure", "write_splits"]

#: Folder of the lists of tiles.
SPLITS = "splits"


def write_splits(output: Path, task: str, plan: TilePlan, records: Sequence[TileRecord], split: Split) -> dict[str, str]:
    """Write the lists of tiles, or COCO files of their objects.

    Args:
        output: the dataset's folder.
        task: see `LabelOptions`.
        plan, records, split: all tiles, what became of them, and what they are for.

    Returns:
        Split that has tiles -> its file.
    """
    files = {}
    for name in (TRAIN, VAL):
        listed = [(job, record) for job, record, of in zip(plan.jobs, records, split.names, strict=True) if of == name]
        file = f"{SPLITS}/{name}.{'json' if task == 'instance' else 'txt'}"
        if not listed:
            (output / file).unlink(missing_ok=True)  # readers refuse a list without tiles
            continue
        files[name] = file
        text = "\n".join(job.name for job, _ in listed)
        if task == "instance":
            text = json.dumps(_coco(plan, listed), separators=(",", ":"))
        write_text(output / file, text + "\n")
    return files


def _coco(plan: TilePlan, listed: Sequence[tuple[TileJob, TileRecord]]) -> dict:
    images: list[dict] = []
    annotations: list[dict] = []
    for job, record in listed:
        height, width = job.part.shape
        images.append({"id": len(images) + 1, "file_name": f"{job.name}.tif", "height": height, "width": width})
        for annotation in record.annotations:
            # What may be of any class, scores have to ignore in each.
            of_all = annotation["category_id"] == IGNORE_LABEL
            for index in range(len(plan.classes)) if of_all else [annotation["category_id"]]:
                own = {"id": len(annotations) + 1, "image_id": len(images)}
                annotations.append({**own, **annotation, "category_id": index + 1})
    return {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": index + 1, "name": label.name} for index, label in enumerate(plan.classes)],
    }


def measure(
    output: Path, plan: TilePlan, records: Sequence[TileRecord], split: Split, num_workers: int, progress: bool
) -> tuple[list[dict], list[str]]:
    """Measure the training tiles.

    Returns:
        The modalities as in MODEL.IMRSF.MODALITIES, with MEAN and STD; and remarks for people.
    """
    modalities = ModalitySet(source.tile_modality for source in plan.sources.values())
    samples = [
        {name: os.fspath(output / name / f"{job.name}.tif") for name in record.sensors}
        for job, record, of in zip(plan.jobs, records, split.names, strict=True)
        if of == TRAIN
    ]
    entries = [_entry(modality) for modality in modalities]
    if not samples:
        return entries, ["there is no training tile, so nothing is measured: MEAN and STD are missing in dataset.yaml"]
    statistics = compute_statistics(samples, modalities, num_workers, progress)
    measured, remarks = [], []
    for entry, modality in zip(entries, modalities, strict=True):
        found = statistics[modality.name]
        with_numbers, remark = with_statistics(entry, modality, found)
        measured.append(with_numbers)
        if not found.moments.count:
            remarks.append(
                f"no training tile has data of {modality.name!r}, so MEAN and STD are missing: another --seed or --split may help"
            )
        elif "constant" in remark:
            remarks.append(f"{modality.name}{remark}")
    return measured, remarks


def _entry(modality: Modality) -> dict:
    """A modality as in MODEL.IMRSF.MODALITIES, without what is as by default."""
    entry: dict = {"NAME": modality.name}
    if modality.categorical:
        entry |= {"CODES": dict(modality.codes)} if modality.codes else {"CLASSES": modality.classes}
        if modality.class_names:
            entry["CLASS_NAMES"] = list(modality.class_names)
    elif modality.bands:
        entry["BANDS"] = list(modality.bands)
    else:
        entry["CHANNELS"] = modality.channels
    if modality.transform != "none":
        entry["TRANSFORM"] = modality.transform
    if modality.nodata is not None:
        entry["NODATA"] = modality.nodata
    if modality.unit:
        entry["UNIT"] = modality.unit
    if modality.display:
        entry["DISPLAY"] = list(modality.display)
    return entry


def dataset_file(output: Path, task: str, plan: TilePlan, entries: Sequence[dict], splits: Mapping[str, str]) -> DatasetFile:
    """What is written last, and says everything about the dataset.

    Args:
        entries: of `measure`.
        splits: of `write_splits`.
    """
    first = 1 if task == "instance" else 0
    colors = class_colors([row.name for row in plan.classes], [row.color for row in plan.classes])
    return DatasetFile(
        path=(output / DATASET_FILE).absolute(),
        root=output.absolute(),
        task=task,
        modalities=tuple(entries),
        files={name: f"{name}/{{tile}}.tif" for name in plan.sources},
        labels=f"{LABELS}/{{tile}}.tif" if task == "semantic" else None,
        classes=tuple(DatasetClass(row.name, colors[i], (i + first,)) for i, row in enumerate(plan.classes)),
        unlabeled=(IGNORE_LABEL,) if task == "semantic" else (),
        splits=splits,
        tile_size=plan.jobs[0].part.shape,
    )
