"""A sample's sensors as users really have them."""

import numpy as np
import pytest
from rasterio.transform import from_origin

from imrsf_d2.data.reading import SampleReader, assemble
from imrsf_d2.modalities import Modality, ModalitySet

UTM = "EPSG:32631"
RGB = Modality("rgb", 3, mean=(81.0, 87.0, 71.0), nodata=0)
DSM = Modality("dsm", 1, mean=(5.0,))
S2, DEM, MAP = Modality("s2", 1, nodata=0), Modality("dem", 1, mean=(5.0,)), Modality("dnw", classes=9, nodata=255)


def place(pixel_m):
    return {"crs": UTM, "transform": from_origin(500_000, 5_000_000, pixel_m, pixel_m)}


@pytest.fixture
def scene(tmp_path, write_raster):
    """10 m beside 20 m: s2 and the labels are 8 px, the elevation and the map 4 px."""
    files = {
        "s2": write_raster(tmp_path / "s2.tif", np.full((8, 8), 9, np.uint16), **place(10)),
        "dem": write_raster(tmp_path / "dem.tif", np.arange(16, dtype=np.float32).reshape(4, 4), **place(20)),
        "dnw": write_raster(tmp_path / "dnw.tif", np.arange(16, dtype=np.uint8).reshape(4, 4) % 9, **place(20)),
    }
    return {
        "file_name": "s2.tif",
        "height": 8,
        "width": 8,
        "image_id": "Lyon_0000_0000",
        "modalities": {name: str(path) for name, path in files.items()},
    }


def reader(*modalities, align=True, tolerant=False):
    modalities = ModalitySet(modalities)
    return SampleReader(modalities, modalities.names, tolerant=tolerant, align=align)


def test_twenty_meters_beside_ten_are_aligned(scene):
    rasters = reader(S2, DEM, MAP).read(scene, ["s2", "dem", "dnw"])
    assert {name: valid.shape for name, (_, valid) in rasters.items()} == dict.fromkeys(["s2", "dem", "dnw"], (8, 8))
    classes = np.arange(16).reshape(4, 4) % 9
    np.testing.assert_array_equal(rasters["dnw"][0][0], np.kron(classes, np.ones((2, 2))))
    # Half-way between the centers of the coarse pixels 5, 6 and 9, 10 the fine ones lie a quarter off.
    np.testing.assert_allclose(rasters["dem"][0][0, 3:5, 3:5], [[6.25, 6.75], [8.25, 8.75]], atol=1e-4)


def test_the_grid_is_the_references_even_when_that_sensor_is_dropped(scene):
    rasters = reader(S2, DEM, MAP).read(scene, ["dem"])
    assert list(rasters) == ["dem"] and rasters["dem"][1].shape == (8, 8)


def test_the_labels_grid_counts_before_any_sensors(scene, write_raster, tmp_path):
    labels = write_raster(tmp_path / "labels.tif", np.zeros((4, 4), np.uint8), **place(20))
    sample = {**scene, "sem_seg_file_name": str(labels), "height": 4, "width": 4}
    rasters = reader(S2, DEM).read(sample, ["s2", "dem"])
    assert rasters["s2"][1].shape == (4, 4)
    np.testing.assert_array_equal(rasters["dem"][0][0], np.arange(16).reshape(4, 4))


def test_without_align_sizes_that_differ_name_both_files(scene):
    with pytest.raises(
        ValueError,
        match=r"'dem' of image 'Lyon_0000_0000' is 4 x 4 px \(.*dem\.tif\), expected 8 x 8 px "
        r"like 's2' \(.*s2\.tif\)\..*INPUT\.ALIGN True",
    ):
        reader(S2, DEM, align=False).read(scene, ["s2", "dem"])


@pytest.mark.parametrize("fate", ["gone", "corrupt"])
def test_without_the_reference_the_ground_of_another_sensor_is_cut_as_fine(scene, fate, caplog):
    expected = reader(S2, DEM, MAP).read(scene, ["dem"])
    if fate == "gone":
        scene["modalities"]["s2"] = None
    else:
        with open(scene["modalities"]["s2"], "r+b") as file:
            file.truncate(20)
    rasters = reader(S2, DEM, MAP, tolerant=True).read(scene, ["s2", "dem"] if fate == "corrupt" else ["dem"])
    assert list(rasters) == ["dem"]
    for ours, theirs in zip(rasters["dem"], expected["dem"]):
        np.testing.assert_array_equal(ours, theirs)
    assert ("s2.tif" in caplog.text) == (fate == "corrupt")


def test_other_sizes_without_any_georeference(tmp_path, write_raster):
    path = str(write_raster(tmp_path / "a.tif", np.ones((4, 4), np.float32)))
    sample = {"height": 8, "width": 8, "image_id": 1, "modalities": {"dsm": path}}
    with pytest.raises(
        ValueError, match=r"image 1: INPUT\.ALIGN finds no georeference .* not all 8 x 8 px .*'dsm' is 4 x 4 px"
    ):
        reader(DSM).read(sample, ["dsm"])


def test_align_leaves_plain_tiles_without_georeference_alone(tmp_path, write_raster):
    path = str(write_raster(tmp_path / "a.tif", np.ones((4, 4), np.float32)))
    sample = {"height": 4, "width": 4, "image_id": 1, "modalities": {"dsm": path}}
    assert reader(DSM).read(sample, ["dsm"])["dsm"][1].all()


@pytest.mark.parametrize("tolerant", [True, False])
def test_a_whole_tile_of_no_data_is_a_missing_sensor(tmp_path, write_raster, tolerant):
    black = str(write_raster(tmp_path / "rgb.tif", np.zeros((3, 4, 4), np.uint8)))
    dsm = str(write_raster(tmp_path / "dsm.tif", np.ones((4, 4), np.float32)))
    sample = {"height": 4, "width": 4, "image_id": 1, "modalities": {"rgb": black, "dsm": dsm}}
    read = reader(RGB, DSM, align=False, tolerant=tolerant).read
    assert list(read(sample, ["rgb", "dsm"])) == ["dsm"]
    assert read(sample, ["rgb"]) == {}
    assert list(read(sample, ["rgb"], spare=["dsm"])) == ["dsm"]


def test_partial_coverage_is_validity(tmp_path, write_raster):
    swath = np.ones((4, 4), np.float32)
    swath[:, 2:] = -9999
    path = str(write_raster(tmp_path / "dsm.tif", swath, nodata=-9999))
    sample = {"height": 4, "width": 4, "image_id": 1, "modalities": {"dsm": path}}
    bands, valid = reader(DSM, align=False).read(sample, ["dsm"])["dsm"]
    assert valid.tolist() == [[True, True, False, False]] * 4 and bands[0, 0].tolist() == [1, 1, 5, 5]


def test_assemble_puts_bands_first_then_validity_in_config_order():
    modalities = ModalitySet([Modality("sar", 1, mean=(-8.0,)), RGB, DSM])
    rgb = np.arange(6, dtype=np.float32).reshape(3, 1, 2)
    image = assemble(
        modalities,
        {"dsm": (np.array([[[2.0, 5.0]]]), np.array([[True, False]])), "rgb": (rgb, np.array([[True, True]]))},
        (1, 2),
    )
    expected = [[-8, -8], [0, 1], [2, 3], [4, 5], [2, 5], [0, 0], [1, 1], [1, 0]]
    assert image.dtype == np.float32 and image[:, 0].tolist() == expected


def test_assemble_of_nothing_is_all_missing():
    image = assemble(ModalitySet([RGB, DSM]), {}, (2, 3))
    assert image.shape == (6, 2, 3) and image[:, 1, 2].tolist() == [81.0, 87.0, 71.0, 5.0, 0.0, 0.0]
