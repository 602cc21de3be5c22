"""An input in the layout of DFC2023 with everything that may occur, and what its crops are called."""

import json

import numpy as np
import rasterio
from pycocotools import mask as coco_mask
from rasterio.transform import from_origin

from tests.raster_files import run_lengths, write_raster_file

SIZE, CROP = 64, 32
BERLIN, NEWYORK, RIO = "SV_Berlin_52.5_13.4.tif", "GF2_NewYork_40.7_-73.9.tif", "SV_Rio_-22.9_-43.2.tif"
LABELS = "track2/buildings_only_train.json"


def rectangle(left, top, right, bottom):
    return [left, top, right, top, right, bottom, left, bottom]


def block(*boxes, without=None):
    mask = np.zeros((SIZE, SIZE), dtype=np.uint8)
    for left, top, right, bottom in boxes:
        mask[top:bottom, left:right] = 1
    if without:
        mask[without[1] : without[3], without[0] : without[2]] = 0
    return mask


def runs(mask):
    return {"size": list(mask.shape), "counts": run_lengths(mask)}


def compressed(mask):
    code = coco_mask.encode(np.asfortranarray(mask))
    return {"size": code["size"], "counts": code["counts"].decode()}


COURTYARD = block((20, 20, 50, 44), without=(26, 26, 40, 38))
#: segmentation, iscrowd
FOOTPRINTS = {
    BERLIN: [
        ([rectangle(2, 3, 12, 9)], 0),  # inside a crop
        ([[20.3, 33.7, 60.2, 35.1, 58.4, 50.9, 41.6, 47.3]], 0),  # over a border, at an angle
        ([rectangle(25, 27, 40, 45)], 0),  # over all four crops
        ([rectangle(2, 40, 9, 50), rectangle(20, 52, 28, 60)], 0),  # two parts in one crop
        ([rectangle(3, 14, 9, 20), rectangle(50, 52, 58, 60)], 0),  # two parts in two crops
        (runs(COURTYARD), 0),
        (compressed(block((40, 4, 50, 12), without=(43, 6, 46, 9))), 0),
        (runs(block((0, 24, 64, 30))), 1),  # a crowd
        ([rectangle(33, 2, 36, 3)], 0),  # three pixels
        ([rectangle(33, 14, 37, 15)], 0),  # four pixels, just enough
        ([rectangle(30, 10, 33, 13)], 0),  # three pixels beyond the border, six before
        ([rectangle(44.3, 40.2, 52.6, 48.8)], 0),
    ],
    NEWYORK: [
        ([rectangle(40, 2, 50, 12)], 0),  # where no sensor has data
        ([rectangle(26, 4, 36, 10)], 0),
    ],  # half there
    RIO: [],
}


def write_labels(root, footprints=FOOTPRINTS, path=LABELS, size=SIZE):
    # The ids do not start at 1 and are not in the order of the names, as in the real file.
    images = [{"id": 70 - 10 * i, "file_name": name, "height": size, "width": size} for i, name in enumerate(footprints)]
    annotations = [
        {
            "id": 500 + 20 * i + k,
            "image_id": 70 - 10 * i,
            "category_id": 1,
            "iscrowd": crowd,
            "bbox": [0, 0, 1, 1],
            "area": 1,
            "segmentation": segmentation,
        }
        for i, rows in enumerate(footprints.values())
        for k, (segmentation, crowd) in enumerate(rows)
    ]
    path = root / path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "building"}]})
    )


def berlin_arrays():
    rng = np.random.default_rng(1)
    rgb = rng.integers(1, 256, (3, SIZE, SIZE), dtype=np.uint8)
    sar = rng.gamma(2.0, 0.2, (SIZE, SIZE)).astype(np.float32)
    sar[5:9, 30:40] = np.nan
    dsm = rng.uniform(0, 80, (SIZE, SIZE)).astype(np.float32)
    dsm[40:, 50:] = -9999
    mask = rng.random((SIZE, SIZE)) < 0.9
    return {"rgb": rgb, "sar": sar, "dsm": dsm}, mask


PLACE = {"crs": "EPSG:32633", "transform": from_origin(391000.0, 5820000.0, 0.5, 0.5)}


def write_source(root, dsm="dsm", labels=LABELS):
    """Berlin: all sensors, georeferenced, with mask, no-data tag, names and tags. New York: no height, a SAR without
    a number, RGB black in the upper right crop, no georeference. Rio: SAR alone, no footprint."""
    train = root / "track2/train"
    arrays, mask = berlin_arrays()
    write_raster_file(train / "rgb" / BERLIN, arrays["rgb"], mask=mask, photometric="RGB", **PLACE)
    write_raster_file(train / "sar" / BERLIN, arrays["sar"], **PLACE)
    write_raster_file(train / dsm / BERLIN, arrays["dsm"], nodata=-9999, **PLACE)
    with rasterio.open(train / "sar" / BERLIN, "r+") as file:
        file.descriptions = ["gamma nought"]
        file.update_tags(SATELLITE="GF3")
        file.update_tags(1, LOOKS="4", STATISTICS_MAXIMUM="11.9")
    black = np.full((3, SIZE, SIZE), 90, dtype=np.uint8)
    black[:, :CROP, CROP:] = 0
    write_raster_file(train / "rgb" / NEWYORK, black)
    write_raster_file(train / "sar" / NEWYORK, np.full((SIZE, SIZE), np.nan, dtype=np.float32))
    write_raster_file(train / "sar" / RIO, np.full((SIZE, SIZE), 0.25, dtype=np.float32))
    write_labels(root, path=labels)
    return root


def crop_names(tile):
    return [f"{tile[:-4]}_{row}_{column}.tif" for row in range(2) for column in range(2)]
