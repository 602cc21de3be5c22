import logging
import warnings

import numpy as np
import pytest
import rasterio
from rasterio.errors import NotGeoreferencedWarning

from imrsf_d2.data.rasters import RasterError, assemble, check_same_size, read_raster
from imrsf_d2.modalities import Modality, ModalitySet

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


@pytest.mark.parametrize(("dtype", "tag"),
                         [("float32", -9999.0), ("float64", -1.7976931348623157e308), ("int16", -9999)])
def test_the_files_nodata_tag_is_honoured(tmp_path, write_raster, dtype, tag):
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
    with pytest.raises(ValueError, match=rf"map\.tif holds {value}, expected class indices from 0 to 8 .*NODATA"):
        read_raster(path, Modality("dnw", classes=9))


def test_a_wrong_band_count_names_file_found_and_expected(tmp_path, write_raster):
    path = write_raster(tmp_path / "four.tif", np.ones((4, 2, 2), dtype=np.uint8))
    with pytest.raises(ValueError, match=r"four\.tif has 4 bands, expected 3 for modality 'rgb'") as info:
        read_raster(path, RGB)
    # Not a RasterError: training must not pass it over as if the file were corrupt.
    assert not isinstance(info.value, RasterError)


def test_complex_values_are_refused(tmp_path, write_raster):
    path = write_raster(tmp_path / "slc.tif", np.ones((2, 2), dtype=np.complex64))
    with pytest.raises(ValueError, match=r"slc\.tif holds complex values \(complex64\), expected real"):
        read_raster(path, HEIGHT)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.98])
def test_a_truncated_file_is_a_raster_error_naming_it(tmp_path, write_raster, share):
    path = write_raster(tmp_path / "cut.tif", np.random.rand(64, 64).astype(np.float32))
    content = path.read_bytes()
    path.write_bytes(content[:int(share * len(content))])
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


def test_sizes_that_differ_name_both_files_and_sizes():
    rasters = {"rgb": (None, np.ones((512, 256), bool)), "sar": (None, np.ones((512, 512), bool))}
    with pytest.raises(ValueError, match=r"'sar' of image 7 is 512 x 512 px \(s\.tif\), expected 256 x 512 px like "
                                         r"'rgb' \(r\.tif\)"):
        check_same_size(rasters, {"rgb": "r.tif", "sar": "s.tif"}, 7)


def test_assemble_puts_bands_first_then_validity_in_config_order():
    modalities = ModalitySet([Modality("sar", 1, mean=(-8.0,)), RGB, HEIGHT])
    rgb = np.arange(6, dtype=np.float32).reshape(3, 1, 2)
    image = assemble(modalities, {"dsm": (np.array([[[2.0, 5.0]]]), np.array([[True, False]])),
                                  "rgb": (rgb, np.array([[True, True]]))})
    expected = [[-8, -8], [0, 1], [2, 3], [4, 5], [2, 5], [0, 0], [1, 1], [1, 0]]
    assert image.dtype == np.float32 and image[:, 0].tolist() == expected


def test_assemble_of_nothing_is_all_missing():
    image = assemble(ModalitySet([RGB, HEIGHT]), {}, size=(2, 3))
    assert image.shape == (6, 2, 3) and image[:, 1, 2].tolist() == [81.0, 87.0, 71.0, 5.0, 0.0, 0.0]
