"""A synthetic DFC2023 track 2: the folders, file names, rasters and COCO file of the labeled training part.

Layout (as published, where only the training part has labels):
    track2/train/{rgb,sar,dsm}/{SV|GF2}_{City}_{lat}_{lon}.tif
    track2/buildings_only_train.json
    synthetic.json                       what it was made with, and whether it is complete
The city in a tile's name decides whether it belongs to train or val, as in the real dataset.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
from rasterio.transform import from_origin
from rasterio.warp import transform as transform_points

from imrsf_d2.geo.writing import write_raster
from imrsf_d2.synthetic.building_shapes import to_coco
from imrsf_d2.synthetic.cities import CITIES
from imrsf_d2.synthetic.folders import check_request, claim_unwritten, make_tiles
from imrsf_d2.synthetic.scene import PIXEL_M, Scene, make_scene
from imrsf_d2.synthetic.simulated_sensors import render_dsm, render_rgb, render_sar
from imrsf_d2.synthetic.style import SceneStyle, SensorStyle
from imrsf_d2.utils.atomic import write_text
from imrsf_d2.utils.errors import InputError

# Raise this when the same parameters no longer give the same pixels.
GENERATOR_VERSION = 1
LABELS = "track2/buildings_only_train.json"
SENSORS = ("rgb", "sar", "dsm")
# Tiles without a single building, by (is val, index within the split): the same ones however many tiles are written.
EMPTY_TILES = {(False, 2), (True, 9)}


@dataclass(frozen=True)
class BuildingRecipe:
    """What a tile depends on besides its own index."""

    size: int
    seed: int
    train_cities: tuple[str, ...]
    val_cities: tuple[str, ...]
    scene: SceneStyle
    sensors: SensorStyle


@dataclass(frozen=True)
class BuildingTile:
    """One rendered tile.

    Attributes:
        epsg, origin: EPSG code of its UTM zone, and its upper left corner there, meters east and north.
        rgb, sar, dsm: [S, S, 3] uint8; [S, S] float32 linear power; [S, S] float32 meters.
        forms: the `form` of each building's annotation, see `to_coco`.
    """

    file_name: str
    epsg: int
    origin: tuple[float, float]
    scene: Scene
    rgb: np.ndarray
    sar: np.ndarray
    dsm: np.ndarray
    forms: tuple[str, ...]


def make_tile(recipe: BuildingRecipe, val: bool, index: int) -> BuildingTile:
    """Tile `index` of the train or val split; a function of these arguments alone, whatever else is written."""
    streams = [np.random.default_rng(s) for s in np.random.SeedSequence([recipe.seed, int(val), index]).spawn(5)]
    cities = recipe.val_cities if val else recipe.train_cities
    name, number = cities[index % len(cities)], index // len(cities)
    city = CITIES[name]
    satellite = ("SV", "GF2")[streams[0].integers(2)]
    # Before noon the sun stands in the south-east, on the southern hemisphere in the north-east.
    azimuth = np.deg2rad((155 if city.lat > 0 else 35) + streams[0].uniform(-20, 20))
    nodata = index % recipe.sensors.nodata_every == min(7, recipe.sensors.nodata_every - 1)

    scene = make_scene(streams[1], recipe.size, city, recipe.scene, empty=(val, index) in EMPTY_TILES)
    rgb = render_rgb(streams[2], scene, recipe.sensors, sun_azimuth=azimuth, sharp=satellite == "SV", nodata_corner=nodata)
    forms = tuple(
        str(streams[0].choice(["polygon", "rle", "compressed"], p=[0, 0.5, 0.5] if b.footprint.holes else [0.9, 0.05, 0.05]))
        for b in scene.buildings
    )

    # Tiles of a city stand in rows of 32, far enough apart never to overlap.
    row, column = divmod(number, 32)
    step = PIXEL_M * 512 * -(-recipe.size // 512)
    x, y = city.position_m
    origin = (round(x) + column * step, round(y) - row * step)
    (lon,), (lat,) = transform_points(f"EPSG:{city.epsg}", "EPSG:4326", [origin[0]], [origin[1]])
    return BuildingTile(
        f"{satellite}_{name}_{lat:.4f}_{lon:.4f}.tif",
        city.epsg,
        origin,
        scene,
        rgb,
        render_sar(streams[3], scene, recipe.sensors),
        render_dsm(streams[4], scene, recipe.sensors),
        forms,
    )


def _write_tile(recipe: BuildingRecipe, root: Path, item: tuple[bool, int]) -> tuple[str, list[dict]]:
    """Render and write one tile; its file name, and its annotations without ids."""
    tile = make_tile(recipe, *item)
    place = from_origin(*tile.origin, PIXEL_M, PIXEL_M)
    for sensor in SENSORS:
        image = getattr(tile, sensor)
        write_raster(
            root / sensor / tile.file_name,
            image if image.ndim == 2 else np.moveaxis(image, -1, 0),
            crs=f"EPSG:{tile.epsg}",
            transform=place,
        )
    labels = [
        to_coco(b.footprint, b.full_label(recipe.size), form)
        for b, form in zip(tile.scene.buildings, tile.forms, strict=True)
    ]
    return tile.file_name, labels


def write_dfc2023(
    output: str | Path,
    *,
    num_train: int,
    num_val: int,
    size: int,
    seed: int,
    train_cities: Sequence[str],
    val_cities: Sequence[str],
    num_workers: int = 0,
    overwrite: bool = False,
    scene: SceneStyle = SceneStyle(),
    sensors: SensorStyle = SensorStyle(),
    progress: bool = False,
) -> bool:
    """Write a synthetic DFC2023 track 2 below `output`.

    Args:
        num_train, num_val: tiles from `train_cities` and from `val_cities`.
        size: side of a tile in px of 0.5 m; a multiple of 32, at least 64.
        seed: two equal seeds give the same bytes, for any number of workers.
        num_workers: processes; 0 = all cores.
        overwrite: replace synthetic data made with other parameters. Data from elsewhere are never replaced.

    Returns:
        False if exactly these data were already there and nothing was done.

    Raises:
        ValueError: for a size, count, seed or city that cannot be used.
        FileExistsError: if `output` holds other data (see `claim_folder`).
    """
    check_request(num_train, num_val, size, seed)
    if unknown := sorted({*train_cities, *val_cities} - set(CITIES)):
        raise InputError(f"unknown cities {unknown}; known are {sorted(CITIES)} (imrsf_d2/synthetic/cities.py).")
    recipe = BuildingRecipe(size, seed, tuple(train_cities), tuple(val_cities), scene, sensors)
    parameters = {
        "layout": "dfc2023",
        "version": GENERATOR_VERSION,
        "num_train": num_train,
        "num_val": num_val,
        **asdict(recipe),
    }
    output = Path(output)
    claimed = claim_unwritten(output, parameters, owned=["track2/train", LABELS], overwrite=overwrite)
    if claimed is None:
        return False
    root = output / "track2" / "train"
    for sensor in SENSORS:
        (root / sensor).mkdir(parents=True, exist_ok=True)
    train, val = make_tiles(partial(_write_tile, recipe, root), num_train, num_val, num_workers, progress)
    images: list[dict] = []
    annotations: list[dict] = []
    for file_name, labels in (*train, *val):
        images.append({"id": len(images) + 1, "file_name": file_name, "width": size, "height": size})
        for label in labels:
            annotations.append(
                {"id": len(annotations) + 1, "image_id": images[-1]["id"], "category_id": 1, "iscrowd": 0, **label}
            )
    coco = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "building"}]}
    write_text(output / LABELS, json.dumps(coco, separators=(",", ":")) + "\n")
    claimed.mark(complete=True)
    return True
