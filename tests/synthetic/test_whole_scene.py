"""A synthetic scene: one town, its buildings, and sensors in pixels of their own."""

import json

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from rasterio.warp import transform as transform_points

from imrsf_d2.commands import synthetic
from imrsf_d2.synthetic.building_shapes import clip, draw_shape, move, rasterize, window_around
from imrsf_d2.synthetic.cities import CITIES
from imrsf_d2.synthetic.scene import HALL_PX, fill, make_scene
from imrsf_d2.synthetic.style import SceneStyle
from imrsf_d2.synthetic.whole_scene import FOOTPRINTS, SENSORS, SensorGrid, write_scene

SIZE, SEED = 448, 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("scene")
    assert write_scene(path, size=SIZE, seed=SEED, halls=1)
    return path


def read(path):
    with rasterio.open(path) as file:
        return file.read(), file.read_masks(1) > 0, file.profile


def polygons(folder):
    _, _, outlines, _ = pyogrio.raw.read(folder / FOOTPRINTS, columns=[])
    return shapely.from_wkb(outlines)


def centers(geometry):
    return np.array([(shape.centroid.x, shape.centroid.y) for shape in geometry])


def test_whole_rasters_of_the_real_types_on_one_grid(folder):
    profiles = [read(folder / f"{name}.tif")[2] for name in SENSORS]
    assert [(p["count"], p["dtype"]) for p in profiles] == [(3, "uint8"), (1, "float32"), (1, "float32")]
    for profile in profiles:
        assert (profile["height"], profile["width"], profile["nodata"]) == (SIZE, SIZE, None)
        assert profile["crs"].to_epsg() == CITIES["Rio"].epsg and profile["transform"] == profiles[0]["transform"]
    assert profiles[0]["transform"].a == 0.5


def test_footprints_are_numbered_valid_and_lie_in_the_scene(folder):
    info, _, outlines, (ids, heights) = pyogrio.raw.read(folder / FOOTPRINTS)
    geometry = shapely.from_wkb(outlines)
    with rasterio.open(folder / "rgb.tif") as file:
        whole = shapely.box(*file.bounds)
    assert rasterio.crs.CRS.from_user_input(info["crs"]).to_epsg() == CITIES["Rio"].epsg
    assert ids.tolist() == list(range(1, len(geometry) + 1)) and len(geometry) > 40 and heights.min() >= 2.5
    assert shapely.is_valid(geometry).all() and shapely.within(geometry, whole.buffer(1e-6)).all()


def test_heights_stand_where_the_footprints_are(folder):
    """Independent of the generator's masks: the height model, sampled at points well inside and at points far outside."""
    dsm, _, profile = read(folder / "dsm.tif")
    inside = np.array([p.point_on_surface().coords[0] for p in polygons(folder) if p.area > 60])
    columns, rows = np.floor(~profile["transform"] * inside.T).astype(int)
    assert np.mean(dsm[0, rows, columns] > 2) > 0.85  # some are unsurveyed
    free = shapely.union_all(polygons(folder)).buffer(5)
    xs, ys = profile["transform"] * (np.random.default_rng(0).uniform(0, SIZE, (2, 4000)))
    outside = ~shapely.contains_xy(free, xs, ys)
    columns, rows = np.floor(~profile["transform"] * np.array([xs[outside], ys[outside]])).astype(int)
    assert len(rows) > 400 and np.mean(dsm[0, rows, columns] == 0) > 0.6  # trees stand there, too


def test_a_hall_is_wider_than_a_window_and_nothing_stands_in_it(folder):
    geometry = polygons(folder)
    areas = shapely.area(geometry)
    hall = geometry[areas.argmax()]
    assert areas.max() > 5 * np.sort(areas)[-2]
    left, bottom, right, top = hall.bounds
    assert min(right - left, top - bottom) > 128 * 0.5 and right - left < 2 * HALL_PX[1] * 0.5
    others = np.delete(geometry, areas.argmax())
    assert not shapely.intersects(others, hall).any()


def test_a_scene_has_rows_that_share_walls_and_courtyards(folder):
    geometry = polygons(folder)
    tree = shapely.STRtree(geometry)
    one, other = tree.query(geometry, predicate="dwithin", distance=0.05)
    assert np.count_nonzero(one < other) > 5
    assert sum(len(part.interiors) for shape in geometry for part in shapely.get_parts(shape)) > 2


def test_what_is_drawn_in_a_window_is_what_is_drawn_in_the_whole_scene():
    rng = np.random.default_rng(5)
    for kind in ("rectangle", "l", "u", "courtyard", "round", "parts") * 20:
        outline = clip(
            move(draw_shape(rng, kind, *rng.uniform(15, 38, 2)), rng.uniform(0, 3), tuple(rng.uniform(0, 200, 2))), 200
        )
        window, whole = window_around(outline.rings, 200, 8), (slice(0, 200), slice(0, 200))
        if outline.rings:
            for draw in (lambda w, o=outline: rasterize(o, w), lambda w, o=outline: fill(o.rings, w)):
                full = draw(whole)
                np.testing.assert_array_equal(draw(window), full[window])
                assert full.sum() == full[window].sum()


def test_houses_of_a_big_scene_keep_the_distance_that_those_of_tiles_keep():
    scene = make_scene(np.random.default_rng(1), 512, CITIES["Berlin"], SceneStyle(), halls=1)
    label = np.zeros((512, 512), int)
    near = np.zeros((512, 512), bool)
    for number, building in enumerate(scene.buildings, start=1):
        assert not (label[building.window][building.mask]).any()
        if building.footprint.kind != "row":
            assert not near[building.window][building.mask].any()
        label[building.window][building.mask] = number
        rows, columns = np.nonzero(label == number)
        near[max(rows.min() - 3, 0) : rows.max() + 4, max(columns.min() - 3, 0) : columns.max() + 4] |= _within(
            label == number, 3
        )[max(rows.min() - 3, 0) : rows.max() + 4, max(columns.min() - 3, 0) : columns.max() + 4]
    assert len(scene.buildings) > 60


def _within(mask, reach):
    padded = np.pad(mask, reach)
    moves = range(2 * reach + 1)
    return np.logical_or.reduce([padded[y : y + 512, x : x + 512] for y in moves for x in moves])


def test_sensors_in_pixels_of_their_own_see_the_same_town(folder, tmp_path):
    grids = {"sar": SensorGrid(resolution=2.0, crs="EPSG:3857"), "dsm": SensorGrid(cover=0.5, holes=3)}
    write_scene(tmp_path, size=SIZE, seed=SEED, halls=1, grids=grids)
    assert (tmp_path / "rgb.tif").read_bytes() == (folder / "rgb.tif").read_bytes()
    dsm, valid, profile = read(tmp_path / "dsm.tif")
    whole, _, place = read(folder / "dsm.tif")
    assert dsm.shape == (1, SIZE, SIZE // 2) and profile["transform"] == place["transform"] and profile["nodata"] == -9999
    assert 0.5 < valid.mean() < 1 and (dsm[0][valid] == whole[0, :, : SIZE // 2][valid]).all()
    sar, valid, profile = read(tmp_path / "sar.tif")
    whole, _, place = read(folder / "sar.tif")
    assert profile["crs"].to_epsg() == 3857 and profile["transform"].a == 2.0 and not valid.all()
    # The mean of 2 m (1.85 m on the ground of Rio) is the mean of the pixels of 0.5 m around the same place.
    rows, columns = (side[::37] for side in np.nonzero(valid[5:-5, 5:-5]))
    rows, columns = rows + 5, columns + 5
    xs, ys = profile["transform"] * np.array([columns + 0.5, rows + 0.5])
    xs, ys = transform_points(profile["crs"], place["crs"], xs, ys)
    at, down = np.floor(~place["transform"] * np.array([xs, ys])).astype(int)
    around = np.array([whole[0, max(y - 2, 0) : y + 2, max(x - 2, 0) : x + 2].mean() for x, y in zip(at, down)])
    assert len(around) > 50 and np.corrcoef(np.log(around), np.log(sar[0, rows, columns]))[0, 1] > 0.9


def test_the_same_seed_gives_the_same_bytes_and_a_second_run_does_nothing(tmp_path):
    for name, seed in (("one", 3), ("two", 3), ("other", 4)):
        assert write_scene(tmp_path / name, size=128, seed=seed)
    for name in (*(f"{sensor}.tif" for sensor in SENSORS), "synthetic.json"):
        one, two, other = ((tmp_path / place / name).read_bytes() for place in ("one", "two", "other"))
        assert one == two != other
    assert not write_scene(tmp_path / "one", size=128, seed=3)
    with pytest.raises(FileExistsError, match="seed was 3, now 4.*--overwrite"):
        write_scene(tmp_path / "one", size=128, seed=4)
    assert write_scene(tmp_path / "one", size=128, seed=4, overwrite=True)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"size": 32}, "size=32.*64 px or more"),
        ({"seed": -1}, "seed=-1"),
        ({"halls": -1}, "halls=-1"),
        ({"city": "Atlantis"}, "no city 'Atlantis'.*Berlin"),
        ({"grids": {"s2": SensorGrid()}}, r"no sensors \['s2'\].*rgb, sar, dsm"),
    ],
)
def test_what_cannot_be_written_is_named_before_anything_is(wrong, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        write_scene(tmp_path / "new", **{"size": 128, **wrong})
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"crs": "EPSG:3035"}, "takes a resolution"),
        ({"resolution": 0}, "resolution=0"),
        ({"cover": 0}, "cover=0"),
        ({"cover": 1.5}, "cover=1.5"),
        ({"holes": -1}, "holes=-1"),
        ({"resolution": 2, "crs": "EPSG:0"}, "'EPSG:0' is no coordinate system"),
    ],
)
def test_a_sensor_that_cannot_be_is_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        SensorGrid(**wrong)


def test_command(tmp_path, capsys):
    command = ["--layout", "scene", "--size", "128", "--output", str(tmp_path)]
    assert synthetic.main([*command, "--sensor", "sar:resolution=2,crs=EPSG:3857", "--sensor", "dsm:cover=0.5,holes=2"]) == 0
    made_with = json.loads((tmp_path / "synthetic.json").read_text())["parameters"]["grids"]
    assert made_with["sar"] == {"resolution": 2.0, "crs": "EPSG:3857", "cover": 1.0, "holes": 0}
    assert made_with["dsm"] == {"resolution": None, "crs": None, "cover": 0.5, "holes": 2}
    for wrong, message in (
        (["--sensor", "sar:size=3"], "expected NAME:KEY=VALUE"),
        (["--sensor", "sar:holes=many"], "expected NAME:KEY=VALUE"),
        (["--sensor", "sar:holes=1", "--sensor", "sar:holes=2"], "names 'sar' twice"),
    ):
        assert synthetic.main([*command, *wrong]) == 2 and message in capsys.readouterr().err
    for wrong in (["--num-train", "3"], ["--num-workers", "1"]):
        with pytest.raises(SystemExit):
            synthetic.main([*command, *wrong])
    with pytest.raises(SystemExit):
        synthetic.main(["--layout", "dfc2023", "--output", str(tmp_path), "--sensor", "sar:holes=1"])
