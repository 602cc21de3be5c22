"""Tiny rasters and a tiny DFC2023, written where a test wants them."""

import json
import warnings

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning

MODALITIES = [
    {"NAME": "sar", "CHANNELS": 1, "MEAN": [-8.0], "STD": [3.0], "TRANSFORM": "db", "CLIP": [-25, 12]},
    {"NAME": "rgb", "CHANNELS": 3, "MEAN": [81.0, 87.0, 71.0], "STD": [41.0, 37.0, 37.0], "NODATA": 0},
    {"NAME": "dsm", "CHANNELS": 1, "MEAN": [5.0], "STD": [7.0]},
]
SIZE = 32
TILES = (
    "SV_Berlin_52.5_13.4.tif",
    "GF2_NewYork_40.7_-73.9.tif",
    "SV_SaoLuis_-2.5_-44.2.tif",
    "GF2_Rio_-22.9_-43.2.tif",
    "SV_Sydney_-33.8_151.2.tif",
)


def write_raster_file(path, array, mask=None, names=(), **profile):
    """Write [C, H, W] (or [H, W]); `mask` [H, W] bool becomes the file's internal mask, `names` the bands' descriptions."""
    array = np.asarray(array)
    array = array[None] if array.ndim == 2 else array
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings(), rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(
            path,
            "w",
            driver="GTiff",
            count=len(array),
            height=array.shape[1],
            width=array.shape[2],
            dtype=array.dtype,
            **profile,
        ) as file:
            file.write(array)
            if names:
                file.descriptions = names
            if mask is not None:
                file.write_mask(mask)
    return path


def tile_arrays(index, size=SIZE):
    """Rasters that name their tile and pixel: no two pixels of a band are equal, no two tiles alike."""
    ramp = np.arange(size * size, dtype=np.float32).reshape(size, size)
    return {
        "rgb": np.stack([ramp % 251 + 1, ramp // 251 + 1, np.full_like(ramp, index + 1)]).astype(np.uint8),
        "sar": 0.05 + (ramp + index) / 500,
        "dsm": ramp + index / 10,
    }


def annotation(number, image_id, segmentation, **changes):
    return {
        "id": number,
        "image_id": image_id,
        "category_id": 1,
        "iscrowd": 0,
        "bbox": [0, 0, 1, 1],
        "segmentation": segmentation,
    } | changes


def write_dfc2023_files(root, tiles=TILES, size=SIZE, dsm="dsm", labels="buildings_only_train.json"):
    """A DFC2023 track 2 below `root`: per tile a square as polygon, and one as run lengths; the last tile is empty."""
    images, annotations = [], []
    for index, name in enumerate(tiles):
        for modality, array in tile_arrays(index, size).items():
            write_raster_file(root / "track2" / "train" / (dsm if modality == "dsm" else modality) / name, array)
        images.append({"id": 10 + index, "file_name": name, "height": size, "width": size})
        if index < len(tiles) - 1:
            square = np.zeros((size, size), dtype=np.uint8)
            square[20:26, 4:9] = 1
            runs = {"size": [size, size], "counts": run_lengths(square)}
            annotations.append(annotation(2 * index + 1, 10 + index, [[2, 2, 12, 2, 12, 10, 2, 10]]))
            annotations.append(annotation(2 * index + 2, 10 + index, runs))
    path = root / "track2" / labels
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "building"}]})
    )
    return root


def run_lengths(mask):
    """COCO's uncompressed run lengths, counted down the columns, zeros first."""
    flat = np.asarray(mask).T.ravel()
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat, [1 - flat[-1]]]).astype(int)))
    return np.diff(np.concatenate([[0], edges])).tolist()
