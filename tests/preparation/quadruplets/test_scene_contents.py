"""What the files of a scene say of their bands, tags and class tables is heeded, and files of something else are refused."""

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp
from rasterio.transform import from_origin

from imrsf_d2.data.class_tables import read_class_table
from imrsf_d2.geo.grids import Grid
from imrsf_d2.preparation.quadruplets.land_cover import RasterMap
from imrsf_d2.preparation.quadruplets.mosaics import open_mosaics
from imrsf_d2.preparation.quadruplets.sensors import SENSORS, encode
from tests.preparation.quadruplets.scene_files import GRID, LEFT, TOP, UTM, tile, write_scene


def test_valid_reflectance_is_never_the_tag(tmp_path):
    scene = np.full((4, 150, 150), 900, dtype=np.int16)
    scene[0, 60] = 0  # dark water in one band
    scene[:, 61] = np.array([-30, 0, 0, 0])[:, None]  # an atmospheric correction that went too far
    scene[:, 62] = 0
    found = encode(SENSORS["s2"], tile("s2", write_scene(tmp_path / "s2.tif", scene, nodata=0)), 0)
    assert found[:, 20, 0].tolist() == [1, 900, 900, 900]
    assert found[:, 21, 0].tolist() == [1, 1, 1, 1]
    assert found[:, 22, 0].tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("shift", [0, 5], ids=["copied", "interpolated"])
@pytest.mark.parametrize("dtype, tag", [(np.int16, -9999), (np.uint16, 65535)])
def test_a_tag_of_reflectance_that_is_none_counts_in_any_band(tmp_path, dtype, tag, shift):
    scene = np.full((4, 150, 150), 2000, dtype=dtype)
    scene[3, :, :50] = tag  # one detector has not seen it
    found = tile("s2", write_scene(tmp_path / "s2.tif", scene, left=LEFT - shift, nodata=tag))
    assert np.isnan(found[:, :, :9]).all() and (found[:, :, 11:] == 2000).all() and np.isin(found, (2000, np.nan)).any()
    assert np.nanmax(found) == np.nanmin(found) == 2000


def test_a_number_that_is_no_reflectance_and_no_tag_is_named(tmp_path):
    scene = np.full((4, 150, 150), 2000, dtype=np.int16)
    scene[:, :, 60:70] = -9999
    with pytest.raises(
        ValueError, match=r"s2\.tif holds -9999, expected reflectance x 10000\. .*gdal_edit.py -a_nodata -9999"
    ):
        tile("s2", write_scene(tmp_path / "s2.tif", scene))


@pytest.mark.parametrize("left", [LEFT, LEFT + 5], ids=["one lattice", "two"])
def test_what_a_class_table_calls_no_data_hides_no_label_of_another_file(tmp_path, left):
    """As gdalwarp leaves them: a border of zeros without a tag."""
    west = np.full((150, 150), 10, dtype=np.uint8)
    west[:, 70:] = 0
    paths = [write_scene(tmp_path / "labels1.tif", west)]
    paths.append(write_scene(tmp_path / "labels2.tif", np.full((150, 150), 20, dtype=np.uint8), left=left))
    (tmp_path / "table.csv").write_text("code,class\n10,trees\n20,water\n0,\n")
    scene = write_scene(tmp_path / "s2.tif", np.full((4, 150, 150), 900, dtype=np.uint16))
    scenes = {"s2": open_mosaics("s2", [str(scene)])}
    labels = RasterMap.open([str(path) for path in paths], read_class_table(str(tmp_path / "table.csv")), scenes).draw(GRID)
    assert (labels[:, :30] == 0).all() and (labels[:, 30:] == 1).all()


def test_reflectance_is_rounded_and_stays_in_range():
    values = np.array([1.5, 2.4, 0.2, 70000.0], dtype=np.float32).reshape(4, 1, 1)
    assert encode(SENSORS["s2"], values, 0).ravel().tolist() == [2, 2, 1, 65535]
    assert encode(SENSORS["dem"], np.full((1, 1, 1), np.nan), -9999).tolist() == [[[-9999]]]


@pytest.mark.parametrize(
    "sensor, names, order",
    [
        ("s2", ("B8", "B4", "B3", "B2"), [3, 2, 1, 0]),
        ("s2", ("AOT", "B02", "b03", "B04", "B08"), [1, 2, 3, 4]),
        ("s2", None, [0, 1, 2, 3]),
        ("s2", ("Band 1", "Band 2", "Band 3", "Band 4"), [0, 1, 2, 3]),
        ("s2", ("B4_median", "B3_median", "B2_median", "B8_median"), [2, 1, 0, 3]),
        ("s2", ("red", "Green", "Blue (490 nm)", "NIR"), [2, 1, 0, 3]),
        ("s1", ("Sigma0_VH", "Sigma0_VV"), [1, 0]),
        ("s1", ("angle", "VH", "VV"), [2, 1]),
        ("dnw", ("water", "trees", "label"), [2]),
    ],
)
def test_bands_are_picked_by_description(tmp_path, sensor, names, order):
    count = len(names or order)
    scene = np.ones((count, 70, 70), dtype=np.uint16) * np.arange(3, 3 + count, dtype=np.uint16)[:, None, None]
    path = write_scene(tmp_path / "x.tif", scene, names=names)
    found = tile(sensor, path, grid=Grid.north_up(GRID.crs, LEFT, TOP, 10.0, 8, 8))
    assert found[:, 4, 4].tolist() == [3 + i for i in order]


def test_a_band_that_gdal_takes_for_alpha_is_one_of_the_sensors_if_its_number_says_so(tmp_path, rng):
    scene = rng.integers(1, 200, (4, 70, 70), dtype=np.uint8)
    scene[3, 5:9] = 0  # dark in the near infrared: water, not absence
    place = {"driver": "GTiff", "height": 70, "width": 70, "crs": UTM, "transform": from_origin(LEFT, TOP, 10, 10)}
    with rasterio.open(tmp_path / "s2.tif", "w", count=4, dtype="uint8", **place) as file:
        file.write(scene)
    with rasterio.open(tmp_path / "s2.tif") as file:
        assert file.colorinterp[3] == ColorInterp.alpha
    found = tile("s2", tmp_path / "s2.tif", grid=Grid.north_up(GRID.crs, LEFT, TOP, 10.0, 70, 70))
    np.testing.assert_array_equal(found, scene)


@pytest.mark.parametrize(
    "sensor, bands, options, message",
    [
        ("s2", np.ones((6, 70, 70), np.uint16), {"names": list("abcdef")}, "has 6 bands (a, b, c, d, e, f), expected 4"),
        ("s2", np.ones((4, 70, 70), np.uint16), {"names": ["B2", "B3", "B4", "B11"]}, "in the order B2, B3, B4, B8"),
        ("s2", np.full((4, 70, 70), 0.3, np.float32), {}, "multiply it by 10000"),
        ("s2", np.ones((4, 70, 70), np.complex64), {}, "holds complex64 values"),
        ("s1", np.full((2, 70, 70), -12.0, np.float32), {}, "--s1-unit db"),
        ("s1", np.ones((1, 70, 70), np.float32), {"names": ["VV"]}, "has 1 bands (VV), expected 2"),
        ("dem", np.full((70, 70), -32768, np.int16), {}, "holds -32768, expected meters above sea level"),
        ("dnw", np.full((70, 70), 9, np.uint8), {}, "holds 9, expected Dynamic World classes 0 to 8"),
        ("dnw", np.full((70, 70), 1.5, np.float32), {}, "holds 1.5, expected Dynamic World classes 0 to 8"),
        ("dem", np.ones((70, 70), np.float32), {"crs": None}, "has no georeference"),
        ("dem", np.ones((70, 70), np.float32), {"pixel": 0}, "has pixels without an area"),
        ("dem", np.ones((70, 70), np.float32), {"crs": 'LOCAL_CS["site",UNIT["metre",1]]'}, "does not say where on Earth"),
        ("dem", np.ones((70, 70), np.float32), {"crs": "EPSG:4326"}, "latitude 5.06964e+06, no place on Earth"),
        ("dem", np.ones((70, 70), np.float32), {"left": 1e30}, "does not say where on Earth"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 4 else "",
)
def test_files_of_something_else_are_refused(tmp_path, sensor, bands, options, message):
    path = write_scene(tmp_path / "x.tif", bands, **options)
    with pytest.raises(ValueError) as error:
        open_mosaics(sensor, [str(path)])
    assert message in str(error.value) and str(path) in str(error.value) and "\n" not in str(error.value)


def test_power_that_is_said_to_be_decibels_is_refused(tmp_path):
    path = write_scene(tmp_path / "s1.tif", np.full((2, 70, 70), 0.2, np.float32))
    with pytest.raises(ValueError, match="leave out --s1-unit db"):
        open_mosaics("s1", [str(path)], "db")


def test_a_truncated_file_is_named(tmp_path):
    path = write_scene(tmp_path / "dem.tif", np.ones((70, 70), np.float32))
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(ValueError, match=f"cannot read {path}"):
        open_mosaics("dem", [str(path)])
