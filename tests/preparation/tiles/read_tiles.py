"""Prepared tiles, read back."""

import numpy as np
import rasterio
import shapely
from pycocotools.coco import COCO

from imrsf_d2.data.dataset_yaml import read_dataset_file
from imrsf_d2.data.datasets.folder import load_folder
from imrsf_d2.data.labels import semantic_truth
from imrsf_d2.preparation.tiles.labels import LabelOptions
from imrsf_d2.preparation.tiles.prepare import TileRequest, prepare_tiles
from imrsf_d2.preparation.tiles.scenes import GridOptions
from imrsf_d2.preparation.tiles.splits import SplitOptions
from tests.preparation.tiles.places import HEIGHT, LEFT, TOP, WIDTH, box, on_map, place, rgb
from tests.raster_files import write_raster_file

TILE = 32
#: On pixels' edges, so that every rasterizer marks the same pixels; the last ones are no polygons.
SHAPES = [
    box(2, 3, 12, 9),  # inside a tile
    box(25, 27, 40, 45),  # over four tiles
    box(70, 6, 94, 26, (75, 10, 83, 20)),  # a court
    shapely.MultiPolygon([box(3, 70, 9, 76), box(12, 70, 20, 80)]),
    on_map(shapely.Polygon([(100, 40), (120, 60), (120, 40), (100, 60)])),  # crosses itself
    box(62, 70, 66, 71),  # two pixels in each of two tiles
    shapely.Point(LEFT + 5, TOP - 5),
]


def coco(output, split):
    return COCO(str(output / "splits" / f"{split}.json"))


def offset(path):
    """Column and row of a tile in the scene."""
    with rasterio.open(path) as file:
        return round(file.transform.c - LEFT), round(TOP - file.transform.f)


def semantic(folder, labels, **options):
    """The label maps of a prepared scene put together, and the names of the classes."""
    scene = folder / "rgb.tif"
    if not scene.exists():  # a file written again is another one
        write_raster_file(scene, rgb(), **place())
    sensors = {"rgb": str(scene)}
    grids = options.pop("grids", GridOptions(TILE))
    summary = prepare_tiles(
        TileRequest(sensors, LabelOptions(labels, "semantic", **options), grids, split=SplitOptions(1)),
        folder / "out",
        num_workers=1,
    )
    file = read_dataset_file(folder / "out/dataset.yaml")
    whole = np.full((HEIGHT + TILE, WIDTH + TILE), 255, dtype=np.uint8)
    for sample in load_folder(file, "train"):
        column, row = offset(sample["sem_seg_file_name"])
        whole[row : row + TILE, column : column + TILE] = semantic_truth(sample)
    assert (whole[HEIGHT:] == 255).all() and (whole[:, WIDTH:] == 255).all()
    return whole[:HEIGHT, :WIDTH], file.class_names, summary
