"""Rasters of any grid on one grid: the same pixels whatever the window, each at its place on the ground."""

import numpy as np
import pytest
import rasterio
import shapely
from rasterio.crs import CRS
from rasterio.transform import from_origin

from imrsf_d2.inference import scene_reading
from imrsf_d2.inference.scene import find_files, open_scene
from imrsf_d2.inference.windows import Window, WindowGrid
from imrsf_d2.modalities import Modality, ModalitySet
from tests.inference.scene_files import (
    DEGREES,
    LEFT,
    OTHER_UTM,
    TOP,
    TURNED,
    UTM,
    centers,
    landscape,
    write,
    write_landscape,
)

MODALITIES = ModalitySet([Modality("fine", 1), Modality("coarse", 1), Modality("dem", 1)])


def read_all(scene, size=64, overlap=16):
    """The whole scene from its windows; each pixel must be the same in all of them."""
    image = np.full((MODALITIES.num_channels, *scene.grid.shape), np.nan, dtype=np.float32)
    for window in WindowGrid(*scene.grid.shape, size, overlap):
        part = scene.read(window)
        if part is None:
            part = np.zeros((MODALITIES.num_channels, size, size), dtype=np.float32)
        there = np.s_[
            :, window.top : min(window.bottom, scene.grid.height), window.left : min(window.right, scene.grid.width)
        ]
        inner = part[:, : image[there].shape[1], : image[there].shape[2]]
        seen = ~np.isnan(image[there])
        np.testing.assert_array_equal(image[there][seen], inner[seen])
        image[there] = inner
    return image


def whole(scene):
    """The scene as one window."""
    size = max(scene.grid.shape)
    return scene.read(Window(0, 0, 0, size))[:, : scene.grid.height, : scene.grid.width]


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    """So that the windows of small scenes lie across tiles, of which few are kept."""
    monkeypatch.setattr(scene_reading, "TILE_PX", 48)
    monkeypatch.setattr(scene_reading, "CACHE_BYTES", 10 * 4 * MODALITIES.num_channels * 48**2)


@pytest.mark.parametrize("crs, resolution", [(UTM, 3.3), (OTHER_UTM, 2.5), (OTHER_UTM, 0.4), (DEGREES, 4e-5)], ids=str)
def test_windows_are_parts_of_the_whole_to_the_bit(tmp_path, crs, resolution):
    write_landscape(tmp_path / "fine.tif", 1.0, 150, 170)
    meters = resolution if resolution > 0.01 else 4.0
    # Noise, so that any difference of a kernel shows.
    path = write_landscape(tmp_path / "coarse.tif", resolution, int(170 / meters), int(190 / meters), crs, LEFT + 5, TOP - 3)
    with rasterio.open(path, "r+") as file:
        file.write(np.random.default_rng(0).random((1, file.height, file.width), dtype=np.float32))
    scene = open_scene(MODALITIES, {"fine": [str(tmp_path / "fine.tif")], "coarse": [str(path)]}, reference="fine")
    np.testing.assert_array_equal(read_all(scene), whole(scene))


def test_sensors_in_three_systems_and_resolutions_show_the_same_places(tmp_path):
    files = {
        "fine": [str(write_landscape(tmp_path / "fine.tif", 0.5, 400, 400))],
        "coarse": [str(write_landscape(tmp_path / "coarse.tif", 10.0, 60, 60, OTHER_UTM, LEFT - 100, TOP + 100))],
        "dem": [str(write_landscape(tmp_path / "dem.tif", 3e-5, 150, 260, DEGREES, LEFT - 50, TOP + 50))],
    }
    scene = open_scene(MODALITIES, files)
    assert scene.grid.shape == (400, 400) and scene.grid.crs == UTM  # of the finest
    image = whole(scene)
    expected = landscape(*centers(scene.grid.transform, 400, 400))
    # The slope is up to 0.15 m per meter: a tenth of a coarse pixel is 0.15 m, of a fine one 0.0075 m.
    for name, tolerance in (("fine", 1e-4), ("dem", 0.03), ("coarse", 0.3)):
        valid = image[MODALITIES.validity(name)] > 0
        assert valid.all()
        assert np.abs(image[MODALITIES.bands(name)][0] - expected).max() < tolerance, name


def test_a_sensor_that_covers_half_is_valid_there_alone_and_a_missing_one_nowhere(tmp_path):
    write_landscape(tmp_path / "fine.tif", 1.0, 100, 120)
    write_landscape(tmp_path / "dem.tif", 1.0, 100, 60)
    scene = open_scene(
        MODALITIES, {"fine": [str(tmp_path / "fine.tif")], "dem": [str(tmp_path / "dem.tif")]}, reference="fine"
    )
    image = read_all(scene)
    valid = image[MODALITIES.validity("dem")] > 0
    assert valid[:, :60].all() and not valid[:, 60:].any()
    assert not image[MODALITIES.validity("coarse")].any()


def test_several_files_are_one_sensor_and_the_first_with_data_counts(tmp_path):
    values = np.arange(100 * 120, dtype=np.float32).reshape(100, 120)
    write(tmp_path / "s/a.tif", values[:, :70], from_origin(LEFT, TOP, 1, 1), nodata=3.0)
    write(tmp_path / "s/b.tif", values[:, 50:], from_origin(LEFT + 50, TOP, 1, 1))
    write(tmp_path / "s/c.tif", np.full((100, 120), -5, np.float32), from_origin(LEFT, TOP, 1, 1))
    scene = open_scene(MODALITIES, {"fine": find_files(tmp_path / "s")})
    assert scene.grid.shape == (100, 120)
    found = whole(scene)[MODALITIES.bands("fine")][0]
    expected = values.copy()
    expected[0, 3] = -5  # no data in the first; the last file has it
    np.testing.assert_array_equal(found, expected)


def test_a_window_where_no_sensor_has_data_is_none(tmp_path):
    values = np.full((64, 200), -1, dtype=np.float32)
    values[:, :10] = 7
    write(tmp_path / "fine.tif", values, from_origin(LEFT, TOP, 1, 1), nodata=-1)
    scene = open_scene(MODALITIES, {"fine": [str(tmp_path / "fine.tif")]})
    assert scene.read(Window(0, 0, 0, 64)) is not None and scene.read(Window(1, 0, 100, 64)) is None


def test_turned_pixels_are_a_map_as_well(tmp_path):
    write(tmp_path / "fine.tif", np.arange(6400, dtype=np.float32).reshape(80, 80), TURNED)
    write_landscape(tmp_path / "dem.tif", 2.0, 100, 100, left=LEFT - 50, top=TOP + 50)
    scene = open_scene(
        MODALITIES, {"fine": [str(tmp_path / "fine.tif")], "dem": [str(tmp_path / "dem.tif")]}, reference="fine"
    )
    image = read_all(scene)
    np.testing.assert_array_equal(image[0], np.arange(6400).reshape(80, 80))
    expected = landscape(*centers(TURNED, 80, 80))
    assert np.abs(image[MODALITIES.bands("dem")][0] - expected).max() < 0.1


def test_the_map_can_have_its_own_system_resolution_and_bounds(tmp_path):
    write_landscape(tmp_path / "fine.tif", 0.5, 200, 200)
    files = {"fine": [str(tmp_path / "fine.tif")]}
    assert open_scene(MODALITIES, files, resolution=2.0).grid.shape == (50, 50)
    part = open_scene(MODALITIES, files, bounds=(LEFT + 10, TOP - 30, LEFT + 20.2, TOP - 10))
    assert part.grid.shape == (40, 21) and part.grid.bounds[:2] == (LEFT + 10, TOP - 30)
    moved = open_scene(MODALITIES, files, crs=OTHER_UTM, resolution=1.0)
    assert moved.grid.crs == OTHER_UTM and 100 <= moved.grid.height <= 120
    with pytest.raises(ValueError, match="takes a resolution"):
        open_scene(MODALITIES, files, crs=OTHER_UTM)
    with pytest.raises(ValueError, match="holds no pixel of the map"):
        open_scene(MODALITIES, files, bounds=(0, 0, 1, 1))


MERCATOR = CRS.from_epsg(3857)


@pytest.mark.parametrize("crs, side", [(MERCATOR, 13.0), (CRS.from_epsg(3395), 13.0), (DEGREES, 8e-5)], ids=str)
def test_the_finest_sensor_is_that_on_the_ground_whatever_a_map_calls_a_meter(tmp_path, crs, side):
    """At 52.35 degrees north, a meter of a Mercator map is 0.61 m: 13 of them are 7.9 m."""
    files = {
        "fine": [str(write_landscape(tmp_path / "fine.tif", 10.0, 90, 90, left=LEFT - 100, top=TOP + 100))],
        "dem": [str(write_landscape(tmp_path / "dem.tif", side, 60, 60, crs))],
    }
    assert open_scene(MODALITIES, files).grid.crs == crs
    files["fine"] = [str(write_landscape(tmp_path / "finer.tif", 6.0, 150, 150, left=LEFT - 100, top=TOP + 100))]
    assert open_scene(MODALITIES, files).grid.crs == UTM
    with pytest.raises(ValueError, match=r"resolution is 10000 in EPSG:3857, about 6\.1\de\+03 m on the ground"):
        open_scene(MODALITIES, files, crs=MERCATOR, resolution=10_000.0)


@pytest.mark.parametrize("crs, side", [(MERCATOR, 10.0), (DEGREES, 1e-4)], ids=str)
def test_of_sensors_with_the_same_pixels_the_one_with_most_is_the_finest_wherever_they_lie(tmp_path, crs, side):
    large = write(
        tmp_path / "large.tif", np.ones((900, 500), np.float32), from_origin(0, 700 * side * 1000, side, side), crs
    )
    top = 700 * side * 1000 + 300 * side  # its middle is farther north
    small = write(tmp_path / "small.tif", np.ones((600, 500), np.float32), from_origin(0, top, side, side), crs)
    scene = open_scene(MODALITIES, {"fine": [str(large)], "dem": [str(small)]})
    assert scene.grid.shape == (900, 500)


def test_what_cannot_be_is_said(tmp_path):
    near = str(write_landscape(tmp_path / "near.tif", 1.0, 50, 50))
    far = str(write_landscape(tmp_path / "far.tif", 1.0, 50, 50, left=LEFT + 9000))
    with pytest.raises(ValueError, match=r"do not overlap.*fine: x 500000 to 500050.*dem: x 509000"):
        open_scene(MODALITIES, {"fine": [near], "dem": [far]}, reference="fine")
    with pytest.raises(ValueError, match="the scene names the unknown modality 'lidar'"):
        open_scene(MODALITIES, {"lidar": [near]})
    with pytest.raises(ValueError, match="no sensor"):
        open_scene(MODALITIES, {})
    with pytest.raises(ValueError, match="the reference is 'dem'"):
        open_scene(MODALITIES, {"fine": [near]}, reference="dem")
    with pytest.raises(FileNotFoundError, match="names no raster"):
        find_files(tmp_path / "nothing*.tif")


def test_a_file_without_a_system_takes_one_by_hand(tmp_path):
    path = write(tmp_path / "fine.tif", np.ones((50, 50), np.float32), from_origin(LEFT, TOP, 1, 1), crs=None)
    with pytest.raises(ValueError, match="--assume-crs"):
        open_scene(MODALITIES, {"fine": [str(path)]})
    scene = open_scene(MODALITIES, {"fine": [str(path)]}, assume_crs=CRS.from_epsg(32633))
    assert scene.grid.crs == UTM and whole(scene)[0].mean() == 1


def test_each_set_of_sensors_covers_its_share_of_the_map(tmp_path):
    write(tmp_path / "rgb.tif", np.ones((3, 100, 100), np.uint8), from_origin(LEFT, TOP, 1, 1))
    write(tmp_path / "sar.tif", np.ones((100, 60), np.float32), from_origin(LEFT, TOP, 1, 1))
    write(tmp_path / "dsm.tif", np.ones((50, 100), np.float32), from_origin(LEFT, TOP, 1, 1))
    modalities = ModalitySet([Modality("sar", 1), Modality("rgb", 3), Modality("dsm", 1)])
    files = {name: [str(tmp_path / f"{name}.tif")] for name in modalities.names}
    scene = open_scene(modalities, files, reference="rgb")
    expected = {("sar", "rgb", "dsm"): 0.3, ("sar", "rgb"): 0.3, ("rgb", "dsm"): 0.2, ("rgb",): 0.2}
    assert scene.coverages() == pytest.approx(expected)
    half = open_scene(modalities, files, reference="rgb", area=shapely.box(LEFT, TOP - 50, LEFT + 100, TOP))
    assert half.coverages() == pytest.approx({("sar", "rgb", "dsm"): 0.6, ("rgb", "dsm"): 0.4})
