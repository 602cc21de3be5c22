"""Resampling through the ground: worked numbers, a plane that must stay a plane, and no leak of what is invalid."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.transform import Affine, from_origin, xy
from rasterio.warp import transform as transform_points

from imrsf_d2.geo import rasters
from imrsf_d2.geo.grids import Grid
from imrsf_d2.geo.rasters import RasterError, read_grid, read_raster
from imrsf_d2.geo.warp import Warp
from imrsf_d2.modalities import Modality
from tests.strategies import garbage_values, seeds

UTM = CRS.from_epsg(32631)
FINE = Grid(8, 12, UTM, from_origin(500_000, 5_000_000, 10, 10))
COARSE = Grid(4, 6, UTM, from_origin(500_000, 5_000_000, 20, 20))


def centers(grid):
    """Map coordinates [H, W] of the pixel centers."""
    rows, columns = np.indices(grid.shape)
    return tuple(np.reshape(values, grid.shape) for values in xy(grid.transform, rows.ravel(), columns.ravel()))


def plane(x, y):
    return (0.25 * (x - 500_000) - 0.5 * (y - 5_000_000)).astype(np.float32)


def resample(bands, valid, source, target, categorical, part=None):
    """Bands [C, h, w] and validity [h, w] of all of `source` on `target`, or on a part of it."""
    warp = Warp.between(source, target, part)
    return warp.resample(bands[(slice(None), *warp.window)], valid[warp.window], categorical)


def everywhere(grid):
    return np.ones(grid.shape, dtype=bool)


@pytest.mark.parametrize("source, target", [(COARSE, FINE), (FINE, COARSE)], ids=["20 m to 10 m", "10 m to 20 m"])
def test_a_plane_stays_a_plane(source, target):
    bands, valid = resample(plane(*centers(source))[None], everywhere(source), source, target, categorical=False)
    inner = (slice(2, -2), slice(2, -2)) if source is COARSE else (slice(1, -1), slice(1, -1))
    np.testing.assert_allclose(bands[0][inner], plane(*centers(target))[inner], atol=1e-3)
    assert valid.all()


def test_another_coordinate_system_lands_in_the_same_place():
    (west,), (north,) = transform_points(UTM, "EPSG:4326", [499_900], [5_000_100])
    degrees = Grid(20, 20, CRS.from_epsg(4326), from_origin(west, north, 2e-4, 2e-4))  # 16 x 22 m
    x, y = centers(degrees)
    utm_x, utm_y = transform_points("EPSG:4326", UTM, x.ravel(), y.ravel())
    values = plane(np.reshape(utm_x, degrees.shape), np.reshape(utm_y, degrees.shape))
    bands, valid = resample(values[None], everywhere(degrees), degrees, FINE, categorical=False)
    assert valid.all()
    np.testing.assert_allclose(bands[0], plane(*centers(FINE)), atol=0.01)


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


# --- windows: the same pixels whatever is read

SCENE = Grid(300, 400, UTM, from_origin(500_000, 5_000_000, 10, 10))
PART = slice(20, 52), slice(10, 50)


def around(x, y, pixel, height, width, degrees=0, crs=UTM):
    return Grid(
        height,
        width,
        crs,
        Affine.translation(x, y)
        @ Affine.rotation(degrees)
        @ Affine.scale(pixel, -pixel)
        @ Affine.translation(-width / 2, -height / 2),
    )


def elsewhere(crs, pixel, height, width):
    (x,), (y,) = transform_points(UTM, crs, [502_000], [4_998_500])
    return around(x, y, pixel, height, width, crs=CRS.from_string(crs))


TARGETS = {
    "shifted": around(502_003.3, 4_998_501.7, 10, 100, 120),
    "finer": around(502_000, 4_998_500, 4, 120, 150),
    "coarser": around(502_000, 4_998_500, 23.7, 60, 70),
    "rotated": around(502_000, 4_998_500, 10, 90, 80, degrees=30),
    "rotated and coarser": around(502_000, 4_998_500, 17, 80, 60, degrees=50),
    "another zone": elsewhere("EPSG:32632", 10, 100, 80),
    "another zone, coarser": elsewhere("EPSG:32632", 30, 60, 80),
    "degrees": elsewhere("EPSG:4326", 8e-5, 100, 90),
    "beyond the edge": around(504_000, 5_000_000, 20, 60, 70),
}


@pytest.fixture
def noise():
    rng = np.random.default_rng(0)
    return rng.normal(size=(2, *SCENE.shape)).astype(np.float32), rng.random(SCENE.shape) > 0.02


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
@pytest.mark.parametrize("categorical", [False, True], ids=["measurements", "classes"])
def test_the_window_that_is_read_is_enough(noise, target, categorical):
    bands, valid = noise
    warp = Warp.between(SCENE, target, PART)
    assert np.prod([side.stop - side.start for side in warp.window]) < SCENE.height * SCENE.width / 2
    everything = dataclasses.replace(warp, window=(slice(0, SCENE.height), slice(0, SCENE.width)))
    ours, our_valid = warp.resample(bands[(slice(None), *warp.window)], valid[warp.window], categorical)
    theirs, their_valid = everything.resample(bands, valid, categorical)
    np.testing.assert_array_equal(our_valid, their_valid)
    np.testing.assert_allclose(ours[:, our_valid], theirs[:, our_valid], atol=1e-6)
    assert our_valid.any()


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_a_part_is_what_the_whole_has_there(noise, target):
    bands, valid = noise
    whole, whole_valid = resample(bands, valid, SCENE, target, False)
    part, part_valid = resample(bands, valid, SCENE, target, False, PART)
    both = part_valid & whole_valid[PART]
    # Where a projection lies between, GDAL approximates it along the rows that it is given: equal parts alone are equal to
    # the bit, which is what a scene is read in.
    assert (part_valid != whole_valid[PART]).sum() <= (0 if target.crs == UTM else 3)
    np.testing.assert_allclose(part[:, both], whole[(slice(None), *PART)][:, both], atol=1e-6 if target.crs == UTM else 0.05)


@pytest.mark.parametrize("name", ["shifted", "finer", "rotated", "another zone", "degrees"])
def test_bilinear_interpolation_spelled_out(noise, name):
    bands, target = noise[0].astype(np.float64), TARGETS[name]
    ours, valid = resample(noise[0], everywhere(SCENE), SCENE, target, False, PART)
    xs, ys = centers(target.part(*PART))
    xs, ys = transform_points(target.crs, UTM, xs.ravel(), ys.ravel())
    rows, columns = (5_000_000 - np.array(ys)) / 10 - 0.5, (np.array(xs) - 500_000) / 10 - 0.5
    r, c = np.floor(rows).astype(int), np.floor(columns).astype(int)
    down, right = rows - r, columns - c
    expected = (
        (1 - down) * (1 - right) * bands[:, r, c]
        + (1 - down) * right * bands[:, r, c + 1]
        + down * (1 - right) * bands[:, r + 1, c]
        + down * right * bands[:, r + 1, c + 1]
    )
    np.testing.assert_allclose(ours.reshape(2, -1), expected, atol=1e-4 if target.crs == UTM else 0.02)
    assert valid.all()


def test_the_kernel_at_the_edge_of_a_scene_is_that_inside():
    # Twice as coarse: half of [1, 3, 3, 1] / 8 along each side, of what there is of the scene.
    scene = Grid(8, 8, UTM, FINE.transform)
    column = np.arange(8, dtype=np.float32) ** 2
    bands = np.broadcast_to(column, (1, 8, 8)).copy()
    beyond = Grid(4, 40, UTM, from_origin(500_000, 5_000_000, 20, 20))
    values, valid = resample(bands, everywhere(scene), scene, beyond, False)
    assert valid.tolist() == [[True] * 4 + [False] * 36] * 4
    np.testing.assert_allclose(values[0, 1, 1:3], [(1 + 3 * 4 + 3 * 9 + 16) / 8, (9 + 3 * 16 + 3 * 25 + 36) / 8], rtol=1e-6)


def test_a_window_beside_the_scene_is_invalid(tmp_path, write_raster):
    path = write_raster(tmp_path / "a.tif", np.ones((4, 6), np.float32), crs=UTM, transform=COARSE.transform)
    far = Grid(5, 7, UTM, from_origin(700_000, 5_200_000, 10, 10))
    bands, valid = read_raster(path, Modality("dem", mean=(3.0,)), grid=far, window=(slice(1, 4), slice(2, 7)))
    assert bands.shape == (1, 3, 5) and not valid.any() and (bands == 3).all()


def test_across_180_degrees_nothing_is_lost():
    globe = Grid(40, 3600, CRS.from_epsg(4326), from_origin(-180, 2, 0.1, 0.1))
    values = np.tile(np.abs(-179.95 + 0.1 * np.arange(3600)), (40, 1)).astype(np.float32)[None]
    zone_1 = Grid(20, 60, CRS.from_epsg(32601), from_origin(166_000 - 300_000, 100_000, 10_000, 10_000))
    warp = Warp.between(globe, zone_1)
    assert warp.window[1] == slice(0, 3600)
    bands, valid = resample(values, everywhere(globe), globe, zone_1, False)
    xs, ys = centers(zone_1)
    longitude, _ = transform_points(zone_1.crs, "EPSG:4326", xs.ravel(), ys.ravel())
    near = np.abs(np.reshape(longitude, zone_1.shape)) < 179.9  # at the seam itself the source ends
    assert valid[near].all()
    np.testing.assert_allclose(bands[0][near], np.abs(np.reshape(longitude, zone_1.shape))[near], atol=0.01)


def test_of_a_large_scene_a_small_window_is_read(tmp_path, write_raster, monkeypatch):
    path = write_raster(tmp_path / "a.tif", np.ones((1000, 1200), np.float32), crs=UTM, transform=FINE.transform)
    read = []
    real = rasters.read_stored
    monkeypatch.setattr(
        rasters, "read_stored", lambda file, numbers, window: read.append(window) or real(file, numbers, window)
    )
    wanted = Grid(500, 600, UTM, FINE.scaled_to(8, 12).transform @ Affine.scale(2))
    _, valid = read_raster(path, Modality("dem"), grid=wanted, window=(slice(100, 132), slice(50, 82)))
    assert valid.all() and len(read) == 1
    assert (read[0].row_off, read[0].height, read[0].col_off, read[0].width) == (196, 72, 96, 72)


@pytest.mark.parametrize("stored", ["power", "decibels"])
def test_radar_is_averaged_as_power(tmp_path, write_raster, stored):
    power = np.array([[1.0, 100.0], [1.0, 100.0]], np.float32)
    values, meaning = (power, {"transform": "db"}) if stored == "power" else (10 * np.log10(power), {"unit": "dB"})
    path = write_raster(tmp_path / "s.tif", values, crs=UTM, transform=from_origin(500_000, 5_000_000, 10, 10))
    one = Grid(1, 1, UTM, from_origin(500_000, 5_000_000, 20, 20))
    bands, _ = read_raster(path, Modality("sar", 1, **meaning), grid=one)
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
    with pytest.raises(
        RasterError, match=r"'dem' is 6 x 4 px \(.*a\.tif\), expected 12 x 8 px; INPUT\.ALIGN cannot resample it"
    ):
        read_raster(path, Modality("dem"), grid=FINE)


@pytest.mark.parametrize("size", [(8, 12), (4, 6)], ids=["on the grid", "resampled"])
def test_a_window_is_what_the_whole_has_there(tmp_path, write_raster, size):
    array = np.random.default_rng(0).uniform(1, 9, size).astype(np.float32)
    array[1, 2] = -9999
    path = write_raster(
        tmp_path / "a.tif",
        array,
        mask=array < 8,
        nodata=-9999,
        crs=UTM,
        transform=(FINE if size == FINE.shape else COARSE).transform,
    )
    whole = read_raster(path, Modality("dem"), grid=FINE)
    rows, columns = window = (slice(1, 6), slice(3, 12))
    for part, all_of_it in zip(read_raster(path, Modality("dem"), grid=FINE, window=window), whole):
        np.testing.assert_allclose(part, all_of_it[..., rows, columns], rtol=1e-5)
    assert not whole[1].all() and whole[1].any()


def test_a_raster_on_the_wanted_grid_is_not_touched(tmp_path, write_raster):
    array = np.random.rand(8, 12).astype(np.float32)
    path = write_raster(tmp_path / "a.tif", array, crs=UTM, transform=FINE.transform)
    bands, _ = read_raster(path, Modality("dem"), grid=read_grid(path))
    np.testing.assert_array_equal(bands[0], array)


@pytest.mark.parametrize("place, lost", [({}, "the file"), ({"crs": UTM, "transform": COARSE.transform}, "the reference")])
def test_without_a_georeference_nothing_can_be_resampled(tmp_path, write_raster, place, lost):
    path = write_raster(tmp_path / "a.tif", np.ones((4, 6), np.float32), **place)
    grid = FINE if lost == "the file" else Grid(8, 12, None, Affine.identity())
    with pytest.raises(
        ValueError,
        match=rf"'dem' is 6 x 4 px \(.*a\.tif\), expected 12 x 8 px; INPUT\.ALIGN cannot "
        rf"resample it, because {lost} has no usable georeference",
    ):
        read_raster(path, Modality("dem"), grid=grid)


# --- any two grids

georeferences = st.builds(
    lambda left, top, pixel: from_origin(500_000 + left, 5_000_000 + top, pixel, pixel),
    st.floats(-100, 100),
    st.floats(-100, 100),
    st.sampled_from([4.0, 10.0, 23.0]),
)
placed = st.builds(Grid, st.integers(1, 20), st.integers(1, 20), st.just(UTM), georeferences)


@settings(max_examples=40)
@given(placed, placed, seeds, garbage_values, st.booleans())
def test_aligning_makes_valid_pixels_of_valid_ones_alone(source, target, seed, garbage, categorical):
    rng = np.random.default_rng(seed)
    valid = rng.random(source.shape) < rng.random()
    values = rng.integers(10, 20, (2, *source.shape)).astype(np.float32)
    bands, on_target = resample(np.where(valid, values, np.float32(garbage)), valid, source, target, categorical)
    rows, columns = np.indices(target.shape)
    x, y = (np.reshape(side, target.shape) for side in xy(target.transform, rows.ravel(), columns.ravel()))
    place = ~source.transform
    column, row = place.a * x + place.c, place.e * y + place.f
    inside = (row >= 0) & (row < source.height) & (column >= 0) & (column < source.width)
    nearest = (
        np.clip(np.floor(row).astype(int), 0, source.height - 1),
        np.clip(np.floor(column).astype(int), 0, source.width - 1),
    )
    # A millionth of a pixel from an edge, either neighbor is the nearest.
    sure = (np.abs(row - np.rint(row)) > 1e-6) & (np.abs(column - np.rint(column)) > 1e-6)
    np.testing.assert_array_equal(on_target[sure], (valid[nearest] & inside)[sure])
    there = bands[:, on_target]
    assert there.size == 0 or 9.999 < there.min() and there.max() < 20.001
    if categorical:
        here = on_target & sure
        np.testing.assert_array_equal(bands[:, here], values[(slice(None), *nearest)][:, here])


def test_a_window_that_reaches_beyond_a_file_on_the_same_pixels_is_empty_there(tmp_path, write_raster):
    path = write_raster(
        tmp_path / "dem.tif", np.arange(48, dtype=np.float32).reshape(6, 8), crs=UTM, transform=FINE.transform
    )
    grid, window = Grid(6, 8, UTM, FINE.transform), (slice(4, 9), slice(-2, 10))
    bands, valid = read_raster(path, Modality("dem"), grid=grid, window=window)
    expected = np.zeros((5, 12), dtype=bool)
    expected[:2, 2:10] = True
    np.testing.assert_array_equal(valid, expected)
    np.testing.assert_array_equal(bands[0][valid], np.arange(32, 48, dtype=np.float32))
