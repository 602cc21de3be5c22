"""The synthetic quadruplets: files, split, and what each sensor can and cannot tell of land cover."""

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio
from rasterio.warp import transform as transform_points
from scipy import ndimage

from imrsf_d2.data.class_tables import read_class_table
from imrsf_d2.data.datasets.land_cover import DEFAULT_TABLE
from imrsf_d2.data.datasets.quadruplets import load_quadruplets
from imrsf_d2.data.quadruplet_layout import LABELS, NODATA, SENSORS, city_of
from imrsf_d2.synthetic.land_cover_tiles import LandCoverRecipe, LandCoverTile, make_tile
from imrsf_d2.synthetic.landscape import (
    CLASSES,
    CROPLAND,
    PASTURES,
    ROADS,
    TREES,
    URBAN,
    WATER,
    absorb_slivers,
    make_landscape,
)
from imrsf_d2.synthetic.landscape_style import LandscapeStyle, OrbitStyle
from imrsf_d2.synthetic.layouts import write_layout
from imrsf_d2.synthetic.orbit_sensors import beyond_edge, blobs, render_dnw, render_s1
from imrsf_d2.synthetic.regions import TRAIN_REGIONS, VAL_REGIONS

FOLDERS = (*SENSORS, LABELS)
PERIODS = ("cloudy_every", "swath_every", "survey_every", "gap_every", "border_every", "missing_every")
CLEAR = replace(OrbitStyle(), **dict.fromkeys(PERIODS, 0))
# The class of Dynamic World that says the same; green urban and roads have none.
DNW_OF_CLASS = {URBAN: 6, CROPLAND: 4, PASTURES: 2, TREES: 1, WATER: 0}
NUM_TRAIN, NUM_VAL, SIZE = 45, 5, 64


def split_of(folder: Path, split: str) -> list[str]:
    return (folder / "splits" / f"{split}.txt").read_text().split()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("quadruplets")
    assert write_layout("quadruplets", output, num_train=NUM_TRAIN, num_val=NUM_VAL, size=SIZE, seed=0, num_workers=1)
    return output


@pytest.fixture(scope="module")
def tiles() -> list[LandCoverTile]:
    """Fifty training tiles of 128 px without a gap anywhere."""
    return [make_tile(LandCoverRecipe(128, 0, LandscapeStyle(), CLEAR), False, i) for i in range(50)]


@pytest.fixture(scope="module")
def other_tiles() -> list[LandCoverTile]:
    """Twenty of the validation cities."""
    return [make_tile(LandCoverRecipe(128, 0, LandscapeStyle(), CLEAR), True, i) for i in range(20)]


# --- files


@pytest.mark.parametrize(
    ("name", "bands", "dtype"),
    [("s1", 2, "float32"), ("s2", 4, "uint16"), ("dem", 1, "float32"), ("dnw", 1, "uint8"), (LABELS, 1, "uint8")],
)
def test_rasters_have_the_types_and_tags_of_the_layout(folder, name, bands, dtype):
    paths = sorted((folder / name).iterdir())
    assert len(paths) >= NUM_TRAIN + NUM_VAL - 2
    for path in paths:
        with rasterio.open(path) as file:
            assert (file.count, set(file.dtypes), file.shape) == (bands, {dtype}, (SIZE, SIZE))
            assert file.nodata == pytest.approx(NODATA[name], nan_ok=True)
            values = file.read(masked=True).compressed()
        if name == LABELS:
            assert values.max() < len(CLASSES)
        elif name == "dnw":
            assert values.max() <= 8
        elif name == "s1":
            assert (values > 0).all()
        elif name == "s2":
            assert 1 <= values.min() and values.max() <= 10000
        else:
            assert -100 < values.min() and values.max() < 2000


def test_all_files_of_a_tile_share_one_grid_in_the_utm_zone_of_its_city(folder):
    for name in split_of(folder, "train") + split_of(folder, "val"):
        grids = set()
        for path in folder.glob(f"*/{name}.tif"):
            with rasterio.open(path) as file:
                grids.add((file.crs.to_epsg(), tuple(file.transform), file.shape))
                (lon,), (lat,) = transform_points(file.crs, "EPSG:4326", [file.bounds.left], [file.bounds.top])
        ((epsg, transform, _),) = grids
        region = {**TRAIN_REGIONS, **VAL_REGIONS}[city_of(name)]
        assert epsg == region.epsg and (transform[0], transform[4]) == (10, -10)
        assert transform[2] % 10 == transform[5] % 10 == 0
        assert abs(lat - region.lat) < 0.2 and abs(lon - region.lon) < 0.2


def test_known_utm_zones():
    assert (TRAIN_REGIONS["Lyon"].epsg, TRAIN_REGIONS["Perth"].epsg, VAL_REGIONS["Adelaide"].epsg) == (32631, 32750, 32754)


def test_tiles_of_a_city_lie_side_by_side_at_the_place_that_their_name_says():
    places = {}
    for index in (0, 10, 310, 320, 330):
        tile = make_tile(LandCoverRecipe(64, 0, LandscapeStyle(), CLEAR), False, index)
        places[tile.name] = tile.origin
    x, y = places["Lyon_0000_0000"]
    # Worked: 64 px of 10 m a step; 32 tiles a row, so the last of the first row is number 31.
    assert places == {
        "Lyon_0000_0000": (x, y),
        "Lyon_0000_0001": (x + 640, y),
        "Lyon_0000_0031": (x + 31 * 640, y),
        "Lyon_0001_0000": (x, y - 640),
        "Lyon_0001_0001": (x + 640, y - 640),
    }


def test_splits_are_complete_and_share_no_city(folder):
    train, val = split_of(folder, "train"), split_of(folder, "val")
    assert (len(set(train)), len(set(val))) == (NUM_TRAIN, NUM_VAL)
    assert {city_of(name) for name in train} == set(TRAIN_REGIONS) and {city_of(n) for n in val} == set(VAL_REGIONS)
    assert not set(TRAIN_REGIONS) & set(VAL_REGIONS)
    assert {path.stem for path in (folder / LABELS).iterdir()} == {*train, *val}


def test_the_loader_of_the_real_set_reads_it(folder):
    train, val = (load_quadruplets(folder, split) for split in ("train", "val"))
    assert [len(train), len(val)] == [NUM_TRAIN, NUM_VAL]
    # Worked: with one tile in 41, the fourth and the forty-fifth of 45, and the fourth of 5.
    assert [i for i, sample in enumerate(train) if None in sample["modalities"].values()] == [3, 44]
    assert [i for i, sample in enumerate(val) if None in sample["modalities"].values()] == [3]


def test_classes_are_those_of_the_real_layout():
    assert read_class_table(DEFAULT_TABLE).classes == CLASSES


# --- landscape


def test_no_class_is_rare_or_prevails_and_tiles_hold_several(tiles):
    counts = np.array([np.bincount(tile.landscape.label.ravel(), minlength=len(CLASSES)) for tile in tiles])
    shares = counts.sum(0) / counts.sum()
    assert shares.min() > 0.03 and shares.max() < 0.40, dict(zip(CLASSES, shares.round(3), strict=True))
    assert ((counts > 0).sum(1) >= 4).all()
    assert np.median([len(np.unique(tile.landscape.patch)) for tile in tiles]) > 40


def test_no_patch_but_a_road_is_below_the_mapping_unit(tiles):
    for tile in tiles[:10]:
        for index in set(range(len(CLASSES))) - {ROADS}:
            parts, count = ndimage.label(tile.landscape.label == index)
            assert count == 0 or np.bincount(parts.ravel())[1:].min() >= LandscapeStyle().mapping_unit_px


def test_a_sliver_is_absorbed_by_what_it_touches_and_becomes_road_between_roads():
    label = np.full((8, 8), PASTURES, np.uint8)
    label[:, 4:] = TREES
    label[2:4, 6:8] = URBAN  # 4 px, among trees
    label[:3, :3] = ROADS
    label[:2, :2] = WATER  # 4 px, in a corner behind the road
    absorbed = absorb_slivers(label, 5)
    assert (absorbed[:, 4:] == TREES).all() and (absorbed[:3, :3] == ROADS).all() and absorbed[7, 0] == PASTURES
    np.testing.assert_array_equal(absorb_slivers(label, 4), label)


def test_roads_are_thin_lines(tiles):
    road = np.stack([tile.landscape.label == ROADS for tile in tiles])
    inside = np.stack([cv2.erode(r.astype(np.uint8), np.ones((5, 5), np.uint8), borderValue=0) for r in road])
    assert inside.sum() < 0.02 * road.sum()


def test_patches_have_one_class_and_pure_covers_keep_to_theirs(tiles):
    for tile in tiles[:5]:
        land = tile.landscape
        np.testing.assert_array_equal(land.patch_class[land.patch], land.label)
    style = LandscapeStyle(mixes=tuple((name, tuple(float(i == k % 6) for i in range(6))) for k, name in enumerate(CLASSES)))
    land = make_landscape(np.random.default_rng(0), 64, TRAIN_REGIONS["Lyon"], style)
    np.testing.assert_array_equal(land.cover, land.label % 6)


def test_crops_lie_flatter_than_trees_and_water_lowest(tiles):
    slope, below = ({index: [] for index in range(len(CLASSES))} for _ in range(2))
    for tile in tiles:
        land = tile.landscape
        steep = np.hypot(*np.gradient(land.height_m)) / land.height_m.std()
        lower = land.height_m < np.median(land.height_m)
        for index in slope:
            slope[index].append(steep[land.label == index])
            below[index].append(lower[land.label == index])
    slope, below = ({k: np.concatenate(v).mean() for k, v in d.items()} for d in (slope, below))
    assert slope[CROPLAND] < slope[TREES] and max(below, key=below.get) == WATER and below[CROPLAND] > below[TREES]


# --- gaps


def gaps_of(tile: LandCoverTile) -> dict[str, bool]:
    r = tile.rasters
    return {
        "cloudy_every": "s2" in r and bool((r["s2"] == 0).any()),
        "swath_every": "s1" in r and bool(np.isnan(r["s1"]).any()),
        "survey_every": "dem" in r and bool((r["dem"] == NODATA["dem"]).any()),
        "gap_every": "dnw" in r and bool((r["dnw"] == NODATA["dnw"]).any()),
        "border_every": bool((r[LABELS] == NODATA[LABELS]).any()),
        "missing_every": len(r) < len(FOLDERS),
    }


def test_gaps_come_at_their_stated_rates_and_to_every_city():
    recipe = LandCoverRecipe(64, 0, LandscapeStyle(), OrbitStyle())
    gaps = [gaps_of(make_tile(recipe, False, index)) for index in range(130)]
    for period in PERIODS:
        where = np.flatnonzero([gap[period] for gap in gaps])
        every = getattr(OrbitStyle(), period)
        # One less where the sensor that the gap is in is missing altogether.
        assert 130 // every - 1 <= len(where) <= 130 // every + 1 and set(np.diff(where)) <= {every, 2 * every}
        assert np.gcd(every, len(TRAIN_REGIONS)) == np.gcd(every, len(VAL_REGIONS)) == 1
    clear = LandCoverRecipe(64, 0, LandscapeStyle(), CLEAR)
    assert not any(any(gaps_of(make_tile(clear, False, index)).values()) for index in range(8))


def test_each_sensor_is_missing_in_its_turn():
    recipe = LandCoverRecipe(64, 0, LandscapeStyle(), OrbitStyle(missing_every=5))
    missing = [set(FOLDERS) - set(make_tile(recipe, False, index).rasters) for index in range(20)]
    assert [list(m) for m in missing if m] == [["s1"], ["s2"], ["dem"], ["dnw"]]


def test_gaps_are_parts_of_a_tile_and_hide_all_bands(folder):
    shares = {name: [] for name in FOLDERS}
    for name in FOLDERS:
        for path in (folder / name).iterdir():
            with rasterio.open(path) as file:
                empty = file.read_masks() == 0
            assert (empty == empty[0]).all()
            shares[name].append(empty[0].mean())
    for name, share in shares.items():
        partial = [s for s in share if s > 0]
        assert 1 <= len(partial) < 0.3 * len(share) and max(partial) < 0.65, name


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_edges_and_spots_take_the_share_asked_for(share):
    rng = np.random.default_rng(0)
    edge, spots = beyond_edge(rng, 64, (share, share)), blobs(rng, 64, 12, (share, share))
    assert edge.mean() == pytest.approx(share, abs=0.02) and spots.mean() == pytest.approx(share, abs=0.02)
    assert ndimage.label(edge)[1] == ndimage.label(~edge)[1] == 1 < ndimage.label(spots)[1]


# --- sensors


def test_dynamic_world_is_right_most_of_the_time_but_knows_no_roads(tiles):
    label = np.stack([tile.landscape.label for tile in tiles])
    dnw = np.stack([tile.rasters["dnw"] for tile in tiles])
    right = np.concatenate([dnw[label == index] == target for index, target in DNW_OF_CLASS.items()])
    assert 0.65 < right.mean() < 0.80
    for index, target in DNW_OF_CLASS.items():
        shares = np.bincount(dnw[label == index], minlength=9) / (label == index).sum()
        assert shares.argmax() == target and (shares[target] < 0.9 or index == WATER)
    assert (dnw[label == ROADS] == DNW_OF_CLASS[URBAN]).mean() < 0.5


def test_without_confusion_dynamic_world_errs_at_edges_and_thin_things_only(tiles):
    style = replace(
        CLEAR,
        dnw_noise=0.0,
        dnw_confusion=tuple((name, ((DNW_OF_CLASS.get(index, 8), 1.0),)) for index, name in enumerate(CLASSES)),
    )
    land = tiles[0].landscape
    dnw = render_dnw(np.random.default_rng(0), land, style)
    for index, target in DNW_OF_CLASS.items():
        inside = cv2.erode((land.label == index).astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
        assert (dnw[inside] == target).all()


def test_radar_sees_towns_bright_water_dark_and_crops_apart_from_pastures(tiles):
    calm = replace(CLEAR, s1_windy=0.0)
    still = [render_s1(np.random.default_rng(i), tile.landscape, calm) for i, tile in enumerate(tiles)]
    label, db = np.stack([t.landscape.label for t in tiles]), 10 * np.log10(np.stack(still, 1))
    vv, vh = ([band[label == index].mean() for index in range(len(CLASSES))] for band in db)
    assert np.argmax(vv) == URBAN and np.argmin(vv) == np.argmin(vh) == WATER
    assert vh[CROPLAND] - vh[PASTURES] > 0.5 > abs(vv[ROADS] - vv[PASTURES]) / 4
    rough = render_s1(np.random.default_rng(0), tiles[0].landscape, replace(CLEAR, s1_windy=1.0))[0]
    water = tiles[0].landscape.label == WATER
    assert water.any() and 10 * np.log10(np.median(rough[water]) / np.median(still[0][0][water])) > 4


def test_speckle_has_the_stated_number_of_looks(tiles):
    land = tiles[0].landscape
    water = cv2.erode((land.label == WATER).astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    power = render_s1(np.random.default_rng(0), land, CLEAR)[0][water]
    assert power.mean() ** 2 / power.var() == pytest.approx(OrbitStyle().s1_looks, rel=0.15)


def features(tile: LandCoverTile) -> dict[str, np.ndarray]:
    """What a pixel [N, F] shows of itself and its near surroundings, per sensor; Dynamic World as its class [N]."""
    r = tile.rasters
    dem = cv2.blur(r["dem"], (9, 9))
    s2 = np.log(r["s2"].astype(np.float32))
    found = {
        "s1": [10 * np.log10(cv2.blur(band, (5, 5))) for band in r["s1"]],
        "s2": [*s2, *(cv2.blur(band, (5, 5)) for band in s2)],
        "dem": [dem - np.median(dem), dem - cv2.blur(dem, (41, 41)), np.hypot(*np.gradient(dem))],
    }
    flat = {name: np.stack(bands, -1)[::3, ::3].reshape(-1, len(bands)) for name, bands in found.items()}
    return {**flat, "dnw": r["dnw"][::3, ::3].ravel()}


def log_likelihood(train: np.ndarray, label: np.ndarray, test: np.ndarray) -> np.ndarray:
    """[classes, N]: a Gaussian per class, or a table of frequencies for classes."""
    rows = []
    for index in range(len(CLASSES)):
        of_class = train[label == index]
        if train.ndim == 1:
            counts = np.bincount(of_class, minlength=9) + 1
            rows.append(np.log(counts / counts.sum())[test])
        else:
            covariance = np.cov(of_class.T) + 0.03 * np.cov(train.T)
            away = test - of_class.mean(0)
            rows.append(
                -0.5 * np.linalg.slogdet(covariance)[1]
                - 0.5 * np.einsum("ij,jk,ik->i", away, np.linalg.inv(covariance), away)
            )
    return np.array(rows)


@pytest.fixture(scope="module")
def accuracy(tiles, other_tiles) -> dict[tuple[str, ...], float]:
    """Of a naive Bayes classifier of single pixels in other cities, per subset of sensors; () = the commonest class."""
    train, test = ([features(tile) for tile in part] for part in (tiles, other_tiles))
    label, truth = (np.concatenate([t.landscape.label[::3, ::3].ravel() for t in part]) for part in (tiles, other_tiles))
    likelihood = {
        s: log_likelihood(np.concatenate([f[s] for f in train]), label, np.concatenate([f[s] for f in test]))
        for s in SENSORS
    }
    prior = np.log(np.bincount(label))[:, None] + np.zeros(len(truth))
    return {
        subset: float((sum((likelihood[s] for s in subset), prior).argmax(0) == truth).mean())
        for count in range(len(SENSORS) + 1)
        for subset in combinations(SENSORS, count)
    }


def test_every_sensor_tells_something_and_none_enough(accuracy):
    trivial = accuracy[()]
    assert trivial < 0.35
    assert trivial + 0.01 < accuracy["dem",] < trivial + 0.10  # terrain is a hint
    assert all(trivial + 0.15 < accuracy[sensor,] < 0.70 for sensor in ("s1", "s2", "dnw"))


def test_more_sensors_tell_more(accuracy):
    best = [max(value for subset, value in accuracy.items() if len(subset) == count) for count in range(5)]
    assert best[2] > best[1] + 0.05 and best[3] > best[2] + 0.01
    assert best[3] - 0.01 < accuracy[SENSORS] < 0.90  # naive Bayes gains nothing from the terrain by then
    for first, second in combinations(("s1", "s2", "dnw"), 2):
        assert accuracy[first, second] > max(accuracy[first,], accuracy[second,]) + 0.02
