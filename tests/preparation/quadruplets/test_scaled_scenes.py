"""Scenes whose bands have a scale and an offset: what the tiles hold is in the tiles' units, whatever the scenes store."""

import numpy as np
import pytest
import rasterio
from rasterio.crs import CRS

from imrsf_d2.geo.grids import Grid
from imrsf_d2.preparation.quadruplets.mosaics import open_mosaics
from imrsf_d2.preparation.quadruplets.sensors import SENSORS, encode
from imrsf_d2.preparation.quadruplets.warping import fill_grid
from tests.preparation.quadruplets.scene_files import LEFT, TOP, write_scene

GRID = Grid.north_up(CRS.from_epsg(32631), LEFT + 100, TOP - 100, 10, 16, 16)


@pytest.fixture
def write(tmp_path):
    def write(sensor, bands, scale=1.0, offset=0.0, name=None, **options):
        path = write_scene(tmp_path / f"{name or sensor}.tif", bands, **options)
        with rasterio.open(path, "r+") as file:
            file.scales = np.broadcast_to(scale, file.count).tolist()
            file.offsets = np.broadcast_to(offset, file.count).tolist()
        return str(path)

    return write


def tile(sensor, *paths, **options):
    return fill_grid(open_mosaics(sensor, paths, **options), GRID)[0]


def flat(value, bands=1, dtype=np.int16, size=64):
    return np.full((bands, size, size), value, dtype)


def test_heights_in_decimeters_become_meters(write):
    np.testing.assert_allclose(tile("dem", write("dem", flat(1230), 0.1)), 123.0, rtol=1e-6)


@pytest.mark.parametrize(
    "stored, dtype, scale, offset",
    [
        (3676, np.uint16, 1e-4, -0.1),  # ESA's products since 2022 as GDAL shows them
        (3676, np.uint16, 1, -1000),  # the same in whole ten-thousandths
        (17004, np.uint16, 2.75e-5, -0.2),  # Landsat's way: 0.26761
        (68.238, np.float32, 1 / 255, 0),  # 8-bit reflectance
        (0.2676, np.float32, 10000, 0),
        (2676, np.uint16, 1, 0),
    ],
)
def test_reflectance_becomes_ten_thousandths_by_whichever_scale(write, stored, dtype, scale, offset):
    values = tile("s2", write("s2", flat(stored, 4, dtype), scale, offset))
    np.testing.assert_allclose(values, 2676.0, atol=0.3)
    if stored == 3676:
        assert (values == 2676).all() and (encode(SENSORS["s2"], values, 0) == 2676).all()


def test_a_stored_zero_is_no_data_and_reflectance_zero_is_data(write):
    scene = flat(1000, 4, np.uint16)
    scene[:, :, :20], scene[:, :, 30:] = 0, 3000  # somewhere it is bright
    values = tile("s2", write("s2", scene, 1e-4, -0.1))
    assert np.isnan(values[:, :, :10]).all() and (values[:, :, 10:] == 0).all()
    assert (encode(SENSORS["s2"], values, 0)[:, :, 10:] == 1).all()  # 0 is the tiles' no-data tag


def test_each_band_has_its_own_offset(write):
    values = tile("s2", write("s2", flat(3000, 4, np.uint16), [1e-4, 1e-4, 1, 1], [-0.1, 0, -1000, 0]))
    assert values[:, 0, 0].tolist() == [2000, 3000, 2000, 3000]


def test_pieces_of_one_mosaic_may_have_different_scales(write):
    west = write("dem", flat(1230, size=18), 0.1, name="a")
    east = write("dem", flat(12300, size=64), 0.01, name="b", left=LEFT + 180)
    mosaics = open_mosaics("dem", [west, east])
    assert len(mosaics) == 1
    np.testing.assert_allclose(
        fill_grid(mosaics, Grid.north_up(GRID.crs, LEFT + 100, TOP - 20, 10, 8, 16))[0], 123.0, rtol=1e-6
    )


def test_decibels_in_hundredths_are_decibels_before_they_become_power(write):
    path = write("s1", np.stack([flat(-1000)[0], flat(-1700)[0]]), 0.01)
    np.testing.assert_allclose(tile("s1", path, s1_unit="db")[:, 0, 0], [0.1, 10**-1.7], rtol=1e-5)


def test_the_tag_is_a_stored_number(write):
    scene = flat(1230)
    scene[:, :, :20] = -9999
    values = tile("dem", write("dem", scene, 0.1, nodata=-9999))
    assert np.isnan(values[0, :, :10]).all()
    np.testing.assert_allclose(values[0, :, 10:], 123.0, rtol=1e-6)


@pytest.mark.parametrize("sentinel, meters", [(-32768, "-3276.8"), (32000, "32000")])
def test_an_untagged_sentinel_is_named_as_it_is_stored(write, sentinel, meters):
    scene = flat(123, dtype=np.int16)
    scene[:, :2, :2] = sentinel
    path = write("dem", scene, 0.1 if sentinel < 0 else 1.0)
    with pytest.raises(ValueError) as error:
        open_mosaics("dem", [path])
    assert f"gdal_edit.py -a_nodata {sentinel} {path}" in str(error.value)
    assert ("-3276.8 with SCALE 0.1" in str(error.value)) == (sentinel < 0)


@pytest.mark.parametrize(
    "sensor, scene, scale, offset, message",
    [
        ("s2", flat(3676, 4, np.uint16), 0.05, 0, "has SCALE 0.05, expected about 0.0001"),
        ("s2", flat(3676, 4, np.uint16), -1e-4, 0, "has SCALE -0.0001, expected about 0.0001"),
        ("s2", flat(3676, 4, np.uint16), 1e-4, -1000, "with SCALE 0.0001 and OFFSET -1000) holds values from -9.99632e+06"),
        ("dnw", flat(3, 1, np.uint8), 2, 0, "('dnw') holds class indices and has SCALE 2 and OFFSET 0, expected none"),
        ("dem", flat(3), 0, 1, "has SCALE 0 and OFFSET 1, expected finite numbers and a SCALE other than 0"),
    ],
)
def test_a_scale_that_cannot_be_meant_is_named(write, sensor, scene, scale, offset, message):
    path = write(sensor, scene, scale, offset)
    with pytest.raises(ValueError) as error:
        open_mosaics(sensor, [path])
    assert message in str(error.value) and path in str(error.value)


def test_whole_complex_numbers_are_refused_by_name(tmp_path):
    path = tmp_path / "s1.tif"
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=8,
        width=8,
        count=2,
        dtype="complex_int16",
        crs="EPSG:32631",
        transform=rasterio.transform.from_origin(5e5, 5e6, 10, 10),
    ) as file:
        file.write(np.full((2, 8, 8), 30 + 40j, np.complex64))
    with pytest.raises(ValueError, match=r"s1\.tif holds complex_int16 values, expected real numbers for 's1'"):
        open_mosaics("s1", [str(path)])
