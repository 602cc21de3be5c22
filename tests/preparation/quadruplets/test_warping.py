"""Values arrive at the right place, and none are made up where there is no data."""

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.transform import Affine

from imrsf_d2.geo.grids import Grid
from imrsf_d2.preparation.quadruplets import warping as resampling
from imrsf_d2.preparation.quadruplets.mosaics import open_mosaics
from imrsf_d2.preparation.quadruplets.sensors import SENSORS, encode
from imrsf_d2.preparation.quadruplets.warping import fill_grid
from tests.preparation.quadruplets.scene_files import (
    GRID,
    LEFT,
    TOP,
    UTM,
    centers,
    from_utm,
    interpolate,
    tile,
    to_utm,
    write_scene,
)


def offsets(x, y):
    """Two planes over the map, in pixels of the grid from its corner, positive, as power has to be."""
    return np.stack([100 + (x - GRID.transform.c) / 10, 100 + (GRID.transform.f - y) / 10]).astype(np.float32)


EXPECTED = offsets(*centers(GRID.transform.c, GRID.transform.f, 10, 64, 64))


@pytest.mark.parametrize("pixel, shift", [(10, 0), (10, 5), (10, 3.7), (20, 0), (20, 7), (7, 1), (2.5, 0), (4, 1)])
def test_a_plane_over_the_map_stays_where_it_is(tmp_path, pixel, shift):
    left, top, size = LEFT - shift, TOP + shift, int(1500 / pixel)
    values = offsets(*centers(left, top, pixel, size, size))
    path = write_scene(tmp_path / "s1.tif", values, left=left, top=top, pixel=pixel)
    # A widened triangle of few pixels is centered to about a hundredth of a pixel.
    np.testing.assert_allclose(tile("s1", path), EXPECTED, rtol=0, atol=1e-3 if pixel > 5 else 0.02)


def test_a_plane_from_degrees_stays_where_it_is(tmp_path):
    west, north, pixel = *from_utm(LEFT - 50, TOP + 50, 31), 1e-4
    longitude, latitude = centers(west, north, pixel, 150, 200)
    values = offsets(*to_utm(longitude, latitude, 31))
    path = write_scene(tmp_path / "s1.tif", values, left=west, top=north, pixel=pixel, crs="EPSG:4326")
    np.testing.assert_allclose(tile("s1", path), EXPECTED, rtol=0, atol=2e-3)


def test_a_plane_from_the_next_utm_zone_stays_where_it_is(tmp_path):
    longitude, latitude = from_utm(GRID.transform.c + 320, GRID.transform.f - 320, 31)
    easting, northing = to_utm(longitude, latitude, 32)
    left, top = round(easting) - 1000, round(northing) + 1000
    x, y = centers(left, top, 10, 200, 200)
    values = offsets(*to_utm(*from_utm(x, y, 32), 31))
    path = write_scene(tmp_path / "s1.tif", values, left=left, top=top, crs="EPSG:32632")
    np.testing.assert_allclose(tile("s1", path), EXPECTED, rtol=0, atol=2e-3)


def test_an_aligned_scene_is_copied_to_the_bit(tmp_path, rng):
    scene = rng.integers(1, 5000, (4, 150, 150), dtype=np.uint16)
    values = encode(SENSORS["s2"], tile("s2", write_scene(tmp_path / "s2.tif", scene)), 0)
    assert values.dtype == np.uint16
    np.testing.assert_array_equal(values, scene[:, 40:104, 40:104])


@pytest.mark.parametrize(
    "rows, columns", [(slice(None), slice(60, None)), (slice(55, 62), slice(70, 78))], ids=["swath edge", "hole"]
)
@pytest.mark.parametrize("form", ["NaN", "tag", "NaN as tag", "internal mask", "mask beside", "alpha", "alpha and tag"])
def test_no_data_bleeds_into_nothing(tmp_path, rng, form, rows, columns):
    truth = rng.uniform(10, 20, (120, 120)).astype(np.float32)
    empty = np.zeros(truth.shape, dtype=bool)
    empty[rows, columns] = True
    garbage = np.where(empty, np.float32({"NaN": np.nan, "NaN as tag": np.nan, "tag": -9999}.get(form, 8000)), truth)
    options = {
        "tag": {"nodata": -9999},
        "NaN as tag": {"nodata": np.nan},
        "internal mask": {"mask": ~empty},
        "mask beside": {"mask": ~empty, "sidecar": True},
        "alpha": {"alpha": ~empty},
        "alpha and tag": {"alpha": ~empty, "nodata": -1},
    }.get(form, {})
    path = write_scene(tmp_path / "dem.tif", garbage, left=LEFT - 3, top=TOP + 4, **options)
    places = np.arange(40, 104) + 0.5
    expected = interpolate(np.where(empty, np.nan, truth), places + 0.4, places + 0.3)
    found = tile("dem", path)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert np.isnan(found).any() and 10 <= np.nanmin(found) and np.nanmax(found) <= 20


@pytest.mark.parametrize("pixel", [20.0, 2.5], ids=["coarser", "finer"])
def test_other_resolutions_match_the_spelled_out_interpolation(tmp_path, rng, pixel):
    size = int(1100 / pixel)
    truth = rng.uniform(10, 20, (size, size)).astype(np.float32)
    truth[rng.random(truth.shape) < 0.02] = np.nan
    small = Grid.north_up(GRID.crs, LEFT + 400, TOP - 400, 10.0, 24, 24)
    path = write_scene(tmp_path / "dem.tif", truth, pixel=pixel)
    places = (400 + 10 * (np.arange(24) + 0.5)) / pixel
    np.testing.assert_allclose(
        tile("dem", path, grid=small)[0], interpolate(truth, places, places, max(1.0, 10 / pixel)), rtol=1e-5
    )


def test_one_band_without_data_makes_the_pixel_empty_in_both(tmp_path):
    scene = np.ones((2, 150, 150), dtype=np.float32)
    scene[0, 50, 50], scene[1, 51, 51], scene[1, 52, 52], scene[0, 53, 53] = np.nan, np.inf, 0.0, -np.inf
    found = tile("s1", write_scene(tmp_path / "s1.tif", scene))
    assert sorted(zip(*np.nonzero(np.isnan(found[0])))) == [(10, 10), (11, 11), (12, 12), (13, 13)]
    np.testing.assert_array_equal(np.isnan(found[0]), np.isnan(found[1]))


def test_decibels_are_averaged_as_power(tmp_path):
    scene = np.full((2, 150, 150), -10.0, dtype=np.float32)
    scene[0, :, ::2] = 0.0  # power 1; the columns between hold 0.1
    scene[:, 60, 60] = -9999
    found = tile("s1", write_scene(tmp_path / "s1.tif", scene, left=LEFT - 5, nodata=-9999), s1_unit="db")
    np.testing.assert_allclose(found[0, :15], 0.55, rtol=1e-6)  # halfway between 1 and 0.1
    np.testing.assert_allclose(found[1, :15], 0.1, rtol=1e-6)
    assert np.isnan(found[0]).sum() == 1


def test_classes_take_the_nearest_pixel(tmp_path, rng):
    scene = rng.integers(0, 9, (75, 75), dtype=np.uint8)
    scene[30, 30], scene[31, 31] = 255, 77
    path = write_scene(tmp_path / "dnw.tif", scene, pixel=20, nodata=77)
    found = encode(SENSORS["dnw"], tile("dnw", path), 255)
    scene[31, 31] = 255
    np.testing.assert_array_equal(found[0], np.kron(scene[20:52, 20:52], np.ones((2, 2), dtype=np.uint8)))


def test_classes_from_degrees_are_the_pixels_under_the_centers(tmp_path, rng):
    west, north, pixel = *from_utm(LEFT - 50, TOP + 50, 31), 1e-4
    scene = rng.integers(0, 9, (150, 200), dtype=np.uint8)
    path = write_scene(tmp_path / "dnw.tif", scene, left=west, top=north, pixel=pixel, crs="EPSG:4326")
    longitude, latitude = from_utm(*centers(GRID.transform.c, GRID.transform.f, 10, 64, 64), 31)
    rows, columns = (north - latitude) / pixel, (longitude - west) / pixel
    sure = (np.abs(rows - np.rint(rows)) > 1e-3) & (np.abs(columns - np.rint(columns)) > 1e-3)
    found = tile("dnw", path)[0]
    assert sure.mean() > 0.98
    np.testing.assert_array_equal(found[sure], scene[np.floor(rows).astype(int), np.floor(columns).astype(int)][sure])


def test_a_scene_exported_in_pieces_equals_the_whole(tmp_path, rng):
    scene = rng.uniform(0.1, 1, (2, 150, 150)).astype(np.float32)
    place = {"left": LEFT - 3, "top": TOP + 4}
    whole = write_scene(tmp_path / "s1.tif", scene, **place)
    pieces = [
        write_scene(
            tmp_path / f"s1-{row}-{column}.tif",
            scene[:, row : row + 70, column : column + 70],
            left=place["left"] + 10 * column,
            top=place["top"] - 10 * row,
        )
        for row in (0, 70, 140)
        for column in (0, 70, 140)
    ]
    assert len(open_mosaics("s1", [str(path) for path in pieces])) == 1
    np.testing.assert_array_equal(tile("s1", *pieces), tile("s1", whole))
    np.testing.assert_array_equal(tile("s1", *reversed(pieces)), tile("s1", whole))


def test_pieces_in_degrees_share_a_lattice(tmp_path):
    pixel = 8.983152841195215e-05  # how Earth Engine says 10 m
    scene = np.ones((100, 100), dtype=np.float32)
    paths = [
        str(write_scene(tmp_path / f"dem{i}.tif", scene, left=3.0 + 100 * i * pixel, top=45.0, pixel=pixel, crs="EPSG:4326"))
        for i in range(3)
    ]
    (mosaic,) = open_mosaics("dem", paths)
    assert [piece.column for piece in mosaic.pieces] == [0, 100, 200]


def test_the_first_valid_scene_wins(tmp_path):
    first = np.full((150, 150), 1.0, dtype=np.float32)
    first[:, 70:] = np.nan
    second = np.full((150, 150), 2.0, dtype=np.float32)
    second[:70] = np.nan
    west, north = from_utm(LEFT - 500, TOP + 500, 31)
    third = np.full((60, 60), 3.0, dtype=np.float32)
    paths = [
        write_scene(tmp_path / "dem1.tif", first),
        write_scene(tmp_path / "dem2.tif", second, left=LEFT - 4),
        write_scene(tmp_path / "dem3.tif", third, left=west, top=north, pixel=0.0005, crs="EPSG:4326"),
    ]
    found = tile("dem", *paths)[0]
    expected = np.full((64, 64), 3.0)
    expected[30:], expected[:, :30] = 2.0, 1.0
    np.testing.assert_array_equal(found, expected)


def test_where_no_scene_is_there_is_nothing(tmp_path):
    path = write_scene(tmp_path / "dem.tif", np.ones((20, 20), dtype=np.float32))
    assert np.isnan(tile("dem", path)).all()


def test_large_windows_are_read_in_parts(tmp_path, rng, monkeypatch):
    truth = rng.uniform(10, 20, (440, 440)).astype(np.float32)
    path = write_scene(tmp_path / "dem.tif", truth, pixel=2.5, left=LEFT + 1)
    whole, sizes = tile("dem", path), []

    def read(mosaic, row, column, height, width):
        sizes.append(height * width)
        return read_window(mosaic, row, column, height, width)

    read_window = resampling.read_window
    monkeypatch.setattr(resampling, "read_window", read)
    monkeypatch.setattr(resampling, "LARGEST_WINDOW", 3000)
    np.testing.assert_allclose(tile("dem", path), whole, rtol=1e-6)
    assert len(sizes) > 16 and max(sizes) <= 3000


@pytest.mark.parametrize("degrees", [0, 37], ids=["north up", "turned"])
def test_the_bounds_of_a_mosaic_are_those_of_its_files(tmp_path, degrees):
    paths = []
    for i, column in enumerate((0, 70)):
        turned = (
            Affine.translation(LEFT, TOP) * Affine.rotation(degrees) * Affine.scale(10, -10) * Affine.translation(column, 0)
        )
        paths.append(str(tmp_path / f"dem{i}.tif"))
        with rasterio.open(
            paths[-1], "w", driver="GTiff", count=1, dtype="float32", height=50, width=70, crs=UTM, transform=turned
        ) as file:
            file.write(np.ones((1, 50, 70), np.float32))
    (mosaic,) = open_mosaics("dem", paths)
    for path, bounds in zip(paths, mosaic.bounds):
        with rasterio.open(path) as file:
            a, corners = file.transform, ((0, 0), (70, 0), (0, 50), (70, 50))
        corners = [(a.a * column + a.b * row + a.c, a.d * column + a.e * row + a.f) for column, row in corners]
        np.testing.assert_allclose(bounds, [*np.min(corners, axis=0), *np.max(corners, axis=0)])


def test_a_tile_outside_the_domain_of_the_scenes_projection_has_no_data(tmp_path):
    path = write_scene(tmp_path / "dem.tif", np.ones((70, 70), np.float32))
    antipode = Grid.north_up(CRS.from_epsg(32760), 500_000.0, 5_000_000.0, 10.0, 8, 8)
    assert np.isnan(tile("dem", path, grid=antipode)).all()


# --- any place and resolution


@pytest.fixture(scope="module")
def holed_scene(tmp_path_factory):
    """Random heights with holes, and the mosaic of their file."""
    rng = np.random.default_rng(0)
    values = rng.uniform(100, 200, (60, 60)).astype(np.float32)
    values[rng.random(values.shape) < 0.2] = np.nan
    values[20:30, 20:30] = np.nan
    return values, open_mosaics("dem", [str(write_scene(tmp_path_factory.mktemp("scene") / "dem.tif", values))])


@settings(max_examples=40)
@given(left=st.floats(-150, 650), top=st.floats(-150, 650), resolution=st.sampled_from([3.0, 10.0, 17.0]))
def test_a_pixel_has_data_where_the_nearest_has_and_its_value_lies_among_valid_ones(holed_scene, left, top, resolution):
    values, mosaics = holed_scene
    grid = Grid.north_up(GRID.crs, LEFT + left, TOP - top, resolution, 16, 16)
    found, copied = fill_grid(mosaics, grid)
    rows = (top + resolution * (np.arange(16) + 0.5)) / 10
    columns = (left + resolution * (np.arange(16) + 0.5)) / 10
    nearest = np.full((16, 16), np.nan)
    inside = ((rows >= 0) & (rows < 60))[:, None] & ((columns >= 0) & (columns < 60))
    at = np.clip(np.floor(rows).astype(int), 0, 59)[:, None], np.clip(np.floor(columns).astype(int), 0, 59)
    nearest[inside] = values[at][inside]
    # Half a billionth of a pixel from an edge, either neighbor is the nearest.
    sure = (np.abs(rows - np.rint(rows)) > 1e-6)[:, None] & (np.abs(columns - np.rint(columns)) > 1e-6)
    np.testing.assert_array_equal(np.isnan(found[0])[sure], np.isnan(nearest)[sure])
    there = found[0][~np.isnan(found[0])]
    assert there.size == 0 or 100 <= there.min() and there.max() <= 200
    if copied.any():
        np.testing.assert_array_equal(found[0][sure], nearest[sure])


@given(left=st.integers(-40, 60), top=st.integers(-40, 60), height=st.integers(1, 30), width=st.integers(1, 30))
def test_on_the_pixels_of_the_scene_every_value_is_copied(holed_scene, left, top, height, width):
    values, mosaics = holed_scene
    found, copied = fill_grid(mosaics, Grid.north_up(GRID.crs, LEFT + 10 * left, TOP - 10 * top, 10.0, height, width))
    around = np.pad(values, 100, constant_values=np.nan)[100 + top : 100 + top + height, 100 + left : 100 + left + width]
    np.testing.assert_array_equal(found[0], around)
    np.testing.assert_array_equal(copied, ~np.isnan(around))
