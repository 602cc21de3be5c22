"""Whatever a raster is read from belongs to its state."""

import os

import numpy as np
import pytest

from imrsf_d2.geo.raster_state import raster_files, raster_state
from tests.raster_files import write_raster_file


@pytest.fixture
def there(tmp_path):
    write_raster_file(tmp_path / "a.tif", np.ones((8, 8), np.uint8), crs="EPSG:32633")
    (tmp_path / "a.vrt").write_text(
        '<VRTDataset rasterXSize="8" rasterYSize="8"><VRTRasterBand dataType="Byte" band="1"><SimpleSource><SourceFilename '
        'relativeToVRT="1">a.tif</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>'
    )
    (tmp_path / "of_a_vrt.vrt").write_text((tmp_path / "a.vrt").read_text().replace("a.tif", "a.vrt"))
    return tmp_path


@pytest.mark.parametrize("name", ["{}/a.tif", "vrt://{}/a.tif?a_srs=EPSG:32633", "{}/a.vrt", "{}/of_a_vrt.vrt"])
@pytest.mark.parametrize("change", ["replaced", "a mask", "metadata"])
def test_a_change_of_any_file_is_one_of_the_raster(there, name, change):
    name = name.format(there)
    before = raster_state(name)
    assert before == raster_state(name) != ()
    if change == "replaced":  # by an older file of the same size
        os.utime(there / "a.tif", ns=(0, 1000))
    elif change == "a mask":
        write_raster_file(there / "a.tif.msk", np.zeros((8, 8), np.uint8))
    else:
        (there / "a.tif.aux.xml").write_text("<PAMDataset/>")
    assert raster_state(name) != before


@pytest.mark.parametrize("name", ["{}/a.tif", "vrt://{}/a.tif?a_srs=EPSG:32633", "{}/a.vrt", "{}/of_a_vrt.vrt"])
def test_the_files_of_a_raster_are_named_itself_first(there, name):
    name = name.format(there)
    files = raster_files(name)
    assert files[0] == name and str(there / "a.tif") in files
    assert raster_files(there / "gone.tif") == (str(there / "gone.tif"),)


def test_what_is_no_raster_has_its_own_state_or_none(tmp_path):
    (tmp_path / "a.tif").write_bytes(b"four")
    os.utime(tmp_path / "a.tif", ns=(0, 1000))
    assert raster_state(tmp_path / "a.tif") == ((4, 1000),)
    assert raster_state(tmp_path / "gone.tif") == raster_state("/vsizip/a.zip/a.tif") == ()
