"""Scale and offset of bands: a stored number n means n * SCALE + OFFSET, and what marks missing data is a stored number."""

import warnings

import numpy as np
import pytest
import rasterio
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import from_origin

from imrsf_d2.data.labels import semantic_truth
from imrsf_d2.geo.grids import Grid
from imrsf_d2.geo.rasters import read_band, read_raster
from imrsf_d2.geo.stored import Scaling, kind_of, number_text, read_stored, stored_text
from imrsf_d2.modalities import Modality
from imrsf_d2.utils.errors import InputError

UTM = {"crs": "EPSG:32631", "transform": from_origin(500_000, 5_000_000, 10, 10)}


@pytest.fixture
def write_scaled(write_raster):
    def write(path, array, scales=1.0, offsets=0.0, **profile):
        write_raster(path, array, **profile)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(path, "r+") as file:
                file.scales = np.broadcast_to(scales, file.count).tolist()
                file.offsets = np.broadcast_to(offsets, file.count).tolist()
        return path

    return write


def test_heights_in_decimeters_arrive_as_meters(tmp_path, write_scaled):
    path = write_scaled(tmp_path / "dem.tif", np.array([[1230, -15]], np.int16), 0.1)
    bands, valid = read_raster(path, Modality("dsm"))
    assert bands.dtype == np.float32 and valid.all()
    np.testing.assert_allclose(bands, [[[123.0, -1.5]]], rtol=1e-6)


def test_every_band_has_its_own_scale_and_offset(tmp_path, write_scaled):
    array = np.array([[[1000]], [[1000]], [[3676]]], np.uint16)
    path = write_scaled(tmp_path / "s.tif", array, [1, 0.5, 1e-4], [0, -7, -0.1])
    bands, _ = read_raster(path, Modality("s2", 3))
    np.testing.assert_allclose(bands[:, 0, 0], [1000, 493, 0.2676], rtol=1e-6)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
def test_gdal_unscales_to_the_same_values(tmp_path, write_scaled, dtype):
    array = np.random.default_rng(0).integers(0, 120, (2, 9, 7)).astype(dtype)
    path = write_scaled(tmp_path / "a.tif", array, [0.3, 2.5], [-11.0, 1e-3], **UTM)
    vrt = tmp_path / "unscaled.vrt"
    bands = "".join(
        f'<VRTRasterBand dataType="Float64" band="{n}"><ComplexSource><SourceFilename relativeToVRT="1">a.tif'
        f"</SourceFilename><SourceBand>{n}</SourceBand><ScaleOffset>{offset}</ScaleOffset><ScaleRatio>{scale}"
        "</ScaleRatio></ComplexSource></VRTRasterBand>"
        for n, scale, offset in ((1, 0.3, -11.0), (2, 2.5, 1e-3))
    )
    vrt.write_text(f'<VRTDataset rasterXSize="7" rasterYSize="9">{bands}</VRTDataset>')
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(vrt) as file:
            expected = file.read()
    np.testing.assert_allclose(read_raster(path, Modality("s", 2))[0], expected, rtol=1e-6)


def test_the_no_data_tag_is_a_stored_number(tmp_path, write_scaled):
    # Stored 100 is 0 m, which no tag means; stored 0 is -10 m, which the tag means.
    path = write_scaled(tmp_path / "dem.tif", np.array([[0, 100, -10]], np.int16), 0.1, -10, nodata=0)
    bands, valid = read_raster(path, Modality("dsm", mean=(5.0,)))
    assert valid.tolist() == [[False, True, True]]
    np.testing.assert_allclose(bands, [[[5, 0, -11]]], atol=1e-6)


def test_the_configured_no_data_value_is_a_stored_number(tmp_path, write_scaled):
    array = np.array([[[0, 1000, 0]], [[0, 1000, 5]]], np.uint16)
    path = write_scaled(tmp_path / "s2.tif", array, 1e-4, -0.1)
    bands, valid = read_raster(path, Modality("s2", 2, nodata=0))
    assert valid.tolist() == [[False, True, True]]
    np.testing.assert_allclose(bands[:, 0, 1], 0, atol=1e-7)  # reflectance 0 is data


def test_an_8_bit_tag_still_has_to_stand_in_all_bands(tmp_path, write_scaled):
    array = np.array([[[0, 0]], [[0, 9]]], np.uint8)
    path = write_scaled(tmp_path / "rgb.tif", array, 2.0, 1.0, nodata=0)
    bands, valid = read_raster(path, Modality("rgb", 2))
    assert valid.tolist() == [[False, True]] and bands[:, 0, 1].tolist() == [1, 19]


def test_a_sentinel_without_a_tag_still_overflows_to_missing(tmp_path, write_scaled):
    path = write_scaled(tmp_path / "dem.tif", np.array([[-1.7976931348623157e308, 3, np.nan]]), 0.5)
    assert read_raster(path, Modality("dsm"))[1].tolist() == [[False, True, False]]


def test_power_is_scaled_before_its_logarithm(tmp_path, write_scaled):
    path = write_scaled(tmp_path / "sar.tif", np.array([[1000, 50]], np.uint16), 1e-3, -0.05)
    bands, valid = read_raster(path, Modality("sar", transform="db", mean=(-8.0,)))
    np.testing.assert_allclose(bands[0], [[10 * np.log10(0.95), -8]], rtol=1e-5)
    assert valid.tolist() == [[True, False]]  # 50 is a power of 0: no echo


@pytest.mark.parametrize("dtype", ["complex64", "complex128", "complex_int16"])
def test_complex_radar_is_scaled_before_its_intensity(tmp_path, dtype):
    path = tmp_path / "slc.tif"
    with rasterio.open(path, "w", driver="GTiff", count=1, height=1, width=1, dtype=dtype, **UTM) as file:
        file.write(np.full((1, 1, 1), 30 + 40j, np.complex64))
        file.scales = [0.1]
    assert read_raster(path, Modality("sar"))[0].item() == pytest.approx(25)


def test_scaled_values_are_resampled(tmp_path, write_scaled):
    array = np.array([[0, 100], [200, 300]], np.int16)
    path = write_scaled(tmp_path / "dem.tif", array, 0.1, 1.0, **UTM)
    one = Grid(1, 1, CRS.from_epsg(32631), from_origin(500_000, 5_000_000, 20, 20))
    np.testing.assert_allclose(read_raster(path, Modality("dsm"), grid=one)[0], [[[16.0]]], rtol=1e-6)


def test_classes_are_never_scaled(tmp_path, write_scaled):
    path = write_scaled(tmp_path / "map.tif", np.array([[1, 2]], np.uint8), 0.5)
    message = r"map\.tif \({}\) holds class indices and has SCALE 0\.5 and OFFSET 0, expected none.*gdal_edit\.py -scale 1"
    with pytest.raises(InputError, match=message.format("'dnw'")):
        read_raster(path, Modality("dnw", classes=9))
    with pytest.raises(InputError, match=message.format("the labels")):
        read_band(path, "the labels")
    with pytest.raises(InputError, match="the labels"):
        semantic_truth({"sem_seg_file_name": str(path), "height": 1, "width": 2, "image_id": 1})


@pytest.mark.parametrize("scale, offset", [(0.0, 1.0), (np.nan, 0.0), (np.inf, 0.0), (2.0, np.nan)])
def test_a_scale_that_makes_no_sense_is_named(tmp_path, write_scaled, scale, offset):
    path = write_scaled(tmp_path / "a.tif", np.ones((1, 2), np.int16), scale, offset)
    with pytest.raises(InputError, match=rf"a\.tif has SCALE {scale:g} and OFFSET {offset:g}, expected finite numbers"):
        read_raster(path, Modality("dsm"))


def test_complex_numbers_have_no_offset(tmp_path, write_scaled):
    path = write_scaled(tmp_path / "a.tif", np.ones((1, 2), np.complex64), 1.0, 3.0)
    with pytest.raises(InputError, match="complex numbers and has SCALE 1 and OFFSET 3, expected no OFFSET"):
        read_raster(path, Modality("sar"))


def test_without_a_scale_the_very_same_array_comes_back():
    stored = np.ones((1, 2, 2), np.uint16)
    assert Scaling((1.0,), (0.0,)).apply(stored) is stored


@pytest.mark.parametrize(
    "dtype, kind", [("uint8", "u"), ("int8", "i"), ("float32", "f"), ("complex_int16", "c"), ("complex128", "c")]
)
def test_every_data_type_of_rasterio_has_a_kind(dtype, kind):
    assert kind_of(dtype) == kind


def test_bands_of_several_types_are_read_together(tmp_path, write_raster):
    write_raster(tmp_path / "a.tif", np.array([[7, 255]], np.uint8))
    write_raster(tmp_path / "b.tif", np.array([[0.5, np.nan]], np.float32))
    bands = "".join(
        f'<VRTRasterBand dataType="{kind}" band="{n}"><SimpleSource><SourceFilename relativeToVRT="1">{name}.tif'
        "</SourceFilename><SourceBand>1</SourceBand></SimpleSource></VRTRasterBand>"
        for n, (kind, name) in enumerate((("Byte", "a"), ("Float32", "b")), start=1)
    )
    (tmp_path / "both.vrt").write_text(f'<VRTDataset rasterXSize="2" rasterYSize="1">{bands}</VRTDataset>')
    values, valid = read_raster(tmp_path / "both.vrt", Modality("s", 2))
    assert values[:, 0, 0].tolist() == [7, 0.5] and valid.tolist() == [[True, False]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(tmp_path / "both.vrt") as file:
            assert read_stored(file, [1, 2]).dtype == np.float32


@pytest.mark.parametrize(
    "number, text",
    [
        (np.float32(-9999), "-9999"),
        (np.float32(0.1), "0.1"),
        (np.float32(-0.0), "-0"),
        (np.float32(1e20), "1e+20"),
        (np.float32(16_777_216), "16777216"),
        (np.finfo(np.float32).min, "-3.4028234663852886e+38"),  # "-3.4028235e+38" is below it in float64
        (np.finfo(np.float64).min, "-1.7976931348623157e+308"),
        (np.float64(np.float32(0.1)), "0.10000000149011612"),
        (np.uint8(255), "255"),
        (np.int32(-2_147_483_648), "-2147483648"),
        (np.float32("nan"), "nan"),
    ],
)
def test_a_number_is_written_in_the_fewest_digits_that_equal_it(number, text):
    assert number_text(number) == text


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_whatever_is_written_reads_back_and_as_a_float64_is_in_the_range_of_its_type(rng, dtype):
    bits = rng.integers(0, 256, (2000, np.dtype(dtype).itemsize), dtype=np.uint8).view(dtype).ravel()
    info = np.finfo(dtype)
    for number in (*bits[np.isfinite(bits)], info.max, info.min, info.tiny, info.smallest_subnormal):
        text = number_text(number)
        assert np.dtype(dtype).type(text) == number and abs(float(text)) <= float(info.max)


def test_what_a_pixel_holds_is_text_as_it_is_stored(tmp_path, write_scaled, write_raster):
    array = np.array([[[1, -9999, 3]], [[-99_999_999, 5, 6]]], np.int32)
    with rasterio.open(write_scaled(tmp_path / "a.tif", array, 0.1, **UTM)) as file:
        assert (stored_text(file, 1, 0, 1), stored_text(file, 2, 0, 0)) == ("-9999", "-99999999")
    with rasterio.open(write_raster(tmp_path / "c.tif", np.full((1, 1, 1), -9999 + 0j, np.complex64), **UTM)) as file:
        assert stored_text(file, 1, 0, 0) == "-9999"
