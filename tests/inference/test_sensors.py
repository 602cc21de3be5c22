"""Whatever a sensor is given as, the scene has the pixels that its file would give."""

import gc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import rasterio
import rasterio.shutil
import torch
from rasterio.crs import CRS
from rasterio.io import MemoryFile
from rasterio.transform import from_origin
from rasterio.vrt import WarpedVRT

from imrsf_d2.inference.opening import open_sensors
from imrsf_d2.inference.sensors import NamedRasters, SceneArray
from imrsf_d2.inference.windows import Window
from imrsf_d2.modalities import Modality, ModalitySet
from tests.inference.scene_files import LEFT, OTHER_UTM, TOP, UTM, write, write_landscape

MODALITIES = ModalitySet([Modality("dsm", 1), Modality("rgb", 3, nodata=0)])
PLACE = from_origin(LEFT, TOP, 0.5, 0.5)


def pixels(given, sensor="dsm", modalities=MODALITIES, **where):
    """What the model sees of all of a scene of one sensor, read in another thread as always."""
    rasters = NamedRasters(modalities, {sensor: given})
    scene = open_sensors(modalities, rasters, **where)
    with ThreadPoolExecutor(1) as reader:
        return reader.submit(scene.read, Window(0, 0, 0, max(scene.grid.shape))).result()


@pytest.fixture
def bands(rng):
    return rng.normal(size=(1, 90, 120)).astype(np.float32)


def memory_file(bands, **profile):
    memory = MemoryFile()
    profile = {"crs": UTM, "transform": PLACE, "dtype": bands.dtype, **profile}
    with memory.open(driver="GTiff", count=len(bands), height=bands.shape[1], width=bands.shape[2], **profile) as file:
        file.write(bands)
    return memory


@pytest.mark.parametrize(
    "kind", ["path", "text", "list", "dataset", "memory", "tuple", "array", "flat", "epsg", "float16", "tensor"]
)
def test_every_way_to_give_a_sensor_reads_the_same_pixels(tmp_path, bands, kind):
    bands = bands.astype(np.float16).astype(np.float32)
    path = write(tmp_path / "dsm.tif", bands, PLACE)
    expected = pixels(str(path))
    assert np.array_equal(expected[0, :90, :120], bands[0]) and expected[4, :90, :120].all()
    with rasterio.open(path) as dataset, memory_file(bands) as memory, memory.open() as held:
        given = {
            "path": path,
            "text": str(tmp_path / "*.tif"),
            "list": [str(path)],
            "dataset": dataset,
            "memory": held,
            "tuple": (bands, PLACE, UTM),
            "array": SceneArray(bands, PLACE, "EPSG:32633"),
            "flat": [(bands[0], PLACE, UTM)],
            "epsg": (bands, PLACE, 32633),
            "tensor": (torch.from_numpy(bands), PLACE, UTM),
            "float16": (bands.astype(np.float16), PLACE, UTM),
        }[kind]
        np.testing.assert_array_equal(pixels(given), expected)
        assert not dataset.closed and not held.closed
        np.testing.assert_array_equal(dataset.read(), bands)


def test_a_mosaic_may_mix_files_datasets_and_arrays(tmp_path, bands):
    whole = pixels((bands, PLACE, UTM))
    left = write(tmp_path / "left.tif", bands[:, :, :50], PLACE)
    middle, right = PLACE * PLACE.translation(50, 0), PLACE * PLACE.translation(90, 0)
    with memory_file(bands[:, :, 50:90], transform=middle) as memory, memory.open() as dataset:
        np.testing.assert_array_equal(pixels([left, dataset, (bands[:, :, 90:], right, UTM)]), whole)


def test_arrays_are_read_by_the_rules_of_files(rng):
    rgb = rng.integers(1, 255, (3, 40, 60)).astype(np.uint8)
    rgb[:, 5:10, 5:10] = 0  # the modality's no-data value, in every band
    rgb[0, 20:25, 20:25] = 0
    expected = np.ones((40, 60), dtype=bool)
    expected[5:10, 5:10] = False
    np.testing.assert_array_equal(pixels((rgb, PLACE, UTM), "rgb")[5, :40, :60] > 0, expected)

    dsm = rng.normal(size=(40, 60))
    dsm[3, 4], dsm[30:, :7] = np.nan, -9999
    seen = pixels((dsm, PLACE, UTM, -9999), "dsm")
    np.testing.assert_array_equal(seen[4, :40, :60] > 0, np.isfinite(dsm) & (dsm != -9999))

    mask = rng.random((1, 40, 60)) < 0.3
    seen = pixels((np.ma.masked_array(np.ones((1, 40, 60), np.int16), mask), PLACE, UTM), "dsm")
    np.testing.assert_array_equal(seen[4, :40, :60] > 0, ~mask[0])


def test_a_dataset_that_is_computed_is_read_as_it_computes(tmp_path):
    path = write_landscape(tmp_path / "dsm.tif", 1.0, 100, 100)
    options = {"crs": OTHER_UTM, "resampling": rasterio.enums.Resampling.nearest, "nodata": -1}
    with rasterio.open(path) as file, WarpedVRT(file, **options) as warped:
        expected = warped.read(1)
        seen = pixels(warped)
        assert path.exists()
    inside = expected != -1
    assert inside.mean() > 0.5
    np.testing.assert_array_equal(seen[4][: expected.shape[0], : expected.shape[1]] > 0, inside)
    np.testing.assert_array_equal(seen[0][: expected.shape[0], : expected.shape[1]][inside], expected[inside])
    gc.collect()
    assert path.exists()  # what was made for it is removed, not its source


def test_a_dataset_opened_with_options_is_not_read_without_them(tmp_path):
    path = write(tmp_path / "dsm.tif", np.kron(np.arange(64.0).reshape(8, 8), np.ones((64, 64))), PLACE)
    with rasterio.open(path, "r+") as file:
        file.build_overviews([4], rasterio.enums.Resampling.nearest)
    with rasterio.open(path, OVERVIEW_LEVEL=0) as dataset:
        assert dataset.shape == (128, 128)
        np.testing.assert_array_equal(pixels(dataset)[0], dataset.read(1))


RADAR = ModalitySet([Modality("sar", bands=("VV",))])


def test_bands_of_an_array_are_picked_by_name(rng):
    bands = rng.random((2, 40, 60)).astype(np.float32)
    seen = pixels(SceneArray(bands, PLACE, UTM, bands=["vh", "vv"]), "sar", RADAR)
    np.testing.assert_array_equal(seen[0, :40, :60], bands[1])
    for names in (["vv"], "vv"):
        with pytest.raises(ValueError, match=r"the bands of 'sar' are .*vv.*, expected a list of 2, the name of each"):
            pixels(SceneArray(bands, PLACE, UTM, bands=names), "sar", RADAR)


def test_a_dataset_whose_file_has_got_other_band_names_is_read_as_it_was_opened(tmp_path, rng):
    path, bands = tmp_path / "sar.tif", rng.random((2, 40, 60)).astype(np.float32)

    def put(names):
        write(tmp_path / "new.tif", bands, PLACE)
        with rasterio.open(tmp_path / "new.tif", "r+") as file:
            file.descriptions = names
        (tmp_path / "new.tif").replace(path)

    put(("VV", "VH"))
    with rasterio.open(path) as dataset:
        put(("VH", "VV"))
        np.testing.assert_array_equal(pixels(dataset, "sar", RADAR)[0, :40, :60], bands[0])


def test_memory_is_free_again_when_nobody_needs_it():
    rasters = NamedRasters(MODALITIES, {"dsm": (np.zeros((8, 8), np.float32), PLACE, UTM)})
    (name,) = rasters.names["dsm"]
    assert rasterio.shutil.exists(name)
    del rasters
    assert not rasterio.shutil.exists(name)


def test_a_missing_sensor_may_be_none(bands):
    assert list(NamedRasters(MODALITIES, {"dsm": (bands, PLACE, UTM), "rgb": None}).names) == ["dsm"]


def test_an_array_without_a_system_takes_the_assumed_one(bands):
    rasters = NamedRasters(MODALITIES, {"dsm": (bands, PLACE, None)})
    with pytest.raises(ValueError, match="dsm.tif does not say which coordinate system"):
        open_sensors(MODALITIES, rasters)
    scene = open_sensors(MODALITIES, rasters, assume_crs=32633)
    assert scene.grid.crs == UTM
    np.testing.assert_array_equal(scene.read(Window(0, 0, 0, 128))[0, :90, :120], bands[0])


@pytest.mark.parametrize(
    "given, message",
    [
        (3, "'dsm' is given as int, expected a file name"),
        ([], "'dsm' is an empty list"),
        ((np.zeros(5), PLACE, UTM), r"array of shape \(5,\), expected \[C, H, W\]"),
        ((np.zeros((0, 5)), PLACE, UTM), "with a pixel"),
        ((np.zeros((4, 5)), PLACE), "comes with 1 more items"),
        ((np.zeros((4, 5)), (0, 1, 0, 0, 0, 1), UTM), "is tuple, expected an Affine"),
        ((np.zeros((4, 5)), PLACE, "EPSG:nowhere"), "the crs of 'dsm' is 'EPSG:nowhere'"),
        ((np.zeros((4, 5), np.uint8), PLACE, UTM, -9999), "array of uint8, nodata -9999"),
        ((np.array([["a"]]), PLACE, UTM), "'dsm' is an array of"),
        ((np.zeros((2, 4, 5)), PLACE, UTM), "2 bands, expected 1"),
    ],
)
def test_what_is_no_sensor_is_said(given, message):
    with pytest.raises(ValueError, match=message):
        pixels(given)


def test_datasets_that_are_closed_or_written_to_are_refused(tmp_path, bands):
    path = write(tmp_path / "dsm.tif", bands, PLACE)
    with rasterio.open(path) as dataset:
        pass
    with pytest.raises(ValueError, match="of 'dsm' is closed"):
        NamedRasters(MODALITIES, {"dsm": dataset})
    with (
        rasterio.open(path, "r+") as dataset,
        pytest.raises(ValueError, match="DatasetWriter, expected .* open for reading"),
    ):
        NamedRasters(MODALITIES, {"dsm": dataset})


def test_crs_is_what_rasterio_takes(bands):
    scene = open_sensors(MODALITIES, NamedRasters(MODALITIES, {"dsm": (bands, PLACE, UTM)}), crs="EPSG:32632", resolution=1)
    assert scene.grid.crs == CRS.from_epsg(32632)
    with pytest.raises(ValueError, match="the crs is 'EPSG:0'"):
        open_sensors(MODALITIES, NamedRasters(MODALITIES, {"dsm": (bands, PLACE, UTM)}), crs="EPSG:0")
