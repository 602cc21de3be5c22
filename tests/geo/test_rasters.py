import logging
import warnings

import numpy as np
import pytest
import rasterio
from rasterio._err import CPLE_AppDefinedError
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import Affine

from imrsf_d2.geo.grids import Grid
from imrsf_d2.geo.rasters import RasterError, read_band, read_grid, read_raster
from imrsf_d2.modalities import Modality

HEIGHT = Modality("dsm", 1, mean=(5.0,), std=(7.0,))
RGB = Modality("rgb", 3, mean=(81.0, 87.0, 71.0), std=(1.0, 1.0, 1.0), nodata=0)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "float32", "float64"])
def test_values_of_every_data_type_arrive_as_they_are(tmp_path, write_raster, dtype):
    array = np.array([[0, 1, 2], [100, 127, 3]], dtype=dtype)
    bands, valid = read_raster(write_raster(tmp_path / "a.tif", array), HEIGHT)
    assert bands.dtype == np.float32 and valid.dtype == bool
    np.testing.assert_array_equal(bands, array[None].astype(np.float32))
    assert valid.all()


def test_negative_values_are_data(tmp_path, write_raster):
    bands, valid = read_raster(write_raster(tmp_path / "a.tif", np.array([[-3, 7]], dtype=np.int16)), HEIGHT)
    assert bands.tolist() == [[[-3.0, 7.0]]] and valid.all()


def test_power_becomes_decibel_worked_by_hand(tmp_path, write_raster):
    # 10 log10: 1 -> 0 dB, 10 -> 10 dB, 0.5 -> -3.0103 dB, 0.01 -> -20 dB; 1e-4 (-40) and 100 (20) are clipped.
    power = np.array([[1.0, 10.0, 0.5], [0.01, 1e-4, 100.0]], dtype=np.float32)
    sar = Modality("sar", 1, transform="db", clip=(-25, 12))
    bands, valid = read_raster(write_raster(tmp_path / "a.tif", power), sar)
    np.testing.assert_allclose(bands[0], [[0.0, 10.0, -3.0103], [-20.0, -25.0, 12.0]], atol=1e-4)
    assert valid.all()


def test_power_without_a_logarithm_is_missing_not_zero_decibel(tmp_path, write_raster):
    power = np.array([[np.nan, 0.0, -0.1, np.inf, 1.0]], dtype=np.float32)
    sar = Modality("sar", 1, mean=(-8.0,), transform="db", clip=(-25, 12))
    bands, valid = read_raster(write_raster(tmp_path / "a.tif", power), sar)
    assert valid.tolist() == [[False, False, False, False, True]]
    assert bands.tolist() == [[[-8.0, -8.0, -8.0, -8.0, 0.0]]]


def test_one_bad_band_makes_the_pixel_invalid_in_all(tmp_path, write_raster):
    array = np.ones((2, 1, 3), dtype=np.float32)
    array[0, 0, 1], array[1, 0, 2] = np.nan, -np.inf
    two = Modality("s1", 2, mean=(-9.0, -15.0), std=(1.0, 1.0))
    bands, valid = read_raster(write_raster(tmp_path / "a.tif", array), two)
    assert valid.tolist() == [[True, False, False]]
    assert bands[:, 0].tolist() == [[1.0, -9.0, -9.0], [1.0, -15.0, -15.0]]


def test_only_all_black_rgb_is_missing(tmp_path, write_raster):
    array = np.zeros((3, 1, 3), dtype=np.uint8)
    array[:, 0, 1] = (255, 0, 0)
    array[:, 0, 2] = (0, 0, 1)
    bands, valid = read_raster(write_raster(tmp_path / "a.tif", array), RGB)
    assert valid.tolist() == [[False, True, True]]
    assert bands[:, 0, 0].tolist() == [81.0, 87.0, 71.0] and bands[:, 0, 1].tolist() == [255.0, 0.0, 0.0]


def test_black_is_data_where_no_nodata_value_is_given(tmp_path, write_raster):
    path = write_raster(tmp_path / "a.tif", np.zeros((3, 1, 2), dtype=np.uint8))
    assert read_raster(path, Modality("rgb", 3))[1].all()


@pytest.mark.parametrize(("dtype", "tag"), [("float32", -9999.0), ("float64", -1.7976931348623157e308), ("int16", -9999)])
def test_the_files_nodata_tag_is_honored(tmp_path, write_raster, dtype, tag):
    array = np.array([[tag, 3, 4]], dtype=dtype)
    bands, valid = read_raster(write_raster(tmp_path / "a.tif", array, nodata=tag), HEIGHT)
    assert valid.tolist() == [[False, True, True]] and bands.tolist() == [[[5.0, 3.0, 4.0]]]


def test_a_sentinel_in_one_band_is_enough_except_in_8_bit(tmp_path, write_raster):
    three = Modality("s", 3)
    array = np.full((3, 1, 2), 7)
    array[0, 0, 0] = 0
    wide = write_raster(tmp_path / "wide.tif", array.astype(np.uint16), nodata=0)
    narrow = write_raster(tmp_path / "narrow.tif", array.astype(np.uint8), nodata=0)
    assert read_raster(wide, three)[1].tolist() == [[False, True]]
    assert read_raster(narrow, three)[1].tolist() == [[True, True]]


def test_an_internal_mask_and_an_alpha_free_file(tmp_path, write_raster):
    mask = np.array([[True, False], [False, True]])
    bands, valid = read_raster(write_raster(tmp_path / "a.tif", np.full((2, 2), 9, np.float32), mask=mask), HEIGHT)
    assert (valid == mask).all() and bands[0].tolist() == [[9.0, 5.0], [5.0, 9.0]]


def test_an_external_mask_file_is_found(tmp_path, write_raster):
    path = write_raster(tmp_path / "a.tif", np.full((2, 2), 9, np.float32))
    with warnings.catch_warnings(), rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "r+") as file:
            file.write_mask(np.array([[True, False], [True, True]]))
    assert (tmp_path / "a.tif.msk").exists()
    assert read_raster(path, HEIGHT)[1].tolist() == [[True, False], [True, True]]


def test_class_indices_stay_whole_and_missing_ones_are_class_0(tmp_path, write_raster):
    classes = Modality("dnw", classes=9, nodata=255)
    bands, valid = read_raster(write_raster(tmp_path / "a.tif", np.array([[8, 255, 3]], dtype=np.uint8)), classes)
    assert bands.tolist() == [[[8.0, 0.0, 3.0]]] and valid.tolist() == [[True, False, True]]


@pytest.mark.parametrize(("value", "dtype"), [(9, "uint8"), (-1, "int16"), (2.5, "float32")])
def test_a_value_that_is_no_class_is_named(tmp_path, write_raster, value, dtype):
    path = write_raster(tmp_path / "map.tif", np.array([[1, value]], dtype=dtype))
    with pytest.raises(
        ValueError,
        match=rf"map\.tif holds {value} \(50.0% of the pixels\), expected class indices from 0 to 8 .*CODES .* NODATA",
    ):
        read_raster(path, Modality("dnw", classes=9))


WORLDCOVER = Modality("cover", codes={10: 0, 20: 1, 95: 0, 100: 2, 0: None})


def test_codes_of_a_map_become_classes_on_its_own_grid_and_resampled(tmp_path, write_raster):
    codes = np.array([[10, 0, 100], [20, 95, 10]])
    profile = {"crs": "EPSG:32632", "transform": Affine(20, 0, 500_000, 0, -20, 5_000_000)}
    for dtype in ("uint8", "int16", "float64"):
        path = write_raster(tmp_path / "map.tif", codes.astype(dtype), **profile)
        bands, valid = read_raster(path, WORLDCOVER)
        assert bands.dtype == np.float32 and bands.tolist() == [[[0, 0, 2], [1, 0, 0]]]
        assert valid.tolist() == [[True, False, True], [True, True, True]]
        fine, fine_valid = read_raster(path, WORLDCOVER, grid=Grid.north_up(profile["crs"], 500_000, 5_000_000, 10.0, 4, 6))
        np.testing.assert_array_equal(fine[0], bands[0].repeat(2, 0).repeat(2, 1))
        np.testing.assert_array_equal(fine_valid, valid.repeat(2, 0).repeat(2, 1))


def test_all_unknown_codes_of_a_map_are_named(tmp_path, write_raster):
    path = write_raster(tmp_path / "map.tif", np.array([[10, 7, 7, 30]], np.uint8), nodata=30)
    with pytest.raises(
        ValueError, match=r"holds 7 \(50.0% of the pixels\), expected the codes 10, 20, 95, 100, 0 for modality"
    ):
        read_raster(path, WORLDCOVER)


def test_a_wrong_band_count_names_file_found_and_expected(tmp_path, write_raster):
    path = write_raster(tmp_path / "two.tif", np.ones((2, 2, 2), dtype=np.uint8))
    with pytest.raises(ValueError, match=r"two\.tif has 2 bands, expected 3 for modality 'rgb'") as info:
        read_raster(path, RGB)
    # Not a RasterError: training must not pass it over as if the file were corrupt.
    assert not isinstance(info.value, RasterError)


@pytest.mark.parametrize("dtype", ["complex64", "complex128", "complex_int16"])
def test_complex_radar_becomes_intensity(tmp_path, write_raster, dtype):
    path = tmp_path / "slc.tif"
    if dtype == "complex_int16":  # numpy has no such type
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(path, "w", driver="GTiff", count=1, height=1, width=3, dtype=dtype) as file:
                file.write(np.array([[[3 + 4j, 0, 10j]]], dtype=np.complex64))
    else:
        write_raster(path, np.array([[3 + 4j, 0, 10j]], dtype=dtype))
    bands, valid = read_raster(path, Modality("sar", 1, mean=(-8.0,), transform="db"))
    # |3 + 4i|^2 = 25 is 13.98 dB, no echo is no data, 100 is 20 dB.
    np.testing.assert_allclose(bands[0, 0], [13.9794, -8.0, 20.0], rtol=1e-5)
    assert valid.tolist() == [[True, False, True]]


@pytest.mark.parametrize("interleave", ["pixel", "band"])
@pytest.mark.parametrize("tiled", [False, True])
def test_the_order_of_bytes_in_the_file_does_not_matter(tmp_path, write_raster, interleave, tiled):
    array = np.random.randint(1, 255, (3, 48, 40), dtype=np.uint8)
    blocks = {"tiled": True, "blockxsize": 16, "blockysize": 32} if tiled else {}
    bands, valid = read_raster(write_raster(tmp_path / "a.tif", array, interleave=interleave, **blocks), RGB)
    np.testing.assert_array_equal(bands, array)
    assert valid.all()


def test_an_alpha_band_is_the_mask_and_no_band_of_the_modality(tmp_path, write_raster):
    array = np.full((4, 1, 3), 9, dtype=np.uint8)
    array[3] = [[255, 0, 7]]
    path = write_raster(tmp_path / "rgba.tif", array, photometric="rgb", alpha="non-premultiplied")
    bands, valid = read_raster(path, RGB)
    assert valid.tolist() == [[True, False, True]] and bands.shape == (3, 1, 3)
    assert bands[:, 0, 1].tolist() == [81, 87, 71]


def test_an_alpha_band_counts_beside_a_nodata_tag_too(tmp_path, write_raster):
    array = np.full((4, 1, 3), 9, dtype=np.uint8)
    array[3], array[:3, 0, 2] = [[255, 0, 255]], 0
    path = write_raster(tmp_path / "rgba.tif", array, photometric="rgb", alpha="non-premultiplied", nodata=0)
    _, valid = read_raster(path, Modality("rgb", 3))
    assert valid.tolist() == [[True, False, False]]


def test_four_bands_that_are_wanted_are_none_of_them_alpha(tmp_path, write_raster):
    array = np.full((4, 1, 2), 9, dtype=np.uint8)
    array[3] = [[255, 0]]
    path = write_raster(tmp_path / "rgbn.tif", array, photometric="rgb", alpha="non-premultiplied")
    bands, valid = read_raster(path, Modality("s2", 4))
    assert valid.all() and bands[3].tolist() == [[255, 0]]


def test_a_band_is_read_as_it_is(tmp_path, write_raster):
    band, valid = read_band(write_raster(tmp_path / "l.tif", np.array([[1, 255]], np.uint8), nodata=255), "the labels")
    assert band.dtype == np.uint8 and band.tolist() == [[1, 255]] and valid.tolist() == [[True, False]]
    with pytest.raises(ValueError, match=r"l3\.tif has 3 bands, expected 1 \(the labels\)"):
        read_band(write_raster(tmp_path / "l3.tif", np.ones((3, 2, 2), np.uint8)), "the labels")
    assert read_grid(tmp_path / "l3.tif").shape == (2, 2)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.98])
def test_a_truncated_file_is_a_raster_error_naming_it(tmp_path, write_raster, share):
    path = write_raster(tmp_path / "cut.tif", np.random.rand(64, 64).astype(np.float32))
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(RasterError, match=r"cannot read .*cut\.tif \('dsm'\): .*truncated or corrupt") as info:
        read_raster(path, HEIGHT)
    assert info.value.path == str(path) and info.value.reason and "previous exception" not in str(info.value)


def test_a_file_that_is_gone_is_a_raster_error(tmp_path):
    with pytest.raises(RasterError, match=r"gone\.tif.*No such file"):
        read_raster(tmp_path / "gone.tif", HEIGHT)


def test_no_warning_about_a_missing_georeference(tmp_path, write_raster, recwarn):
    read_raster(write_raster(tmp_path / "a.tif", np.ones((2, 2), np.float32)), HEIGHT)
    assert not recwarn.list


def test_gdal_is_silent_while_reading_and_only_then(tmp_path, write_raster, caplog):
    path = write_raster(tmp_path / "cut.tif", np.ones((64, 64), np.float32))
    path.write_bytes(path.read_bytes()[:9000])
    for _ in range(2):
        with pytest.raises(RasterError):
            read_raster(path, HEIGHT)
    assert not caplog.records
    logging.getLogger("rasterio._env").warning("later")
    assert "later" in caplog.text


def test_whatever_gdal_calls_its_error_it_is_a_raster_error(tmp_path, write_raster, monkeypatch):
    # What rasterio raises of a damaged header depends on which property is asked for first.
    def fail(self):
        raise CPLE_AppDefinedError(3, 1, "Key GTCitationGeoKey is corrupted.")

    path = write_raster(tmp_path / "odd.tif", np.ones((2, 2), np.float32))
    monkeypatch.setattr("imrsf_d2.geo.rasters.Grid.of", fail)
    with pytest.raises(RasterError, match=r"cannot read .*odd\.tif \('dsm'\): Key GTCitationGeoKey is corrupted\. The file"):
        read_raster(path, HEIGHT)
