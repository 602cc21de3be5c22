"""SpaceNet 6: buildings of Rotterdam in aerial radar and in a satellite's optical image.

Features: 3401 tiles of 900 x 900 px at 0.5 m, each cut from one of 204 strips that an aircraft recorded on three days; the
same ground is in up to 30 strips. The optical image is one of WorldView-2. The tiles for testing have radar only, and no
labels.

Bands:
    sar     float32 x 4, Capella's backscatter on a logarithmic scale: HH, HV, VH, VV; 0 = no data
    rgbnir  uint16 x 4, pan-sharpened: red, green, blue, near infrared; 0 = no data
    pan     uint16 x 1, panchromatic; 0 = no data

Format, below the dataset's folder (`$DETECTRON2_DATASETS/spacenet6`), as the archive unpacks:
    train/AOI_11_Rotterdam/{LAYER}/SN6_Train_AOI_11_Rotterdam_{LAYER}_{strip}_tile_{number}.tif
    train/AOI_11_Rotterdam/geojson_buildings/SN6_Train_AOI_11_Rotterdam_Buildings_{strip}_tile_{number}.geojson
with the layers SAR-Intensity, PS-RGBNIR and PAN, {strip} such as 20190804111224_20190804111453 (begin and end), and outlines
in map coordinates.

Classes: 1 building.

Split: the labels of the test tiles are not public, so the training tiles are divided at the easting where the authors'
baseline divides them, BOUNDARY_M. Tiles on both sides of it (347 of 3401) belong to neither, so no ground is in both.

Citation: J. Shermeyer et al., "SpaceNet 6: Multi-Sensor All Weather Mapping Dataset", CVPR Workshops, 2020.
"""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import BoxMode
from rasterio.crs import CRS

from imrsf_d2.data.class_colors import class_colors
from imrsf_d2.data.datasets.footprints import read_footprints
from imrsf_d2.data.datasets.root import dataset_root, describe_root
from imrsf_d2.data.labels import IGNORE_LABEL
from imrsf_d2.data.outlines import outline_segmentation
from imrsf_d2.geo.grids import Grid
from imrsf_d2.geo.projections import move_bounds
from imrsf_d2.geo.rasters import read_grid
from imrsf_d2.utils.errors import InputError, MissingFileError, some_of

__all__ = ["BOUNDARY_M", "LAYERS", "SPLITS", "TILES", "load_spacenet6", "register_spacenet6", "split_of"]

logger = logging.getLogger(__name__)

#: modality -> its folder, which is also in the names of its files
LAYERS = {"sar": "SAR-Intensity", "rgbnir": "PS-RGBNIR", "pan": "PAN"}
LABELS = "Buildings"
LABEL_FOLDER = "geojson_buildings"
CLASSES = ("building",)
TASKS = ("instance", "semantic")
SPLITS = ("train", "val")
#: How many tiles the release has, in all.
TILES = 3401
#: Easting in UTM zone 31 N: validation is the easternmost of five equal parts of 591550 to 596250 m, as in the baseline
#: (CosmiQ_SN6_Baseline/baseline.py).
BOUNDARY_M = 595310.0
UTM = CRS.from_epsg(32631)

_TILE = re.compile(rf"SN6_Train_AOI_11_Rotterdam_{LABELS}_(?P<tile>\d{{14}}_\d{{14}}_tile_\d+)\.geojson")


def load_spacenet6(root: str | os.PathLike | None, split: str) -> list[dict]:
    """Look for the tiles of a split and read their outlines. Whatever a download lacks is logged.

    Args:
        root: the folder that holds `train`; None for `$DETECTRON2_DATASETS/spacenet6`.
        split: "train" or "val".

    Returns:
        Dataset dicts with file_name, height, width, image_id ("20190804111224_20190804111453_tile_8679"), annotations
        (category_id 0), and modalities {"sar": path, "rgbnir": path, "pan": path}, None where a tile lacks that layer. Tiles
        without buildings stay in.

    Raises:
        FileNotFoundError: if a folder is missing, or a tile has no image at all.
        ValueError: if a tile's place is unknown, outlines cannot be read, or the split is empty.
        RasterError: if an image cannot be opened.
    """
    if split not in SPLITS:
        raise InputError(f"split is {split!r}, expected one of {SPLITS}.")
    folder = dataset_root(root, "spacenet6") / "train" / "AOI_11_Rotterdam"
    if not (folder / LABEL_FOLDER).is_dir():
        raise MissingFileError(
            f"no outlines of buildings at {folder / LABEL_FOLDER}. {describe_root()}; it must name the folder that holds "
            "spacenet6. datasets/spacenet6.md shows the layout and the commands that download it."
        )
    tiles = _find_tiles(folder)
    grids = {tile: read_grid(next(path for path in paths.values() if path)) for tile, paths in tiles.items()}
    chosen = [tile for tile, grid in grids.items() if split_of(grid, tile) == split]
    if not chosen:
        raise InputError(
            f"none of the {len(tiles)} tiles in {folder} lies in the split {split!r}, "
            f"{'east' if split == 'val' else 'west'} of {BOUNDARY_M:.0f} m in UTM zone 31 N."
        )
    for difference in differences_from_release(tiles):
        logger.warning("spacenet6: %s", difference)
    return [_sample(folder, tile, tiles[tile], grids[tile]) for tile in chosen]


def split_of(grid: Grid, tile: str) -> str | None:
    """The split that a tile belongs to; None where it lies on the boundary.

    Args:
        grid: of the tile.
        tile: its name, for the message.

    Raises:
        ValueError: if it is unknown where the tile lies.
    """
    if not grid.located:
        raise InputError(
            f"the tile {tile!r} has no place on the map, which decides its split; expected georeferenced files."
        )
    left, _, right, _ = move_bounds(grid.bounds, grid.crs, UTM)
    if left >= BOUNDARY_M:
        return "val"
    return "train" if right <= BOUNDARY_M else None


def differences_from_release(tiles: dict[str, dict[str, str | None]]) -> list[str]:
    """What a copy lacks of the release, in words; empty for a complete one.

    Args:
        tiles: tile -> modality -> path, or None.
    """
    found = []
    if len(tiles) != TILES:
        found.append(f"tiles with outlines: {len(tiles)}, in the release: {TILES}.")
    for modality, layer in LAYERS.items():
        if without := [tile for tile, paths in tiles.items() if paths[modality] is None]:
            found.append(
                f"{len(without)} of {len(tiles)} tiles have no {layer} ({modality}), the release has all: "
                f"{some_of(without, 3)}."
            )
    return found


def register_spacenet6(name: str, root: str | os.PathLike | None, split: str, task: str = "instance") -> None:
    """Give a copy of the dataset a name for DATASETS.TRAIN and DATASETS.TEST. Reads nothing yet.

    Args:
        name: not yet registered.
        root, split: see `load_spacenet6`.
        task: "instance" for building instances; "semantic" for building or background, rasterized from the same outlines.

    Raises:
        ValueError: if the task is unknown.
    """
    if task not in TASKS:
        raise InputError(f"task is {task!r}, expected one of {TASKS}.")
    covers = ["background", *CLASSES]
    DatasetCatalog.register(name, lambda: load_spacenet6(root, split))
    MetadataCatalog.get(name).set(
        thing_classes=list(CLASSES),
        stuff_classes=covers,
        stuff_colors=list(class_colors(covers)),
        ignore_label=IGNORE_LABEL,
        evaluator_type=f"imrsf_{task}",
        split=split,
    )


def _find_tiles(folder: Path) -> dict[str, dict[str, str | None]]:
    """Tile -> modality -> path, or None, of every tile with a file of outlines, in the order of their names."""
    names = [match for name in sorted(os.listdir(folder / LABEL_FOLDER)) if (match := _TILE.fullmatch(name))]
    if not names:
        raise MissingFileError(
            f"{folder / LABEL_FOLDER} has no file with a name such as SN6_Train_AOI_11_Rotterdam_{LABELS}_20190804111224_"
            "20190804111453_tile_8679.geojson."
        )
    listings = {layer: set(os.listdir(folder / layer)) if (folder / layer).is_dir() else set() for layer in LAYERS.values()}

    def find(layer: str, tile: str) -> str | None:
        name = f"SN6_Train_AOI_11_Rotterdam_{layer}_{tile}.tif"
        return os.fspath(folder / layer / name) if name in listings[layer] else None

    tiles = {match["tile"]: {modality: find(layer, match["tile"]) for modality, layer in LAYERS.items()} for match in names}
    if without := [tile for tile, paths in tiles.items() if not any(paths.values())]:
        looked = ", ".join(os.fspath(folder / layer) for layer in LAYERS.values())
        raise MissingFileError(
            f"{len(without)} of {len(tiles)} tiles with outlines have no image: {some_of(without)}; looked in {looked}."
        )
    return tiles


def _sample(folder: Path, tile: str, paths: dict[str, str | None], grid: Grid) -> dict:
    shapes = read_footprints(folder / LABEL_FOLDER / f"SN6_Train_AOI_11_Rotterdam_{LABELS}_{tile}.geojson", grid)
    return {
        "file_name": next(path for path in paths.values() if path),
        "height": grid.height,
        "width": grid.width,
        "image_id": tile,
        "modalities": paths,
        "annotations": [
            {
                "bbox": list(shape.bounds),
                "bbox_mode": BoxMode.XYXY_ABS,
                "category_id": 0,
                "iscrowd": 0,
                "segmentation": outline_segmentation(shape, grid.height, grid.width),
            }
            for shape in shapes
        ],
    }
