"""Which files are one place, and which of other sensors' files show it."""

import numpy as np
import pytest
import shapely
from rasterio.crs import CRS
from rasterio.warp import transform

from imrsf_d2.geo.gdal import OpenFiles
from imrsf_d2.geo.grids import Grid
from imrsf_d2.inference.scene_files import look_at, side_by_side
from imrsf_d2.preparation.tiles.nearby import Nearby
from imrsf_d2.preparation.tiles.pixels import read_pixels
from imrsf_d2.preparation.tiles.plan import _Files
from imrsf_d2.preparation.tiles.scenes import GridOptions, find_scenes
from imrsf_d2.preparation.tiles.sensors import SensorOptions, describe_sensors
from tests.preparation.tiles.places import LEFT, TOP, place
from tests.raster_files import write_raster_file

SIDE = 40


def scenes_of(folder, files, tile=16, **options):
    """The scenes of files: sensor/name -> place; and the names of each one's files."""
    for name, where in files.items():
        write_raster_file(folder / f"{name}.tif", np.ones((SIDE, SIDE), np.uint8), **where)
    sensors = dict.fromkeys(name.split("/")[0] for name in files)
    sources = describe_sensors({name: str(folder / name) for name in sensors}, SensorOptions())
    found = find_scenes(sources, GridOptions(tile, reference="a", **options))
    return found, [
        {name: [file.path.rsplit("/", 1)[1][:-4] for file in of_sensor] for name, of_sensor in scene.sensors.items()}
        for scene in found
    ]


@pytest.mark.parametrize(
    "where, together",
    [
        (place(left=LEFT + SIDE), True),  # side by side
        (place(left=LEFT + SIDE + 15), True),  # less than a tile between them
        (place(left=LEFT + SIDE + 17), False),
        (place(left=LEFT + SIDE + 0.4), False),  # side by side on other pixels: both are copied
        (place(left=LEFT + SIDE - 10.4), True),  # the same ground twice on other pixels
        (place(left=LEFT + SIDE, pixel=0.5), False),
        (place(crs="EPSG:25833", left=LEFT + SIDE), False),
    ],
)
def test_files_are_one_place_if_they_lie_together(where, together, tmp_path):
    found, names = scenes_of(tmp_path, {"a/1": place(), "a/2": where})
    assert names == ([{"a": ["1", "2"]}] if together else [{"a": ["1"]}, {"a": ["2"]}])
    assert [scene.name for scene in found] == (["1"] if together else ["1", "2"])


def test_a_chain_of_files_is_one_place_whatever_their_order(tmp_path):
    files = {f"a/{i}": place(left=LEFT + SIDE * step) for i, step in enumerate((0, 4, 2, 3, 1))}
    found, names = scenes_of(tmp_path, files)
    assert names == [{"a": ["0", "1", "2", "3", "4"]}] and found[0].grid.shape == (SIDE, 5 * SIDE)


def test_other_sensors_belong_to_each_place_that_they_show(tmp_path):
    files = {"a/1": place(), "a/2": place(left=LEFT + 200), "a/3": place(top=TOP + 9000)}
    wide = place(crs="EPSG:32634", left=-95000.0, top=TOP + 80000, pixel=4000)  # in the next zone, around all of them
    files |= {"b/two": place(left=LEFT - 10, pixel=10), "b/all": wide, "c/third": files["a/3"]}
    _, names = scenes_of(tmp_path, files)
    assert [sorted(of_scene) for of_scene in names] == [["a", "b"], ["a", "b"], ["a", "b", "c"]]
    assert names[0]["b"] == names[1]["b"] == ["all", "two"] and names[2]["b"] == ["all"]


def test_a_grid_of_ones_own_is_over_each_place(tmp_path):
    files = {"a/1": place(), "a/2": place(crs="EPSG:32632", left=LEFT)}
    found, _ = scenes_of(tmp_path, files, crs="EPSG:3857", resolution=5.0)
    assert [scene.grid.crs for scene in found] == [CRS.from_epsg(3857)] * 2
    assert all(scene.grid.transform.c % 5 == 0 and scene.grid.transform.a == 5 for scene in found)


def test_nearby_misses_no_grid():
    rng = np.random.default_rng(0)
    grids = []
    for _ in range(300):
        code = int(rng.choice([32632, 32633, 32733, 3857, 4326, 3035]))
        longitude, latitude = rng.uniform(8, 16), rng.uniform(-2, 2) if code == 32733 else rng.uniform(45, 49)

        (x,), (y,) = transform("EPSG:4326", f"EPSG:{code}", [longitude], [latitude])
        pixel = 0.001 if code == 4326 else 100.0
        grids.append(Grid.north_up(CRS.from_epsg(code), x, y, pixel, int(rng.integers(10, 600)), int(rng.integers(10, 600))))
    nearby = Nearby(grids)
    checked = 0
    for grid in grids[:60]:
        found = set(nearby.of(grid))
        meeting = {i for i, other in enumerate(grids) if grid.meets(other)}
        assert meeting <= found
        checked += len(meeting) > 1
    assert checked > 20 and np.mean([len(nearby.of(grid)) for grid in grids]) < 100


def test_nearby_goes_around_the_world():
    crs = CRS.from_epsg(4326)
    east, west, far = (Grid.north_up(crs, left, 1.0, 0.01, 50, 50) for left in (179.8, -180.0, 0.0))
    assert Nearby([west, far]).of(east) == [0] and Nearby([east, far]).of(west) == [0]
    pole = Grid.north_up(CRS.from_epsg(3413), -1e5, 1e5, 1e3, 200, 200)
    assert Nearby([east, pole]).of(far) == [1] and Nearby([east, far]).of(pole) == [0, 1]


@pytest.mark.parametrize("left", [-180.0, -180.0 - SIDE // 2 * 0.001, 180.0 - SIDE // 2 * 0.001])
def test_degrees_beyond_180_are_those_from_minus_180(left, tmp_path):
    reaching_beyond = place("EPSG:4326", 180 - SIDE // 2 * 0.001, 0.0, 0.001)
    _, names = scenes_of(tmp_path, {"a/1": reaching_beyond, "b/2": place("EPSG:4326", left, 0.0, 0.001)})
    assert names == [{"a": ["1"], "b": ["2"]}]


@pytest.mark.parametrize("kind", ["measurements", "classes"])
def test_a_sensor_beyond_180_degrees_is_read_onto_pixels_before_it(tmp_path, kind):
    """Its pixels are twice as large and begin at -180, where the right half of the scene does."""
    pixel = 1e-4
    scene = place("EPSG:4326", 180 - SIDE // 2 * pixel, 0.0, pixel)
    numbers = np.arange(SIDE, dtype=np.uint8)[None].repeat(SIDE, axis=0) % 20
    path = write_raster_file(tmp_path / "b.tif", numbers, **place("EPSG:4326", -180.0, 0.0, 2 * pixel))
    options = SensorOptions(classes={"b": 20} if kind == "classes" else {})
    source = describe_sensors({"b": str(path)}, options)["b"]
    grid = Grid(SIDE, SIDE, CRS.from_epsg(4326), scene["transform"])
    files = side_by_side({"b": [look_at(str(path), source.modality, None)]}, grid)["b"]
    assert [file.turned for file in files] == [360]
    pixels = read_pixels(source, files, grid, (slice(0, SIDE), slice(0, SIDE)), OpenFiles(2))
    right = np.arange(SIDE) >= SIDE // 2
    assert (pixels.valid == right).all() and (pixels.copied, pixels.resampled) == (0, SIDE * SIDE // 2)
    # The middle of a pixel is a quarter of a large one before or behind the middle of that.
    expected = np.arange(SIDE // 2) // 2 if kind == "classes" else (np.arange(SIDE // 2) - 0.5) / 2
    np.testing.assert_allclose(pixels.stored[0][SIDE // 2, SIDE // 2 + 2 :], expected[2:], atol=1e-4)


def test_last_tiles_hold_nothing_beyond_a_sensor_that_is_almost_on_the_scenes_pixels(tmp_path):
    """A fiftieth of a pixel away it is not copied, and counts as on the same pixels where it is read."""
    values = np.tile(np.arange(1, SIDE + 1, dtype=np.float32), (SIDE, 1))
    for sensor, left in (("a", LEFT), ("b", LEFT + 0.02)):
        write_raster_file(tmp_path / sensor / "1.tif", values, **place(left=left))
    sources = describe_sensors({name: str(tmp_path / name) for name in "ab"}, SensorOptions())
    (scene,) = find_scenes(sources, GridOptions(39, reference="a"))
    for column, inside in ((0, 39), (39, 1)):
        window = (slice(0, 39), slice(column, column + 39))
        for name, source in sources.items():
            pixels = read_pixels(source, scene.sensors[name], scene.grid, window, OpenFiles(2))
            np.testing.assert_array_equal(pixels.valid, np.tile(np.arange(39) < inside, (39, 1)))
            np.testing.assert_allclose(pixels.stored[0, :, :inside], values[:39, column : column + inside], atol=0.021)


def test_a_sensor_counted_from_another_turn_is_in_the_tiles(tmp_path):
    """A scene in longitudes of 0 to 360, and another sensor in the zone that lies there."""
    files = {"a/1": place(crs="EPSG:4326", left=189.0, top=10.0, pixel=1e-4)}
    (easting,), (northing,) = transform("EPSG:4326", "EPSG:32602", [-171.0], [10.0])
    files["b/1"] = place(crs="EPSG:32602", left=easting - 100, top=northing + 100, pixel=30)
    (scene,), names = scenes_of(tmp_path, files)
    assert names == [{"a": ["1"], "b": ["1"]}]
    assert [file.path[-7:] for file in _Files(scene.sensors["b"], scene.grid).meeting(shapely.box(0, 0, SIDE, SIDE))] == [
        "b/1.tif"
    ]
