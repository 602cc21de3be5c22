"""Quadruplets: land cover from Sentinel-1, Sentinel-2, elevation and a Dynamic World map, at 10 m.

Features: tiles whose files share one pixel grid (in the paper 6123 tiles of 256 x 256 px from twelve cities). They cannot
be downloaded; `datasets/prepare_quadruplets.py` makes them from a user's own export.

Bands and format: `imrsf_d2.data.quadruplet_layout`.

Classes: the 27 of Urban Atlas 2018, merged into seven by `land_cover.csv`.

Split: by city; a city in two splits is an error.

Citation: Y. Chen, M. Zhao, L. Bruzzone, "Incomplete Multimodal Learning for Remote Sensing Data Fusion".
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from detectron2.data import DatasetCatalog, Metadata, MetadataCatalog

from imrsf_d2.data.class_colors import class_colors
from imrsf_d2.data.class_tables import read_class_table
from imrsf_d2.data.datasets.land_cover import DEFAULT_TABLE, prepared_classes
from imrsf_d2.data.datasets.root import dataset_root, describe_root
from imrsf_d2.data.labels import IGNORE_LABEL
from imrsf_d2.data.quadruplet_layout import LABELS, SENSORS, SPLITS, city_of, split_file
from imrsf_d2.data.tasks import SEMANTIC
from imrsf_d2.geo.rasters import read_grid
from imrsf_d2.utils.errors import InputError, MissingFileError, some_of

__all__ = ["load_quadruplets", "register_quadruplets"]


def load_quadruplets(root: str | os.PathLike | None, split: str) -> list[dict]:
    """Read the list of a split's tiles and look for their rasters.

    Args:
        root: the folder that holds `labels` and `splits`; None for `$DETECTRON2_DATASETS/quadruplets`.
        split: "train" or "val".

    Returns:
        Dataset dicts with file_name, height, width, image_id (the tile's name), city, sem_seg_file_name, and modalities
        {"s1": path, "s2": path, "dem": path, "dnw": path}, None where a tile lacks that sensor.

    Raises:
        FileNotFoundError: if a folder or list is missing, or a tile has no labels or no raster at all.
        ValueError: if the split is empty, names a tile twice, or shares a city with another split.
        RasterError: if a label file cannot be opened.
    """
    if split not in SPLITS:
        raise InputError(f"split is {split!r}, expected one of {SPLITS}.")
    root = dataset_root(root, "quadruplets")
    tiles = _read_split(root, split)
    for other in SPLITS:
        if other != split and split_file(root, other).is_file():
            shared = sorted({city_of(t) for t in tiles} & {city_of(t) for t in _read_split(root, other)})
            if shared:
                raise InputError(
                    f"{split_file(root, split)} and {split_file(root, other)} share the city {shared[0]!r}; "
                    "a score on tiles next to training tiles says nothing about new places."
                )
    listings = {name: set(os.listdir(root / name)) if (root / name).is_dir() else set() for name in (*SENSORS, LABELS)}
    for what, folders in (("labels", [LABELS]), ("raster of any sensor", SENSORS)):
        if without := [tile for tile in tiles if not any(f"{tile}.tif" in listings[name] for name in folders)]:
            looked = ", ".join(os.fspath(root / name) for name in folders)
            raise MissingFileError(
                f"{len(without)} of the {len(tiles)} tiles that {split_file(root, split)} lists have no "
                f"{what}: {some_of(without)}; looked in {looked}."
            )
    samples = []
    for tile in tiles:
        file = f"{tile}.tif"
        modalities = {name: os.fspath(root / name / file) if file in listings[name] else None for name in SENSORS}
        labels = os.fspath(root / LABELS / file)
        height, width = read_grid(labels).shape
        samples.append(
            {
                "file_name": next(path for path in modalities.values() if path),
                "height": height,
                "width": width,
                "image_id": tile,
                "city": city_of(tile),
                "sem_seg_file_name": labels,
                "modalities": modalities,
            }
        )
    return samples


def register_quadruplets(
    name: str, root: str | os.PathLike | None, split: str, merge_table: str | os.PathLike | None = None
) -> None:
    """Give a copy of the dataset a name for DATASETS.TRAIN and DATASETS.TEST. Reads no tile yet.

    The classes are those in the dataset's `prepared.json`, from the table that the tiles were made with. They are looked up
    again when the tiles are loaded, as the tiles may be made, or $DETECTRON2_DATASETS be set, after this.

    Args:
        name: not yet registered.
        root, split: see `load_quadruplets`.
        merge_table: the table that the labels were made with, for tiles without a `prepared.json`; None is the default
            table.
    """
    given = read_class_table(DEFAULT_TABLE if merge_table is None else merge_table).classes
    metadata = MetadataCatalog.get(name).set(ignore_label=IGNORE_LABEL, evaluator_type=SEMANTIC.kind, split=split)

    def find_classes() -> tuple[str, ...]:
        folder = dataset_root(root, "quadruplets")
        prepared = prepared_classes(folder)
        if merge_table is not None and prepared not in (None, given):
            raise InputError(
                f"{name!r} was registered with the classes {', '.join(given)} of {merge_table}, but the "
                f"tiles in {folder} were made with {', '.join(prepared)}: register it without a merge table."
            )
        return prepared or given

    def load() -> list[dict]:
        samples = load_quadruplets(root, split)
        _name_classes(metadata, find_classes())
        return samples

    DatasetCatalog.register(name, load)
    try:
        _name_classes(metadata, find_classes())
    except InputError:  # raised again when the tiles are loaded: most users of this package never load them
        _name_classes(metadata, given)


def _name_classes(metadata: Metadata, classes: Sequence[str]) -> None:
    """Give a dataset its classes, replacing those it may have."""
    if metadata.get("stuff_classes") == list(classes):
        return
    for key, value in (("stuff_classes", list(classes)), ("stuff_colors", list(class_colors(classes)))):
        vars(metadata).pop(key, None)  # metadata cannot be overwritten
        setattr(metadata, key, value)


def _read_split(root: Path, split: str) -> list[str]:
    path = split_file(root, split)
    if not path.is_file():
        raise MissingFileError(
            f"no list of tiles at {path}. {describe_root()}; it must name the folder that holds quadruplets. "
            "datasets/README.md shows the layout, datasets/prepare_quadruplets.py makes it from your scenes, "
            "datasets/make_synthetic.py writes synthetic tiles to start with."
        )
    lines = [line.partition("#")[0].strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    tiles = [line for line in lines if line]
    if not tiles:
        raise InputError(f"{path} lists no tiles, expected one name per line.")
    repeated = [tile for tile, count in Counter(tiles).items() if count > 1]
    if repeated:
        raise InputError(f"{path} lists {repeated[0]!r} twice.")
    for tile in tiles:
        city_of(tile)
    return tiles
