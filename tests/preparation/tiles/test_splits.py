"""Splits deal out whole blocks or scenes, share no ground, and give training some of everything."""

import numpy as np
import pytest
import shapely
from rasterio.crs import CRS
from rasterio.warp import transform_bounds

from imrsf_d2.geo.grids import Grid
from imrsf_d2.preparation.tiles.splits import SplitOptions, TilePlace, split_tiles
from imrsf_d2.utils.errors import InputError


def places(rows, columns, scene=0, *, overlap=0, left=400000.0, epsg=32633, size=64):
    crs, step = CRS.from_epsg(epsg), (size - overlap) * 10.0
    return [
        TilePlace(scene, r, c, Grid.north_up(crs, left + c * step, 5.8e6 - r * step, 10.0, size, size))
        for r in range(rows)
        for c in range(columns)
    ]


def none(tiles):
    return np.zeros((len(tiles), 0))


@pytest.mark.parametrize("share", (0.5, 0.8, 0.9))
def test_whole_blocks_are_dealt_out_by_the_share(share):
    tiles = places(16, 20)
    split = split_tiles(tiles, none(tiles), SplitOptions(share, block=4))
    of = {}
    for place, name in zip(tiles, split.names):
        of.setdefault((place.row // 4, place.column // 4), set()).add(name)
    assert all(len(names) == 1 for names in of.values()) and len(of) == 20
    assert abs(split.names.count("train") / len(tiles) - share) <= 0.5 / 20


def test_classes_are_shared_out_like_tiles():
    tiles = places(20, 20)
    amounts = np.random.default_rng(0).gamma(0.3, 100, (len(tiles), 4))
    amounts[:, 3] = 0
    amounts[7, 3] = 50  # in one block only: training needs it
    split = split_tiles(tiles, amounts, SplitOptions(0.75, block=2))
    trained = np.array([name == "train" for name in split.names])
    shares = amounts[trained].sum(axis=0) / amounts.sum(axis=0)
    assert np.abs(shares[:3] - 0.75).max() < 0.02 and shares[3] == 1 and abs(trained.mean() - 0.75) < 0.02
    assert split == split_tiles(tiles, amounts, SplitOptions(0.75, block=2))
    assert split != split_tiles(tiles, amounts, SplitOptions(0.75, block=2, seed=1))


def test_training_tiles_show_no_ground_of_validation_tiles():
    tiles = places(12, 12, overlap=16)
    split = split_tiles(tiles, none(tiles), SplitOptions(0.8, block=3))
    outlines = [shapely.box(*place.grid.bounds) for place in tiles]
    held_out = shapely.union_all([o for o, name in zip(outlines, split.names) if name == "val"])
    shared = [o.intersection(held_out).area > 1e-6 for o in outlines]
    assert [name == "" for name in split.names] == [s and name != "val" for s, name in zip(shared, split.names)]
    assert "" in split.names and split.names.count("train") > 70


def test_ground_that_two_scenes_show_is_in_one_split():
    """The same place in two UTM zones."""
    west = transform_bounds("EPSG:32633", "EPSG:32632", 400000, 5.79e6, 401000, 5.8e6)[0]
    tiles = places(6, 6) + places(6, 6, 1, left=west, epsg=32632)
    split = split_tiles(tiles, none(tiles), SplitOptions(0.7, by="block", block=2))
    outlines = [
        shapely.box(*transform_bounds(p.grid.crs, "EPSG:4326", *p.grid.part(slice(2, 62), slice(2, 62)).bounds))
        for p in tiles
    ]
    held_out = shapely.union_all([o for o, name in zip(outlines, split.names) if name == "val"])
    assert not any(o.intersects(held_out) for o, name in zip(outlines, split.names) if name == "train")
    assert {name for place, name in zip(tiles, split.names) if place.scene} >= {"train"}


def test_many_scenes_are_dealt_out_whole_if_their_sizes_allow_it():
    tiles = [tile for scene in range(10) for tile in places(3, 3, scene, left=400000.0 + 20000 * scene)]
    split = split_tiles(tiles, none(tiles), SplitOptions(0.8))
    assert split.unit == "10 whole scenes"
    assert sorted(split.names[9 * scene : 9 * scene + 9].count("val") for scene in range(10)) == [0] * 8 + [9] * 2
    for few in (tiles[:81], tiles[:81] + places(20, 20, 9, left=900000.0)):
        assert "blocks" in split_tiles(few, none(few), SplitOptions(0.5)).unit
    assert split_tiles(tiles[:18], none(tiles[:18]), SplitOptions(0.8, by="scene")).names.count("val") == 9


def test_tiles_on_both_sides_of_180_degrees_are_neighbors():
    crs = CRS.from_epsg(4326)
    tiles = [TilePlace(0, 0, c, Grid.north_up(crs, 179.9 + 0.05 * c, 10.0, 0.001, 100, 100)) for c in range(3)]
    tiles += [TilePlace(1, 0, 0, Grid.north_up(crs, -180.0, 10.0, 0.001, 100, 100))]
    split = split_tiles(tiles, none(tiles), SplitOptions(0.5, by="scene"))
    # The second scene shows what the last two tiles of the first one show.
    assert split.names[0] in ("train", "val") and split.names[3] in ("train", "val", "")
    if split.names[3] == "val":
        assert split.names[:3] == ("train", "", "")
    else:
        assert split.names == ("val", "val", "val", "")


def test_one_block_cannot_be_split():
    tiles = places(2, 2)
    with pytest.raises(InputError, match="a single block of tiles.*--split 1"):
        split_tiles(tiles, none(tiles), SplitOptions(0.8, block=2))
    assert set(split_tiles(tiles, none(tiles), SplitOptions(1)).names) == {"train"}
    assert set(split_tiles(tiles, none(tiles), SplitOptions(0)).names) == {"val"}


@pytest.mark.parametrize("side, least", ((5, 20), (20, 360)))
def test_overlapping_tiles_are_held_out_in_blocks_that_lose_few(side, least):
    tiles = places(side, side, overlap=8)
    split = split_tiles(tiles, none(tiles), SplitOptions(0.8))
    train, val = split.names.count("train"), split.names.count("val")
    assert train + val >= least and abs(train / (train + val) - 0.8) <= 0.1


def test_a_split_far_from_the_one_asked_for_is_said():
    tiles = places(5, 5, overlap=8)
    split = split_tiles(tiles, none(tiles), SplitOptions(0.8, block=1))
    train, val, lost = (split.names.count(name) for name in ("train", "val", ""))
    assert lost > 5 and f"of 25 tiles {train} are for training, {val} for validation and {lost} for neither" in split.remark
    halves = places(1, 2)
    assert "50.0% are for training, 80.0% were asked for" in split_tiles(halves, none(halves), SplitOptions(0.8)).remark
    many = places(20, 20)
    assert split_tiles(many, none(many), SplitOptions(0.8)).remark == ""
