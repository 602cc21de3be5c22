"""Synthetic quadruplets: the folders, file names and rasters of `data/quadruplet_layout.py`.

Layout:
    {s1,s2,dem,dnw,labels}/{City}_{row}_{column}.tif
    splits/{train,val}.txt
    synthetic.json                       what it was made with, and whether it is complete
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
from rasterio.transform import from_origin

from imrsf_d2.data.quadruplet_layout import LABELS, NODATA, SENSORS, split_file
from imrsf_d2.geo.writing import write_raster
from imrsf_d2.synthetic.folders import check_request, claim_unwritten, make_tiles
from imrsf_d2.synthetic.landscape import PIXEL_M, Landscape, make_landscape
from imrsf_d2.synthetic.landscape_style import LandscapeStyle, OrbitStyle
from imrsf_d2.synthetic.orbit_sensors import add_clouds, beyond_edge, blobs, render_dem, render_dnw, render_s1, render_s2
from imrsf_d2.synthetic.regions import TRAIN_REGIONS, VAL_REGIONS
from imrsf_d2.synthetic.settlements import SettlementStyle, add_buildings
from imrsf_d2.utils.atomic import write_text

# Raise this when the same parameters no longer give the same pixels.
GENERATOR_VERSION = 1
# The tiles of a city lie side by side in rows of this many.
TILES_PER_ROW = 32


@dataclass(frozen=True)
class LandCoverRecipe:
    """What a tile depends on besides its own index."""

    size: int
    seed: int
    landscape: LandscapeStyle
    sensors: OrbitStyle


@dataclass(frozen=True)
class LandCoverTile:
    """One rendered tile.

    Attributes:
        name: as in the lists of the splits.
        epsg, origin: EPSG code of its UTM zone, and its upper left corner there, meters east and north.
        landscape: what is really there.
        rasters: folder -> bands, no-data values included; without the sensors that the tile lacks.
        buildings: [S, S] int32 the number of the building that stands on a pixel, 0 for none; None without settlements.
    """

    name: str
    epsg: int
    origin: tuple[float, float]
    landscape: Landscape
    rasters: dict[str, np.ndarray]
    buildings: np.ndarray | None = None


def make_tile(recipe: LandCoverRecipe, val: bool, index: int, settlements: SettlementStyle | None = None) -> LandCoverTile:
    """Tile `index` of the train or val split, with buildings if they have a style; a function of these arguments alone, whatever
    else is written."""
    streams = [np.random.default_rng(s) for s in np.random.SeedSequence([recipe.seed, int(val), index]).spawn(7)]
    regions = VAL_REGIONS if val else TRAIN_REGIONS
    city, number = list(regions)[index % len(regions)], index // len(regions)
    region = regions[city]
    land = make_landscape(streams[0], recipe.size, region, recipe.landscape)
    buildings = None
    if settlements is not None:
        land, buildings = add_buildings(streams[6], land, settlements)
    style = recipe.sensors
    rasters = {
        "s1": render_s1(streams[1], land, style),
        "s2": render_s2(streams[2], land, style),
        "dem": render_dem(streams[3], land, style),
        "dnw": render_dnw(streams[4], land, style),
        LABELS: land.label.copy(),
    }
    _leave_gaps(streams[5], rasters, index, style)

    row, column = divmod(number, TILES_PER_ROW)
    x, y = region.position_m
    origin = (round(x, -1) + column * recipe.size * PIXEL_M, round(y, -1) - row * recipe.size * PIXEL_M)
    return LandCoverTile(f"{city}_{row:04d}_{column:04d}", region.epsg, origin, land, rasters, buildings)


def _leave_gaps(rng: np.random.Generator, rasters: dict[str, np.ndarray], index: int, style: OrbitStyle) -> None:
    """Fill parts of some tiles' rasters with no data, and drop a sensor of some tiles.

    Which tiles follows from the index alone, so that it is the same ones however many tiles are written, and so that a
    small dataset has each kind of gap.
    """
    size = rasters[LABELS].shape[0]

    def turn(every: int, first: int) -> bool:
        return every > 0 and index % every == first % every

    if turn(style.cloudy_every, 1):
        rasters["s2"] = add_clouds(rng, rasters["s2"], style.cloud_share)
    if turn(style.swath_every, 2):
        rasters["s1"][:, beyond_edge(rng, size, style.edge_share)] = NODATA["s1"]
    if turn(style.survey_every, 4):
        rasters["dem"][beyond_edge(rng, size, style.edge_share)] = NODATA["dem"]
    if turn(style.gap_every, 5):
        rasters["dnw"][blobs(rng, size, 12, style.gap_share)] = NODATA["dnw"]
    if turn(style.border_every, 6):
        rasters[LABELS][beyond_edge(rng, size, style.edge_share)] = NODATA[LABELS]
    if turn(style.missing_every, 3):
        del rasters[SENSORS[index // style.missing_every % len(SENSORS)]]


def write_sensors(tile: LandCoverTile, root: Path, folders: Iterable[str]) -> None:
    """Write those of some rasters that a tile has, each into its folder."""
    place = from_origin(*tile.origin, PIXEL_M, PIXEL_M)
    for folder in folders:
        if folder in tile.rasters:
            path = root / folder / f"{tile.name}.tif"
            write_raster(path, tile.rasters[folder], crs=f"EPSG:{tile.epsg}", transform=place, nodata=NODATA[folder])


def _write_tile(recipe: LandCoverRecipe, root: Path, item: tuple[bool, int]) -> str:
    """Render and write one tile; its name."""
    tile = make_tile(recipe, *item)
    write_sensors(tile, root, tile.rasters)
    return tile.name


def write_quadruplets(
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
    progress: bool = False,
) -> bool:
    """Write synthetic quadruplets below `output`.

    Args:
        num_train, num_val: tiles from the ten training and from the two validation cities of `regions.py`.
        size: side of a tile in px of 10 m; a multiple of 32, at least 64.
        seed: two equal seeds give the same bytes, for any number of workers.
        num_workers: processes; 0 = all cores.
        overwrite: replace synthetic data made with other parameters. Data from elsewhere are never replaced.

    Returns:
        False if exactly these data were already there and nothing was done.

    Raises:
        ValueError: for a size, count or seed that cannot be used.
        FileExistsError: if `output` holds other data (see `claim_folder`).
    """
    check_request(num_train, num_val, size, seed)
    recipe = LandCoverRecipe(size, seed, landscape, sensors)
    parameters = {
        "layout": "quadruplets",
        "version": GENERATOR_VERSION,
        "num_train": num_train,
        "num_val": num_val,
        **asdict(recipe),
    }
    output = Path(output)
    claimed = claim_unwritten(output, parameters, owned=[*SENSORS, LABELS, "splits"], overwrite=overwrite)
    if claimed is None:
        return False
    for folder in (*SENSORS, LABELS, "splits"):
        (output / folder).mkdir(parents=True, exist_ok=True)
    train, val = make_tiles(partial(_write_tile, recipe, output), num_train, num_val, num_workers, progress)
    for split, part in (("train", train), ("val", val)):
        if part:  # the loader refuses an empty list, but not a missing one
            write_text(split_file(output, split), "".join(f"{name}\n" for name in part))
    claimed.mark(complete=True)
    return True
