"""Resampling through the ground: worked numbers, a plane that must stay a plane, and no leak of what is invalid."""

import numpy as np
import pytest
from rasterio.crs import CRS
from rasterio.transform import Affine, from_origin, xy
from rasterio.warp import transform as transform_points

from imrsf_d2.data.grids import Grid, resample
from imrsf_d2.data.rasters import RasterError, read_grid, read_raster
from imrsf_d2.modalities import Modality

UTM = CRS.from_epsg(32631)
FINE = Grid(8, 12, UTM, from_origin(500_000, 5_000_000, 10, 10))
COARSE = Grid(4, 6, UTM, from_origin(500_000, 5_000_000, 20, 20))


def centres(grid):
    """Map coordinates [H, W] of the pixel centres."""
    rows, columns = np.indices(grid.shape)
    return tuple(np.reshape(values, grid.shape) for values in xy(grid.transform, rows.ravel(), columns.ravel()))


def plane(x, y):
    return (0.25 * (x - 500_000) - 0.5 * (y - 5_000_000)).astype(np.float32)


def everywhere(grid):
    return np.ones(grid.shape, dtype=bool)


@pytest.mark.parametrize("source, target", [(COARSE, FINE), (FINE, COARSE)], ids=["20 m to 10 m", "10 m to 20 m"])
def test_a_plane_stays_a_plane(source, target):
    bands, valid = resample(plane(*centres(source))[None], everywhere(source), source, target, categorical=False)
    inner = (slice(2, -2), slice(2, -2)) if source is COARSE else (slice(1, -1), slice(1, -1))
    np.testing.assert_allclose(bands[0][inner], plane(*centres(target))[inner], atol=1e-3)
    assert valid.all()


def test_another_coordinate_system_lands_in_the_same_place():
    (west,), (north,) = transform_points(UTM, "EPSG:4326", [499_900], [5_000_100])
    degrees = Grid(20, 20, CRS.from_epsg(4326), from_origin(west, north, 2e-4, 2e-4))  # 16 x 22 m
    x, y = centres(degrees)
    utm_x, utm_y = transform_points("EPSG:4326", UTM, x.ravel(), y.ravel())
    values = plane(np.reshape(utm_x, degrees.shape), np.reshape(utm_y, degrees.shape))
    bands, valid = resample(values[None], everywhere(degrees), degrees, FINE, categorical=False)
    assert valid.all()
    np.testing.assert_allclose(bands[0], plane(*centres(FINE)), atol=0.01)


def test_invalid_pixels_do_not_show_and_validity_is_the_nearest_pixels():
    values = np.full(COARSE.shape, 7.0, dtype=np.float32)
    valid = everywhere(COARSE)
    valid[1, 2] = False
    values[1, 2] = 1e6
    bands, fine_valid = resample(values[None], valid, COARSE, FINE, categorical=False)
    np.testing.assert_array_equal(fine_valid, np.kron(valid, np.ones((2, 2), dtype=bool)))
    np.testing.assert_allclose(bands[0][fine_valid], 7.0)


def test_what_lies_outside_the_source_is_invalid():
    right_half = Grid(8, 6, UTM, from_origin(500_060, 5_000_000, 10, 10))
    bands, valid = resample(np.ones((1, 8, 6), np.float32), everywhere(right_half), right_half, FINE, categorical=False)
    assert valid.tolist() == [[False] * 6 + [True] * 6] * 8


def test_classes_are_never_mixed():
    classes = np.random.default_rng(0).choice([0.0, 8.0], COARSE.shape).astype(np.float32)
    bands, valid = resample(classes[None], everywhere(COARSE), COARSE, FINE, categorical=True)
    np.testing.assert_array_equal(bands[0], np.kron(classes, np.ones((2, 2))))
    assert valid.all()


@pytest.mark.parametrize("other, same", [
    (Grid(8, 12, UTM, from_origin(500_000.9, 5_000_000, 10, 10)), True),
    (Grid(8, 12, UTM, from_origin(500_001.1, 5_000_000, 10, 10)), False),
    (Grid(8, 12, UTM, from_origin(500_000, 5_000_000, 10.2, 10)), False),  # 2.4 m off at the right edge
    (Grid(8, 12, CRS.from_epsg(32632), FINE.transform), False),
    (Grid(8, 12, None, Affine.identity()), True),  # does not say
    (COARSE, False),
])
def test_which_grids_are_one(other, same):
    assert FINE.equals(other) is same and other.equals(FINE) is same


def test_radar_is_averaged_as_power(tmp_path, write_raster):
    power = np.array([[1.0, 100.0], [1.0, 100.0]], np.float32)
    path = write_raster(tmp_path / "s.tif", power, crs=UTM, transform=from_origin(500_000, 5_000_000, 10, 10))
    one = Grid(1, 1, UTM, from_origin(500_000, 5_000_000, 20, 20))
    bands, _ = read_raster(path, Modality("sar", 1, transform="db"), grid=one)
    np.testing.assert_allclose(bands, [[[10 * np.log10(50.5)]]], rtol=1e-4)


def test_pixels_without_an_echo_take_no_part(tmp_path, write_raster):
    power = np.ones((4, 6), np.float32)
    power[:, 3:] = 0
    path = write_raster(tmp_path / "s.tif", power, crs=UTM, transform=COARSE.transform)
    bands, valid = read_raster(path, Modality("sar", 1, mean=(-8.0,), transform="db"), grid=FINE)
    np.testing.assert_array_equal(valid, np.kron(power > 0, np.ones((2, 2), dtype=bool)))
    np.testing.assert_allclose(bands[0], np.where(valid, 0, -8), atol=1e-5)


def test_a_system_that_gdal_cannot_transform_is_named(tmp_path, write_raster):
    local = CRS.from_wkt('LOCAL_CS["site",UNIT["metre",1]]')
    path = write_raster(tmp_path / "a.tif", np.ones((4, 6), np.float32), crs=local, transform=COARSE.transform)
    with pytest.raises(RasterError, match=r"'dem' is 6 x 4 px \(.*a\.tif\), expected 12 x 8 px; INPUT\.ALIGN cannot resample it"):
        read_raster(path, Modality("dem"), grid=FINE)


@pytest.mark.parametrize("size", [(8, 12), (4, 6)], ids=["on the grid", "resampled"])
def test_a_window_is_what_the_whole_has_there(tmp_path, write_raster, size):
    array = np.random.default_rng(0).uniform(1, 9, size).astype(np.float32)
    array[1, 2] = -9999
    path = write_raster(tmp_path / "a.tif", array, mask=array < 8, nodata=-9999, crs=UTM,
                        transform=(FINE if size == FINE.shape else COARSE).transform)
    whole = read_raster(path, Modality("dem"), grid=FINE)
    rows, columns = window = (slice(1, 6), slice(3, 12))
    for part, all_of_it in zip(read_raster(path, Modality("dem"), grid=FINE, window=window), whole):
        np.testing.assert_allclose(part, all_of_it[..., rows, columns], rtol=1e-5)
    assert not whole[1].all() and whole[1].any()


def test_the_same_ground_in_other_pixels():
    assert COARSE.scaled_to(8, 12).equals(FINE) and FINE.scaled_to(4, 6).equals(COARSE)


def test_a_raster_on_the_wanted_grid_is_not_touched(tmp_path, write_raster):
    array = np.random.rand(8, 12).astype(np.float32)
    path = write_raster(tmp_path / "a.tif", array, crs=UTM, transform=FINE.transform)
    bands, _ = read_raster(path, Modality("dem"), grid=read_grid(path))
    np.testing.assert_array_equal(bands[0], array)


@pytest.mark.parametrize("place, lost", [({}, "the file"), ({"crs": UTM, "transform": COARSE.transform}, "the reference")])
def test_without_a_georeference_nothing_can_be_resampled(tmp_path, write_raster, place, lost):
    path = write_raster(tmp_path / "a.tif", np.ones((4, 6), np.float32), **place)
    grid = FINE if lost == "the file" else Grid(8, 12, None, Affine.identity())
    with pytest.raises(ValueError, match=rf"'dem' is 6 x 4 px \(.*a\.tif\), expected 12 x 8 px; INPUT\.ALIGN cannot "
                                         rf"resample it, because {lost} has no usable georeference"):
        read_raster(path, Modality("dem"), grid=grid)
