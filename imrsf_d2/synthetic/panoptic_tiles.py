"""Synthetic land cover with buildings: the tiles of `land_cover_tiles`, with panoptic labels in COCO's format.

Layout:
    dataset.yaml                         sensors, classes and splits, for --data; without MEAN and STD, which are to be measured
    {s1,s2,dem,dnw}/{City}_{row}_{column}.tif
    panoptic/{City}_{row}_{column}.png   ids of the segments: R + 256 G + 65536 B, 0 = not labeled
    splits/{train,val}.json              COCO panoptic files
    synthetic.json                       what it was made with, and whether it is complete
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from imrsf_d2.data.dataset_file import DATASET_FILE, DatasetClass, DatasetFile
from imrsf_d2.data.dataset_yaml import write_dataset_file
from imrsf_d2.data.panoptic import UNLABELED_ID, colors_of_ids
from imrsf_d2.data.quadruplet_layout import LABELS, NODATA, SENSORS, SPLITS
from imrsf_d2.data.tasks import PANOPTIC
from imrsf_d2.synthetic.folders import check_request, claim_unwritten, make_tiles
from imrsf_d2.synthetic.land_cover_tiles import LandCoverRecipe, LandCoverTile, make_tile, write_sensors
from imrsf_d2.synthetic.landscape import CLASSES
from imrsf_d2.synthetic.landscape_style import LandscapeStyle, OrbitStyle
from imrsf_d2.synthetic.orbit_sensors import DNW_CLASSES
from imrsf_d2.synthetic.settlements import SettlementStyle
from imrsf_d2.utils.atomic import write_atomically, write_text

__all__ = ["write_panoptic"]

# Raise this when the same parameters no longer give the same pixels.
GENERATOR_VERSION = 1
FOLDER = "panoptic"
#: All classes: the land cover, and buildings, the only things. Category ids count from 1.
NAMES = (*CLASSES, "building")
BUILDING = len(NAMES)
#: Ids of buildings follow this; those of land cover are its category ids.
FIRST_BUILDING = 255
MODALITIES = (
    {"NAME": "s1", "CHANNELS": 2, "TRANSFORM": "db", "CLIP": [-40, 25]},
    {"NAME": "s2", "CHANNELS": 4, "CLIP": [0, 10000], "NODATA": NODATA["s2"]},
    {"NAME": "dem", "UNIT": "m"},
    {"NAME": "dnw", "CLASSES": DNW_CLASSES, "NODATA": NODATA["dnw"]},
)


def segments_of(tile: LandCoverTile) -> np.ndarray:
    """The ids [S, S] int32 of the segments of a tile: each building, and the rest of each class of land cover."""
    label, buildings = tile.rasters[LABELS], tile.buildings
    assert buildings is not None, "made with settlements"
    ids = np.where(buildings > 0, FIRST_BUILDING + buildings, label.astype(np.int32) + 1)
    return np.where(label == NODATA[LABELS], UNLABELED_ID, ids).astype(np.int32)


def write_panoptic(
    output: str | Path,
    *,
    num_train: int,
    num_val: int,
    size: int,
    seed: int,
    num_workers: int = 0,
    overwrite: bool = False,
    landscape: LandscapeStyle = LandscapeStyle(),
    sensors: OrbitStyle = OrbitStyle(),
    settlements: SettlementStyle = SettlementStyle(),
    progress: bool = False,
) -> bool:
    """Write synthetic land cover with buildings below `output`.

    Args:
        num_train, num_val, size, seed, num_workers, overwrite: see `write_quadruplets`.

    Returns:
        False if exactly these data were already there and nothing was done.

    Raises:
        ValueError: for a size, count or seed that cannot be used.
        FileExistsError: if `output` holds other data (see `claim_folder`).
    """
    check_request(num_train, num_val, size, seed)
    recipe = LandCoverRecipe(size, seed, landscape, sensors)
    parameters = {
        "layout": FOLDER,
        "version": GENERATOR_VERSION,
        "num_train": num_train,
        "num_val": num_val,
        **asdict(recipe),
        "settlements": asdict(settlements),
    }
    output = Path(output)
    claimed = claim_unwritten(output, parameters, owned=[*SENSORS, FOLDER, "splits", DATASET_FILE], overwrite=overwrite)
    if claimed is None:
        return False
    written = make_tiles(partial(_write_tile, recipe, settlements, output), num_train, num_val, num_workers, progress)
    splits = {}
    for split, part in zip(SPLITS, written):
        if part:
            splits[split] = f"splits/{split}.json"
            write_text(output / splits[split], json.dumps(_coco(part, size)))
    write_dataset_file(
        DatasetFile(
            (output / DATASET_FILE).absolute(),
            output.absolute(),
            PANOPTIC.name,
            modalities=MODALITIES,
            files={name: f"{name}/{{tile}}.tif" for name in SENSORS},
            labels=FOLDER,
            classes=tuple(DatasetClass(name, None, (i,), thing=i == BUILDING) for i, name in enumerate(NAMES, start=1)),
            unlabeled=(),
            splits=splits,
            tile_size=(size, size),
        )
    )
    claimed.mark(complete=True)
    return True


def _write_tile(recipe: LandCoverRecipe, settlements: SettlementStyle, root: Path, item: tuple[bool, int]) -> Mapping:
    """Render and write one tile; the annotation of its labels."""
    tile = make_tile(recipe, *item, settlements)
    write_sensors(tile, root, SENSORS)
    ids = segments_of(tile)
    path = root / FOLDER / f"{tile.name}.png"
    png = cv2.imencode(".png", np.moveaxis(colors_of_ids(ids)[::-1], 0, -1))[1]  # OpenCV's order is BGR
    write_atomically(path, lambda file: file.write(png.tobytes()))
    segments = []
    for number, area in zip(*(values.tolist() for values in np.unique(ids, return_counts=True))):
        if number != UNLABELED_ID:
            x, y, width, height = cv2.boundingRect((ids == number).astype(np.uint8))
            category = BUILDING if number > FIRST_BUILDING else number
            segments.append(
                {"id": number, "category_id": category, "area": area, "bbox": [x, y, width, height], "iscrowd": 0}
            )
    return {"image_id": tile.name, "file_name": path.name, "segments_info": segments}


def _coco(annotations: list[Mapping], size: int) -> dict:
    images = [
        {"id": one["image_id"], "file_name": f"{one['image_id']}.tif", "height": size, "width": size} for one in annotations
    ]
    categories = [{"id": i, "name": name, "isthing": int(i == BUILDING)} for i, name in enumerate(NAMES, start=1)]
    return {"images": images, "annotations": annotations, "categories": categories}
