"""A folder with a `dataset.yaml` as a dataset: its name for DATASETS.TRAIN and DATASETS.TEST is `DIR/dataset.yaml:train`."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog

from imrsf_d2.data.class_colors import class_colors
from imrsf_d2.data.dataset_file import DatasetFile, is_coco, split_name
from imrsf_d2.data.dataset_memory import is_gdal_name, may_exist
from imrsf_d2.data.dataset_yaml import read_dataset_file
from imrsf_d2.data.datasets.coco import load_coco, read_images
from imrsf_d2.data.datasets.coco_panoptic import load_panoptic
from imrsf_d2.data.datasets.split_files import Tile, read_tiles, shared_tiles, tile_of
from imrsf_d2.data.label_codes import IGNORE_LABEL, LabelCodes
from imrsf_d2.data.tasks import INSTANCE, PANOPTIC, PRETRAIN, SEMANTIC
from imrsf_d2.geo.rasters import RasterError, read_grid
from imrsf_d2.utils.errors import InputError, MissingFileError, UserError, refuse, some_of

__all__ = ["label_codes", "load_folder", "register_folder"]

logger = logging.getLogger(__name__)

#: What each registered name stands for, to register it anew when the file has changed.
_registered: dict[str, DatasetFile] = {}


def load_folder(file: DatasetFile, split: str, on_problem: Callable[[UserError], None] = refuse) -> list[dict]:
    """Read the list of a split's tiles and look for their files.

    Args:
        file: the dataset.
        split: one of its splits.
        on_problem: called with each error that concerns some tiles or annotations only; if it returns, they are left out.

    Returns:
        Dataset dicts with file_name, height, width, image_id (that of the COCO file, or the tile's name), tile and modalities, None
        where a tile lacks the sensor; `sem_seg_file_name` and `sem_seg_codes` of label rasters, `annotations` of COCO files,
        `pan_seg_file_name` and `segments_info` of panoptic ones.

    Raises:
        InputError: if a list is malformed, or shares a tile with another split.
        MissingFileError: if there is no ROOT, or if tiles have no labels, or no raster at all.
        RasterError: if a file that tells the size of a tile cannot be opened.
    """
    if not is_gdal_name(os.fspath(file.root)) and not file.root.is_dir():
        raise MissingFileError(f"{file.path}: ROOT is {os.fspath(file.root)!r}, but there is no such folder.")
    tiles = read_tiles(file, split)
    for problem in shared_tiles(file, split, tiles):
        on_problem(problem)
    annotated, codes = _read_coco(file, split, on_problem), label_codes(file)
    samples = []
    for tile, found in _find_files(file, split, tiles, on_problem):
        first = next(path for path in found.values() if path is not None)
        sample: dict[str, Any] = {"image_id": tile.name, "tile": tile.name, "file_name": first, "modalities": found}
        if annotated is not None:
            if tile.name not in annotated:
                continue  # a problem that was reported
            sample = annotated[tile.name] | {"tile": tile.name, "file_name": first, "modalities": found}
        else:
            size = _size([path for path in (tile.labels, *found.values()) if path is not None], on_problem)
            if size is None:
                continue
            sample["height"], sample["width"] = size
        if file.labeled_by_rasters:
            sample |= {"sem_seg_file_name": tile.labels, "sem_seg_codes": codes}
        samples.append(sample)
    return samples


def register_folder(name: str) -> DatasetFile:
    """Register a split of a `dataset.yaml` under its name, again if the file has changed. Looks for no raster yet.

    Args:
        name: `DIR/dataset.yaml:train`.

    Returns:
        The file.

    Raises:
        InputError, MissingFileError: see `read_dataset_file`; also if it has no such split.
    """
    path, split = split_name(name)
    file = read_dataset_file(path)
    if split not in file.splits:
        raise InputError(f"{file.path} has no split {split!r}, expected one of {', '.join(file.splits)} (SPLITS).")
    if _registered.get(name) == file and name in DatasetCatalog:
        return file
    if name in DatasetCatalog:
        DatasetCatalog.remove(name)
    if name in MetadataCatalog:  # also what a config alone told of a dataset that was not there
        MetadataCatalog.remove(name)
    DatasetCatalog.register(name, lambda: load_folder(file, split))
    metadata = MetadataCatalog.get(name).set(split=split)
    names = list(file.class_names)
    given = {label.name: label.color for label in file.classes}
    colors = list(class_colors(names, [given.get(label) for label in names]))
    if file.task == SEMANTIC.name:
        metadata.set(stuff_classes=names, stuff_colors=colors, ignore_label=IGNORE_LABEL, evaluator_type=SEMANTIC.kind)
    elif file.task == INSTANCE.name:
        metadata.set(
            thing_classes=names,
            thing_colors=colors,
            thing_dataset_id_to_contiguous_id=_categories(file),
            json_file=os.fspath(file.find(str(file.splits[split]))),
            ignore_label=IGNORE_LABEL,
            evaluator_type=INSTANCE.kind,
        )
    elif file.task == PANOPTIC.name:
        things = {code for label in file.classes if label.thing for code in label.codes}
        metadata.set(
            thing_classes=names,
            thing_colors=colors,
            stuff_classes=names,
            stuff_colors=colors,
            thing_dataset_id_to_contiguous_id={code: i for code, i in _categories(file).items() if code in things},
            stuff_dataset_id_to_contiguous_id={code: i for code, i in _categories(file).items() if code not in things},
            panoptic_json=os.fspath(file.find(str(file.splits[split]))),
            panoptic_root=os.fspath(file.root / str(file.labels)),
            ignore_label=IGNORE_LABEL,
            evaluator_type=PANOPTIC.kind,
        )
    _registered[name] = file
    return file


def label_codes(file: DatasetFile) -> LabelCodes:
    """What the values of the label rasters stand for."""
    return LabelCodes.of({label.name: label.codes for label in file.classes}, file.unlabeled)


def _categories(file: DatasetFile) -> dict[int, int]:
    """Category id of the COCO files -> index in CLASSES."""
    return {code: index for index, label in enumerate(file.classes) for code in label.codes}


def _read_coco(file: DatasetFile, split: str, on_problem: Callable[[UserError], None]) -> dict[str, dict] | None:
    """The samples of a COCO split by the names of their tiles; None if it is no COCO file."""
    if not is_coco(file.splits[split]):
        return None
    path, indices = file.find(str(file.splits[split])), list(_categories(file).values())
    if file.task == PRETRAIN:
        return {tile_of(image["file_name"]): image for image in read_images(path)}
    names = {code: file.classes[index].name for code, index in _categories(file).items()}
    if file.task == PANOPTIC.name:
        things = {code for label in file.classes if label.thing for code in label.codes}
        samples = load_panoptic(path, file.root / str(file.labels), names, things, on_problem)
        for segment in (segment for sample in samples for segment in sample["segments_info"]):
            segment["category_id"] = indices[segment["category_id"]]
        return {tile_of(sample["file_name"]): sample for sample in samples}
    samples = load_coco(path, names, on_problem)
    for sample in samples:
        for annotation in sample["annotations"]:
            annotation["category_id"] = indices[annotation["category_id"]]  # from a position among the codes to a class
    return {tile_of(sample["file_name"]): sample for sample in samples}


def _size(paths: Sequence[str], on_problem: Callable[[UserError], None]) -> tuple[int, int] | None:
    """(H, W) of the first of some files that can be opened; each that cannot is a problem. None if none can."""
    for path in paths:
        try:
            return read_grid(path).shape
        except RasterError as error:
            on_problem(error)
    return None


def _find_files(
    file: DatasetFile, split: str, tiles: Sequence[Tile], on_problem: Callable[[UserError], None]
) -> list[tuple[Tile, dict[str, str | None]]]:
    """The tiles with those of their files that are there, in the order of the modalities; a tile that lacks all, or labels,
    is a problem."""
    there = [
        {name: path if path is not None and may_exist(path) else None for name, path in tile.files.items()} for tile in tiles
    ]
    for name in tiles[0].files:
        if any(files.values() for files in there) and not any(files[name] for files in there):
            logger.warning(
                "No tile of %s:%s has a file of %r, which counts as a missing sensor; looked for %s, for one.",
                file.path,
                split,
                name,
                tiles[0].files[name],
            )
    unlabeled = [tile for tile in tiles if file.labeled_by_rasters and (tile.labels is None or not may_exist(tile.labels))]
    empty = [tile for tile, files in zip(tiles, there) if not any(files.values())]
    for what, without in (("label raster", unlabeled), ("file of any sensor", empty)):
        if without:
            wanted = [without[0].labels] if what == "label raster" else list(without[0].files.values())
            on_problem(
                MissingFileError(
                    f"{len(without)} of the {len(tiles)} tiles of {file.path}:{split} have no {what}: "
                    f"{some_of((tile.name for tile in without), 5)}; looked for {some_of(wanted, 3)}, for one."
                )
            )
    left_out = {tile.name for tile in (*unlabeled, *empty)}
    return [(tile, files) for tile, files in zip(tiles, there) if tile.name not in left_out]
