"""Bands picked from files by number and by description."""

import contextlib

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp

from imrsf_d2.data.statistics import compute_statistics
from imrsf_d2.geo.gdal import opened
from imrsf_d2.geo.rasters import read_grid, read_raster
from imrsf_d2.inference.scene import open_scene
from imrsf_d2.inference.windows import Window
from imrsf_d2.modalities import Modality, ModalitySet

NAMES = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12"]


@pytest.fixture
def twelve(tmp_path, write_raster):
    """12 bands that hold 100 times their number plus the pixel's; band 6 has a no-data pixel, bands 6 and 12 are scaled."""
    array = np.arange(4, dtype=np.int16).reshape(2, 2) + 100 * np.arange(1, 13, dtype=np.int16)[:, None, None]
    array[5, 0, 1] = -9999
    place = rasterio.Affine(10, 0, 500_000, 0, -10, 5_000_000)
    path = write_raster(tmp_path / "s2.tif", array, nodata=-9999, crs="EPSG:32633", transform=place, interleave="band")
    with rasterio.open(path, "r+") as file:
        file.descriptions = NAMES
        file.scales = [1.0] * 5 + [0.5] + [1.0] * 5 + [2.0]
        file.offsets = [0.0] * 11 + [7.0]
    return path


class Recorder:
    """A raster that remembers which bands were read."""

    def __init__(self, file, read):
        self._file, self._read = file, read

    def __getattr__(self, name):
        return getattr(self._file, name)

    def read(self, indexes, **options):
        self._read.append(indexes)
        return self._file.read(indexes, **options)


@pytest.mark.parametrize("bands", [(4, 3, 2), ("B04", "B03", "B02"), ("b4", 3, " B2")], ids=str)
def test_bands_come_in_the_order_asked_for_and_no_other_is_read(twelve, bands):
    read = []

    @contextlib.contextmanager
    def recorded(path, what):
        with opened(path, what) as file:
            yield Recorder(file, read)

    found, valid = read_raster(twelve, Modality("s2", bands=bands), open_file=recorded)
    assert found.tolist() == [[[n, n + 1], [n + 2, n + 3]] for n in (400, 300, 200)]
    assert valid.all()  # the no-data pixel of band 6 does not matter
    assert read == [[4, 3, 2]]


def test_no_data_scale_and_offset_are_those_of_the_bands_asked_for(twelve):
    found, valid = read_raster(twelve, Modality("s2", bands=("B12", "B06"), mean=(1.0, 2.0), std=(1.0, 1.0)))
    assert found.tolist() == [[[2407, 1], [2411, 2413]], [[300, 2], [301, 301.5]]]
    assert valid.tolist() == [[True, False], [True, True]]


def test_an_alpha_band_is_a_mask_unless_it_is_asked_for(tmp_path, write_raster):
    array = np.full((4, 1, 2), 9, dtype=np.uint8)
    array[3, 0, 0] = 0
    path = write_raster(tmp_path / "rgba.tif", array, photometric="RGB", alpha="YES")
    with rasterio.open(path) as file:
        assert file.colorinterp[3] == ColorInterp.alpha
    assert read_raster(path, Modality("rgb", bands=(3, 1)))[1].tolist() == [[False, True]]
    assert read_raster(path, Modality("nrg", bands=(4, 1, 2)))[1].all()


@pytest.mark.parametrize(
    "bands, problem",
    [
        (("B04", "B10"), "there is no band 'B10'"),
        ((13,), "there is no band 13"),
        (("B8a", "B08", 8), "BANDS names band 8 twice, once as 'B08'"),
        (("4",), "there is no band '4'"),  # a text is a description, not a number
    ],
    ids=str,
)
def test_what_a_file_does_not_have_is_an_error_that_lists_its_bands(twelve, bands, problem):
    with pytest.raises(ValueError) as info:
        read_grid(twelve, Modality("s2", bands=bands))
    assert problem in str(info.value) and str(twelve) in str(info.value) and "1 (B01), 2 (B02), 3 (B03)" in str(info.value)


def test_descriptions_that_several_bands_have_are_no_names(tmp_path, write_raster):
    path = write_raster(tmp_path / "s1.tif", np.ones((3, 1, 1), dtype=np.float32))
    with rasterio.open(path, "r+") as file:
        file.descriptions = ["bands", "bands", "Bands"]
    with pytest.raises(ValueError, match="the bands 1, 2 are all called 'bands'; give a number"):
        read_grid(path, Modality("s1", bands=("bands",)))
    read_grid(path, Modality("s1", bands=("Bands",)))  # to the letter, it is one band's


def test_scenes_and_statistics_have_the_bands_asked_for(twelve):
    modalities = ModalitySet([Modality("s2", bands=("B04", "B02"))])
    image = open_scene(modalities, {"s2": [str(twelve)]}).read(Window(0, 0, 0, 2))
    assert image[:, 1, 1].tolist() == [403, 203, 1]
    found = compute_statistics([{"s2": str(twelve)}], modalities, num_workers=1)
    np.testing.assert_allclose(found["s2"].moments.mean, [401.5, 201.5])
