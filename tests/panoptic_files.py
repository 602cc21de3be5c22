"""A folder of panoptic labels: two tiles with land, water and two ships, one of which another file writes as a crowd."""

import copy
import json

import numpy as np
import yaml
from PIL import Image

IDS = np.zeros((8, 10), dtype=np.int64)
IDS[:, :3], IDS[:, 3:9] = 3, 70_000  # land and water; the last column is not labeled
IDS[2:5, 4:7], IDS[6:, 4:7] = 256, 65_536  # two ships
CLASSES = [{"NAME": "land"}, {"NAME": "water"}, {"NAME": "ship", "THING": True}]
SEGMENTS = [
    {"id": 3, "category_id": 1},
    {"id": 70_000, "category_id": 2},
    {"id": 256, "category_id": 3, "iscrowd": 0},
    {"id": 65_536, "category_id": 3},
]
COCO = {
    "images": [{"id": i, "file_name": f"{tile}.tif", "height": 8, "width": 10} for i, tile in enumerate("ab", start=1)],
    "annotations": [{"image_id": i, "file_name": f"{i}.png", "segments_info": SEGMENTS} for i in (1, 2)],
    "categories": [{"id": i, "name": label["NAME"], "isthing": int(i == 3)} for i, label in enumerate(CLASSES, start=1)],
}


def save_png(path, ids):
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(np.stack([ids % 256, ids // 256 % 256, ids // 65536], -1).astype(np.uint8)).save(path)


def write_panoptic_folder(folder, write_raster, change=lambda coco: None, **keys):
    """Write two tiles of a sensor, their PNGs, a COCO file as `change` leaves it, and a dataset.yaml; returns its path."""
    for number, tile in enumerate("ab", start=1):
        write_raster(folder / f"s1/{tile}.tif", np.full((8, 10), number, dtype=np.float32))
        save_png(folder / f"png/{number}.png", IDS)
    coco = copy.deepcopy(COCO)
    change(coco)
    (folder / "val.json").write_text(json.dumps(coco))
    content = {
        "TASK": "panoptic",
        "MODALITIES": [{"NAME": "s1", "MEAN": [0.0], "STD": [1.0], "FILES": "s1/{tile}.tif"}],
        "LABELS": "png",
        "CLASSES": CLASSES,
        "SPLITS": {"val": "val.json"},
    }
    (folder / "dataset.yaml").write_text(yaml.safe_dump(content | keys))
    return folder / "dataset.yaml"
