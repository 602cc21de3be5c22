"""The synthetic DFC2023: files, labels, and what each sensor can and cannot see."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from rasterio.warp import transform as transform_points
from scipy import ndimage

from imrsf_d2.data.datasets.dfc2023 import TRAIN_CITIES, VAL_CITIES, load_dfc2023
from imrsf_d2.synthetic import building_tiles
from imrsf_d2.synthetic.building_shapes import KINDS, Footprint, box, clip, draw_shape, move, rasterize, to_coco
from imrsf_d2.synthetic.building_tiles import LABELS, BuildingRecipe, BuildingTile, make_tile
from imrsf_d2.synthetic.cities import CITIES
from imrsf_d2.synthetic.layouts import write_layout
from imrsf_d2.synthetic.scene import PIXEL_M, make_scene
from imrsf_d2.synthetic.simulated_sensors import cast_shadow, render_dsm, render_rgb, render_sar
from imrsf_d2.synthetic.style import SceneStyle, SensorStyle

RECIPE = BuildingRecipe(128, 0, TRAIN_CITIES, VAL_CITIES, SceneStyle(), SensorStyle())
TILE = (slice(0, 96), slice(0, 96))
BARE = SceneStyle(buildings=(0, 0), decoys=(0, 0), trees=(0, 0), groves=(0, 0))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("synthetic")
    assert write_layout("dfc2023", output, num_train=24, num_val=10, size=128, seed=0, num_workers=1)
    return output


@pytest.fixture(scope="module")
def coco(folder) -> COCO:
    return COCO(str(folder / LABELS))


@pytest.fixture(scope="module")
def tiles() -> list[BuildingTile]:
    return [make_tile(RECIPE, False, i) for i in range(3, 27)]


def read(folder: Path, sensor: str, name: str) -> np.ndarray:
    with rasterio.open(folder / "track2" / "train" / sensor / name) as file:
        return file.read()


# --- files


@pytest.mark.parametrize(("sensor", "bands", "dtype"), [("rgb", 3, "uint8"), ("sar", 1, "float32"), ("dsm", 1, "float32")])
def test_rasters_have_the_real_types_and_lie_in_their_city(folder, coco, sensor, bands, dtype):
    names = sorted(p.name for p in (folder / "track2" / "train" / sensor).iterdir())
    assert names == sorted(image["file_name"] for image in coco.imgs.values()) and len(names) == 34
    for name in names:
        satellite, city, lat, lon = name.removesuffix(".tif").split("_")
        with rasterio.open(folder / "track2" / "train" / sensor / name) as file:
            assert (file.count, file.dtypes[0], file.shape, file.nodata) == (bands, dtype, (128, 128), None)
            assert file.res == (0.5, 0.5) and file.crs.to_epsg() == CITIES[city].epsg
            (x,), (y,) = transform_points(file.crs, "EPSG:4326", [file.bounds.left], [file.bounds.top])
        assert satellite in ("SV", "GF2") and (f"{y:.4f}", f"{x:.4f}") == (lat, lon)
        assert abs(y - CITIES[city].lat) < 0.1 and abs(x - CITIES[city].lon) < 0.2


def test_known_utm_zones():
    zones = {name: city.epsg for name, city in CITIES.items()}
    assert (zones["Berlin"], zones["Rio"], zones["Sydney"], zones["NewYork"]) == (32633, 32723, 32756, 32618)
    assert len(set(zones.values())) == 8


def test_first_tiles_lie_in_train_cities_and_the_rest_in_val_cities(coco):
    cities = [coco.imgs[i]["file_name"].split("_")[1] for i in range(1, 35)]
    assert set(cities[:24]) == set(TRAIN_CITIES) and set(cities[24:]) == set(VAL_CITIES)
    assert set(CITIES) == {*TRAIN_CITIES, *VAL_CITIES}


def test_an_unknown_city_is_named(tmp_path):
    with pytest.raises(ValueError, match="unknown cities.*Atlantis"):
        write_layout("dfc2023", tmp_path / "new", num_train=1, num_val=1, size=64, seed=0, val_cities=("Atlantis",))
    assert not (tmp_path / "new").exists()


def test_the_loader_of_the_real_set_reads_it(folder, coco):
    train, val = (load_dfc2023(folder, split) for split in ("train", "val"))
    assert [len(train), len(val)] == [24, 10]
    assert all(None not in sample["modalities"].values() for sample in train + val)
    assert sum(len(sample["annotations"]) for sample in train + val) == len(coco.anns)


def test_tiles_never_overlap(monkeypatch):
    monkeypatch.setattr(building_tiles, "make_scene", lambda rng, size, *_, **__: make_scene(rng, 64, CITIES["Rio"], BARE))
    for size in (128, 512, 544):
        recipe = BuildingRecipe(size, 0, ("Berlin",), ("Rio",), BARE, SensorStyle())
        origins = np.array([make_tile(recipe, False, i).origin for i in (0, 1, 31, 32, 33)])
        apart = np.abs(origins[:, None] - origins).max(-1)
        assert apart[~np.eye(5, dtype=bool)].min() >= size * PIXEL_M


# --- labels


def test_every_annotation_decodes_to_its_area_and_box(coco):
    assert list(coco.anns) == list(range(1, len(coco.anns) + 1)) and list(coco.imgs) == list(range(1, 35))
    assert coco.dataset["categories"] == [{"id": 1, "name": "building"}]
    for annotation in coco.anns.values():
        mask = coco.annToMask(annotation)
        ys, xs = np.nonzero(mask)
        assert mask.shape == (128, 128) and mask.sum() == annotation["area"] > 0
        assert annotation["bbox"] == [xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1]
        assert annotation["iscrowd"] == 0 and annotation["category_id"] == 1


def test_polygons_multipolygons_and_both_rle_forms_are_present(coco):
    forms = set()
    for segmentation in (a["segmentation"] for a in coco.anns.values()):
        if isinstance(segmentation, list):
            forms.add("polygon" if len(segmentation) == 1 else "multipolygon")
            assert all(len(ring) >= 6 and 0 <= min(ring) and max(ring) <= 128 for ring in segmentation)
        else:
            forms.add(type(segmentation["counts"]))
    assert forms == {"polygon", "multipolygon", list, str}


def test_labels_cover_what_stands_in_the_height_model(folder, coco):
    dsm = {i: read(folder, "dsm", image["file_name"])[0] for i, image in coco.imgs.items()}
    covered = np.array([(dsm[a["image_id"]][coco.annToMask(a) > 0] > 0).mean() for a in coco.anns.values()])
    assert np.median(covered) > 0.9 and 0.6 < (covered > 0.5).mean() < 1


def test_one_train_and_one_val_image_are_empty(coco):
    empty = {i for i in coco.imgs if not coco.imgToAnns[i]}
    assert empty == {3, 34}


def test_buildings_are_neither_tiny_nor_too_many(tiles):
    counts = [len(tile.scene.buildings) for tile in tiles]
    sides = [np.sqrt(b.label.sum()) for tile in tiles for b in tile.scene.buildings]
    assert 4 <= np.median(counts) <= 8 and max(counts) <= 14
    assert np.median(sides) >= 12 and min(sides) >= np.sqrt(SceneStyle().visible_px) - 1e-6


# --- outlines


@pytest.mark.parametrize("kind", KINDS)
def test_outline_area_survives_turning_and_writing(kind):
    shape = draw_shape(np.random.default_rng(1), kind, 30, 20)
    upright, turned = (rasterize(clip(move(shape, angle, (48, 48)), 96), TILE) for angle in (0.0, 0.7))
    assert abs(int(upright.sum()) - int(turned.sum())) < 0.06 * upright.sum()
    for form in ("rle", "compressed") if shape.holes else ("polygon", "rle", "compressed"):
        written = to_coco(clip(move(shape, 0.7, (48, 48)), 96), turned, form)["segmentation"]
        encoded = (
            coco_mask.merge(coco_mask.frPyObjects(written, 96, 96))
            if form == "polygon"
            else coco_mask.frPyObjects(written, 96, 96)
            if form == "rle"
            else written
        )
        np.testing.assert_array_equal(coco_mask.decode(encoded).astype(bool), turned)


def test_courtyard_is_a_hole_and_parts_are_disjoint():
    rng = np.random.default_rng(0)
    court = rasterize(move(draw_shape(rng, "courtyard", 40, 30), 0.3, (48, 48)), TILE)
    assert not court[48, 48] and ndimage.label(~court)[1] == 2
    assert ndimage.label(rasterize(move(draw_shape(rng, "parts", 40, 20), 0.3, (48, 48)), TILE))[1] == 2


def test_clipping_a_square_at_the_corner():
    clipped = clip(move(Footprint((box(20, 20),)), 0.0, (0, 96)), 96)  # worked: only its 10 x 10 quarter is inside
    assert rasterize(clipped, TILE).sum() == 100 and rasterize(clipped, TILE)[86:, :10].all()
    assert clip(move(Footprint((box(20, 20),)), 0.0, (-50, 0)), 96).rings == ()


def test_a_border_between_the_legs_of_a_building_leaves_two_parts():
    ring = np.array([(0, 0), (30, 0), (30, 20), (20, 20), (20, 10), (10, 10), (10, 20), (0, 20)], float)
    clipped = clip(Footprint((ring - (0, 12),)), 96)  # worked: two legs of 10 x 8 px
    assert sorted(len(part) for part in clipped.rings) == [4, 4]
    assert rasterize(clipped, TILE).sum() == 160 and not rasterize(clipped, TILE)[:, 10:20].any()


def test_rle_of_a_mask_that_starts_with_ones():
    mask = np.zeros((3, 2), bool)
    mask[0, 0] = mask[2, 1] = True  # worked, column by column: 1 0 0 0 0 1
    assert to_coco(Footprint(()), mask, "rle")["segmentation"] == {"size": [3, 2], "counts": [0, 1, 4, 1]}


# --- sensors


def test_one_tile_in_a_hundred_has_a_black_corner_and_no_other_pixel_is_black(folder, coco):
    black = {}
    for image in coco.imgs.values():
        none = (read(folder, "rgb", image["file_name"]) == 0).all(0)
        black[image["id"]] = none.mean()
        assert none.any() == (image["id"] in (8, 32))
        if none.any():
            assert any(none[y, x] for y in (0, -1) for x in (0, -1)) and ndimage.label(none)[1] == 1
    assert all(0.01 < black[i] < 0.25 for i in (8, 32))


def test_sar_is_positive_power_within_its_range(tiles):
    for tile in tiles:
        assert np.isfinite(tile.sar).all() and tile.sar.min() >= np.float32(0.03) and tile.sar.max() <= np.float32(11.9)
    mean_db = np.mean([10 * np.log10(tile.sar) for tile in tiles])
    assert -12 < mean_db < -6


def test_ground_is_exactly_zero_in_the_height_model_and_decoys_are_flat(tiles):
    ground, decoys = [], []
    for tile in tiles:
        objects = (tile.scene.roof_m > 0) | (tile.scene.canopy_m > 0)
        far = ~ndimage.binary_dilation(objects, iterations=14)
        ground.append(tile.dsm[far])
        decoys.append(tile.dsm[tile.scene.decoy & far])
        assert (tile.dsm >= 0).all() and np.isfinite(tile.dsm).all()
    assert (np.concatenate(ground) == 0).all() and (np.concatenate(decoys) == 0).all()
    assert len(np.concatenate(decoys)) > 100


def test_some_buildings_are_missing_from_the_height_model_only(tiles):
    style = SceneStyle(unsurveyed=1.0, trees=(0, 0), groves=(0, 0), overhang=0.0)
    scene = make_scene(np.random.default_rng(0), 128, CITIES["Berlin"], style)
    assert len(scene.buildings) > 0 and scene.roof_m.max() >= 2.5
    assert (render_dsm(np.random.default_rng(0), scene, SensorStyle()) == 0).all()
    surveyed = [b.surveyed for tile in tiles for b in tile.scene.buildings]
    assert 0.02 < 1 - np.mean(surveyed) < 0.14


def brightest_rim_over_inside(masks: str, style: SceneStyle, empty: bool) -> float:
    """The median over scenes of how much brighter the brightest part of an object's rim is than its inside (SAR)."""
    ratios = []
    for seed in range(8):
        scene = make_scene(np.random.default_rng(seed), 128, CITIES["Berlin"], style, empty=empty)
        sar = render_sar(np.random.default_rng(seed), scene, SensorStyle(sar_shift_px=0, sar_cell_px=1, sar_looks=50))
        mask = getattr(scene, masks) > 0
        rim = ndimage.binary_dilation(mask, iterations=2) & ~ndimage.binary_erosion(mask)
        ratios.append(np.quantile(sar[rim], 0.95) / np.median(sar[ndimage.binary_erosion(mask, iterations=4)]))
    return float(np.median(ratios))


def test_walls_facing_the_radar_shine_and_the_rims_of_flat_decoys_do_not():
    style = SceneStyle(trees=(0, 0), groves=(0, 0), overhang=0.0, decoys=(3, 3))
    assert brightest_rim_over_inside("roof_m", style, empty=False) > 6
    assert brightest_rim_over_inside("decoy", style, empty=True) < 4


def test_shadow_lies_away_from_the_sun_and_is_as_long_as_worked():
    height = np.zeros((40, 40), np.float32)
    height[18:22, 18:22] = 4.0
    # Worked: the sun in the south at 45 degrees throws 4 m = 8 px of shadow to the north.
    shadow = cast_shadow(height, azimuth=np.pi, elevation=np.pi / 4)
    assert (shadow[11:17, 19:21] > 0.9).all() and (shadow[:9] == 0).all() and (shadow[23:] == 0).all()


def test_trees_are_as_high_as_houses_but_green(tiles):
    heights = np.concatenate([t.scene.canopy_m[t.scene.canopy_m > 2] for t in tiles])
    roofs = np.concatenate([t.scene.roof_m[t.scene.roof_m > 0] for t in tiles])
    assert np.quantile(roofs, 0.1) < np.median(heights) < np.quantile(roofs, 0.9)
    pixels = np.concatenate([t.rgb[(t.scene.canopy_m > t.scene.roof_m) & (t.rgb > 0).any(-1)] for t in tiles]).mean(0)
    assert pixels[1] > pixels[0] > pixels[2]


def test_weaker_style_numbers_weaken_the_sensor():
    scene = make_scene(np.random.default_rng(3), 128, CITIES["Rio"], SceneStyle())
    edge = lambda image: np.abs(np.diff(image.astype(float), axis=0)).mean()  # noqa: E731
    rgb = [
        render_rgb(np.random.default_rng(0), scene, SensorStyle(rgb_blur_px=b, rgb_noise=0), sun_azimuth=1.0)
        for b in (0.5, 3)
    ]
    dsm = [render_dsm(np.random.default_rng(0), scene, SensorStyle(dsm_cell_px=c, dsm_noise_m=0)) for c in (1, 8)]
    assert edge(rgb[0]) > edge(rgb[1]) and edge(dsm[0]) > edge(dsm[1])
