"""A synthetic scene: one town in whole rasters, and its buildings as polygons.

Layout:
    rgb.tif, sar.tif, dsm.tif            as the three sensors of DFC2023 would deliver them, by default on one grid of 0.5 m
    footprints.gpkg                      every building: id, height_m, and its outline in the system of the scene
    synthetic.json                       what it was made with, and whether it is complete
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import cv2
import numpy as np
import shapely
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.errors import CRSError
from rasterio.transform import Affine
from rasterio.warp import reproject

from imrsf_d2.geo.grids import Grid, cover
from imrsf_d2.geo.projections import move_bounds
from imrsf_d2.geo.vector_writing import write_polygons
from imrsf_d2.geo.writing import write_raster
from imrsf_d2.synthetic.building_shapes import Footprint
from imrsf_d2.synthetic.cities import CITIES
from imrsf_d2.synthetic.folders import claim_unwritten
from imrsf_d2.synthetic.scene import PIXEL_M, Scene, make_scene
from imrsf_d2.synthetic.simulated_sensors import render_dsm, render_rgb, render_sar
from imrsf_d2.synthetic.style import SceneStyle, SensorStyle
from imrsf_d2.utils.atomic import replacing
from imrsf_d2.utils.errors import InputError

__all__ = ["FOOTPRINTS", "SENSORS", "SensorGrid", "write_scene"]

# Raise this when the same parameters no longer give the same pixels.
SCENE_VERSION = 1
FOOTPRINTS = "footprints.gpkg"
#: name -> value of pixels without data
SENSORS = {"rgb": 0.0, "sar": -9999.0, "dsm": -9999.0}
#: (least, most) radius of a hole in a sensor's data, m.
HOLE_M = (12.0, 40.0)


@dataclass(frozen=True)
class SensorGrid:
    """What is recorded of the scene by one sensor, and in which pixels.

    Args:
        resolution: side of a pixel in units of the system; None for that of the scene (0.5 m), for which `crs` must be None.
        crs: such as "EPSG:3035"; None for that of the scene, a UTM zone.
        cover: share of the scene that is recorded, from the west.
        holes: number of places without data.
    """

    resolution: float | None = None
    crs: str | None = None
    cover: float = 1.0
    holes: int = 0

    def __post_init__(self) -> None:
        if self.resolution is None and self.crs is not None:
            raise InputError(f"a sensor in {self.crs} takes a resolution, the side of its pixels in that system.")
        if not (self.resolution is None or self.resolution > 0) or not 0 < self.cover <= 1 or self.holes < 0:
            raise InputError(
                f"resolution={self.resolution}, cover={self.cover}, holes={self.holes}: expected a resolution above 0, a cover "
                "above 0 and at most 1, and no negative number of holes."
            )
        try:
            CRS.from_user_input(self.crs or "EPSG:32633")
        except CRSError as error:
            raise InputError(f"{self.crs!r} is no coordinate system, expected one such as EPSG:3035.") from error


@dataclass(frozen=True)
class SceneRecipe:
    """What a scene follows from, besides its sensors' grids."""

    size: int
    seed: int
    city: str
    halls: int
    scene: SceneStyle = field(default_factory=SceneStyle)
    sensors: SensorStyle = field(default_factory=SensorStyle)


def write_scene(
    output: str | Path,
    *,
    size: int,
    seed: int = 0,
    city: str = "Rio",
    halls: int | None = None,
    grids: Mapping[str, SensorGrid] | None = None,
    overwrite: bool = False,
) -> bool:
    """Write a synthetic scene.

    Args:
        output: its folder.
        size: side of the town in px of 0.5 m, at least 64. 3000 px take a minute and 1.2 GiB.
        seed: two equal seeds give the same town; the grids of the sensors do not change it.
        city: one of CITIES; DFC2023's models are trained on others than the default.
        halls: buildings of 80 to 130 m, wider than a window of 128 px; None for one in 400 x 400 m.
        grids: name of a sensor -> what it records; those left out record the whole scene at 0.5 m.
        overwrite: replace a synthetic scene made with other parameters. Data from elsewhere are never replaced.

    Returns:
        False if exactly this scene was already there and nothing was done.

    Raises:
        ValueError: for a size, seed, city or sensor that cannot be used.
        FileExistsError: if `output` holds other data (see `claim_folder`).
    """
    grids = dict(grids or {})
    if size < 64 or seed < 0 or (halls is not None and halls < 0):
        raise InputError(f"size={size}, seed={seed}, halls={halls}: expected 64 px or more and no negative number.")
    if city not in CITIES:
        raise InputError(f"there is no city {city!r}; known are {sorted(CITIES)} (imrsf_d2/synthetic/cities.py).")
    if unknown := sorted(grids.keys() - SENSORS.keys()):
        raise InputError(f"there are no sensors {unknown} in a synthetic scene, expected some of {', '.join(SENSORS)}.")
    recipe = SceneRecipe(size, seed, city, (size // 800) ** 2 if halls is None else halls)
    parameters = {
        "layout": "scene",
        "version": SCENE_VERSION,
        **asdict(recipe),
        "grids": {name: asdict(grids.get(name, SensorGrid())) for name in SENSORS},
    }
    output = Path(output)
    claimed = claim_unwritten(
        output, parameters, owned=[*(f"{name}.tif" for name in SENSORS), FOOTPRINTS], overwrite=overwrite
    )
    if claimed is None:
        return False
    place = CITIES[city]
    x, y = place.position_m
    grid = Grid.north_up(CRS.from_epsg(place.epsg), round(x), round(y), PIXEL_M, size, size)
    streams = [np.random.default_rng(s) for s in np.random.SeedSequence([seed, size]).spawn(6)]
    scene = make_scene(streams[0], size, place, recipe.scene, halls=recipe.halls)
    _write_footprints(output / FOOTPRINTS, scene, grid)
    azimuth = np.deg2rad((155 if place.lat > 0 else 35) + streams[1].uniform(-20, 20))
    images = {
        "rgb": lambda: np.moveaxis(render_rgb(streams[2], scene, recipe.sensors, sun_azimuth=azimuth), -1, 0),
        "sar": lambda: render_sar(streams[3], scene, recipe.sensors)[None],
        "dsm": lambda: render_dsm(streams[4], scene, recipe.sensors)[None],
    }
    for (name, render), holes in zip(images.items(), streams[5].spawn(len(images))):
        _record(output / f"{name}.tif", render(), grid, grids.get(name, SensorGrid()), SENSORS[name], holes)
    claimed.mark(complete=True)
    return True


def _record(path: Path, image: np.ndarray, grid: Grid, asked: SensorGrid, nodata: float, rng: np.random.Generator) -> None:
    """Write what a sensor records of an image [C, S, S] of the whole scene."""
    size = grid.width
    width = round(size * asked.cover)
    image, grid = image[:, :, :width], grid.part(slice(0, size), slice(0, width))
    valid = np.ones(grid.shape, np.uint8)
    for _ in range(asked.holes):
        center = [int(rng.integers(0, side)) for side in (grid.width, grid.height)]
        cv2.circle(valid, center, int(rng.uniform(*HOLE_M) / PIXEL_M), 0, -1)
    image = np.where(valid, image, image.dtype.type(nodata))
    if asked.resolution is not None:
        system = CRS.from_user_input(asked.crs) if asked.crs else grid.crs
        own = cover(move_bounds(grid.bounds, grid.crs, system), system, asked.resolution)
        warped = np.empty((len(image), *own.shape), image.dtype)
        # A coarser pixel is the mean of the ground in it.
        reproject(
            image,
            warped,
            src_transform=grid.transform,
            src_crs=grid.crs,
            dst_transform=own.transform,
            dst_crs=own.crs,
            src_nodata=nodata,
            dst_nodata=nodata,
            resampling=Resampling.average,
        )
        image, grid = warped, own
    tag = nodata if (image == nodata).all(0).any() else None
    write_raster(path, image, crs=grid.crs, transform=grid.transform, nodata=tag)


def _write_footprints(path: Path, scene: Scene, grid: Grid) -> None:
    """The buildings in the order in which they were built, numbered from 1."""
    crs = grid.crs
    assert crs is not None  # that of a city
    outlines = [_polygons(building.footprint, grid.transform) for building in scene.buildings]
    columns = {
        "id": np.arange(1, len(outlines) + 1, dtype=np.int64),
        "height_m": np.array([round(building.height_m, 2) for building in scene.buildings], dtype=np.float64),
    }
    with replacing(path) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The filename extension should be", RuntimeWarning)  # it will be
        write_polygons(temporary, outlines, columns, crs, "footprints")


def _polygons(footprint: Footprint, transform: Affine) -> shapely.MultiPolygon:
    """An outline in map coordinates."""
    outer, holes = (
        [shapely.Polygon(np.column_stack(transform * ring.T)) for ring in rings]
        for rings in (footprint.rings, footprint.holes)
    )
    parts = shapely.get_parts(shapely.union_all(outer).difference(shapely.union_all(holes)))
    return shapely.MultiPolygon([part for part in parts if part.geom_type == "Polygon"])
