import tracemalloc

import numpy as np
import pytest
import rasterio
from rasterio.crs import CRS
from rasterio.transform import from_origin

from imrsf_d2.inference.coarse import coarse_scene, read_whole
from imrsf_d2.inference.scene import open_scene
from imrsf_d2.modalities import Modality, ModalitySet
from tests.inference.scene_files import DEGREES, LEFT, TOP, UTM, centers, landscape, write, write_landscape

MERCATOR = CRS.from_epsg(3857)
MODALITIES = ModalitySet([Modality("fine", 1), Modality("dem", 1), Modality("cover", 1, classes=3)])


def test_a_small_scene_is_itself(tmp_path):
    scene = open_scene(MODALITIES, {"fine": [str(write_landscape(tmp_path / "fine.tif", 0.5, 60, 80))]})
    assert coarse_scene(scene, 80) is scene and read_whole(scene).shape == (6, 60, 80)


@pytest.mark.parametrize("crs, resolution", [(UTM, 5.0), (DEGREES, 5e-5)])
def test_a_large_scene_shows_the_same_ground_in_fewer_pixels(tmp_path, crs, resolution):
    values = np.kron(np.arange(600).reshape(20, 30) % 3, np.ones((40, 40)))
    write_landscape(tmp_path / "fine.tif", 0.5, 800, 1200)
    write_landscape(tmp_path / "dem.tif", resolution, 100, 200, crs=crs, left=LEFT - 10, top=TOP + 10)
    write(tmp_path / "cover.tif", values.astype(np.uint8), from_origin(LEFT, TOP, 0.5, 0.5))
    scene = open_scene(MODALITIES, {name: [str(tmp_path / f"{name}.tif")] for name in MODALITIES.names}, reference="fine")
    coarse = coarse_scene(scene, 300)
    assert coarse.grid.shape == (200, 300) and coarse.grid.bounds == pytest.approx(scene.grid.bounds)
    image = read_whole(coarse)
    xs, ys = centers(coarse.grid.transform, 200, 300)
    assert np.abs(image[MODALITIES.bands("fine")][0] - landscape(xs, ys)).max() < 0.05
    assert np.abs(image[MODALITIES.bands("dem")][0] - landscape(xs, ys)).max() < 1.0
    np.testing.assert_array_equal(image[MODALITIES.bands("cover")][0], values[::4, ::4])
    assert image[3:].min() == 1


@pytest.mark.parametrize("name", ["a map & more.tif", "what?.tif"])
def test_any_file_name_will_do(tmp_path, name):
    scene = open_scene(MODALITIES, {"fine": [str(write_landscape(tmp_path / name, 0.5, 400, 400))]})
    coarse = coarse_scene(scene, 100)
    xs, ys = centers(coarse.grid.transform, 100, 100)
    assert np.abs(read_whole(coarse)[0] - landscape(xs, ys)).max() < 0.05


def test_a_file_that_is_told_its_system_is_read_in_fewer_pixels_too(tmp_path):
    path = write(tmp_path / "fine.tif", np.ones((400, 400), np.float32), from_origin(LEFT, TOP, 0.5, 0.5), crs=None)
    scene = open_scene(MODALITIES, {"fine": [str(path)]}, assume_crs=UTM)
    coarse = coarse_scene(scene, 100)
    assert coarse.sensors["fine"][0].grid.shape == (100, 100) and read_whole(coarse)[0].mean() == 1


@pytest.mark.parametrize("crs, turn", [(DEGREES, 360.0), (MERCATOR, 2 * np.pi * 6378137)], ids=str)
def test_files_on_both_sides_of_180_degrees_are_neighbors_in_fewer_pixels_too(tmp_path, crs, turn):
    """A map that ends at 180 degrees and goes on at -180, in files of either side."""
    side = turn / 360 * 1e-5
    columns = np.arange(800, dtype=np.float32)[None].repeat(400, axis=0)
    west = write(tmp_path / "west.tif", columns[:, :400], from_origin(turn / 2 - 400 * side, 0, side, side), crs)
    east = write(tmp_path / "east.tif", columns[:, 400:], from_origin(-turn / 2, 0, side, side), crs)
    scene = open_scene(MODALITIES, {"fine": [str(west), str(east)]})
    assert scene.grid.shape == (400, 800) and scene.sensors["fine"][1].turned == pytest.approx(turn)
    coarse = coarse_scene(scene, 100)
    assert [file.grid.shape for file in coarse.sensors["fine"]] == [(50, 50)] * 2
    image = read_whole(coarse)
    assert image[MODALITIES.validity("fine")].all()
    np.testing.assert_allclose(image[0][25], columns[0].reshape(100, 8).mean(axis=1), atol=0.5)


def test_no_data_stays_no_data(tmp_path):
    values = np.ones((1000, 1000), dtype=np.float32)
    values[:, 500:] = -9999
    write(tmp_path / "fine.tif", values, from_origin(LEFT, TOP, 0.5, 0.5), nodata=-9999)
    scene = open_scene(MODALITIES, {"fine": [str(tmp_path / "fine.tif")]})
    image = read_whole(coarse_scene(scene, 100))
    valid = image[MODALITIES.validity("fine")] > 0
    assert valid[:, :50].all() and not valid[:, 50:].any()
    assert (image[0][valid] == 1).all()


def test_memory_follows_the_picture_and_not_the_scene(tmp_path):
    side = 12_000
    profile = {"driver": "GTiff", "count": 1, "height": side, "width": side, "dtype": "float32", "tiled": True}
    with rasterio.open(
        tmp_path / "fine.tif",
        "w",
        crs=UTM,
        transform=from_origin(LEFT, TOP, 0.5, 0.5),
        sparse_ok=True,
        blockxsize=512,
        blockysize=512,
        **profile,
    ):
        pass  # 576 MB of zeros that take no room
    scene = open_scene(MODALITIES, {"fine": [str(tmp_path / "fine.tif")]})
    tracemalloc.start()
    try:
        image = read_whole(coarse_scene(scene, 500))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert image.shape == (6, 500, 500) and most < 40 * 2**20
