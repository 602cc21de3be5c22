"""Sentinel-2 pixels are kept wherever possible; where they are not, the reason is given."""

import numpy as np
import pytest
import rasterio
from rasterio.crs import CRS
from rasterio.transform import Affine

from imrsf_d2.geo.grids import Grid
from imrsf_d2.geo.projections import metric_crs
from imrsf_d2.preparation.quadruplets.city_grid import city_grid
from imrsf_d2.preparation.quadruplets.mosaics import open_mosaics
from imrsf_d2.preparation.quadruplets.warping import fill_grid
from tests.preparation.quadruplets.scene_files import UTM, write_scene

UTM31 = CRS.from_epsg(32631)
EXTENT = (500_100.0, 5_069_000.0, 500_900.0, 5_069_900.0)


def scenes(folder, *places):
    """Mosaics of scenes of 100 px at (left, top), or (left, top, options)."""
    paths = []
    for i, (left, top, *options) in enumerate(places):
        bands = np.random.default_rng(i).integers(1, 4000, (4, 100, 100), dtype=np.uint16)
        paths.append(str(write_scene(folder / f"s2_{i}.tif", bands, left=left, top=top, **(options or [{}])[0])))
    return open_mosaics("s2", paths)


def test_the_grid_continues_the_pixels_of_the_scene(tmp_path):
    grid, reason = city_grid(scenes(tmp_path, (500_003.5, 5_070_001.25)), EXTENT, UTM31, 10.0)
    # From 500,003.5 in steps of 10 m: the last at or left of 500,100 is 500,093.5; from the top down, 5,069,901.25.
    assert grid == Grid.north_up(UTM31, 500_093.5, 5_069_901.25, 10.0, 91, 81) and reason == ""
    # 5,068,991.25 is the first edge below 5,069,000: 91 rows; 500,903.5 right of 500,900: 81 columns


def test_without_sentinel_2_corners_are_multiples_of_the_resolution():
    assert city_grid((), (500_101.0, 5_069_001.0, 500_899.0, 5_069_899.0), UTM31, 10.0) == (
        Grid.north_up(UTM31, 500_100.0, 5_069_900.0, 10.0, 90, 80),
        "",
    )


def test_the_lattice_that_shows_most_of_the_labels_rules(tmp_path):
    places = (499_400.0, 5_069_900.0), (500_203.0, 5_070_004.0), (500_207.0, 5_070_004.0)
    grid, reason = city_grid(scenes(tmp_path, *places), EXTENT, UTM31, 10.0)
    assert (grid.transform.c % 10, grid.transform.f % 10) == (3, 4)  # the second: as much as the third, and before it
    # It shows 697 of 800 m by 896 of 900 m: 87 %.
    assert "that of s2_1.tif, which shows 87 %" in reason and "s2_0.tif, s2_2.tif had to be resampled" in reason


def test_scenes_elsewhere_and_of_another_size_do_not_rule(tmp_path):
    places = (900_003.0, 5_070_004.0), (500_007.0, 5_070_007.0, {"pixel": 20.0}), (500_005.0, 5_070_005.0)
    grid, _ = city_grid(scenes(tmp_path, *places), EXTENT, UTM31, 10.0)
    assert (grid.transform.c % 10, grid.transform.f % 10) == (5, 5)


@pytest.mark.parametrize(
    "place, found",
    [
        ((500_005.0, 5_070_005.0, {"pixel": 20.0}), "s2_0.tif are 20 x 20 m in EPSG:32631, those of the tiles 10 x 10 m"),
        ((500_005.0, 5_070_005.0, {"pixel": 9.999}), "s2_0.tif are 9.999 x 9.999 m in EPSG:32631"),
        ((3.0, 45.8, {"pixel": 0.001, "crs": "EPSG:4326"}), "s2_0.tif are 0.001 x 0.001 degree in EPSG:4326"),
    ],
)
def test_why_sentinel_2_has_to_be_resampled_is_said(tmp_path, place, found):
    grid, reason = city_grid(scenes(tmp_path, place), EXTENT, UTM31, 10.0)
    assert (grid.transform.c, grid.transform.f) == (500_100.0, 5_069_900.0)
    assert found in reason and "--resolution" in reason


def test_turned_pixels_are_no_part_of_a_north_up_grid(tmp_path):
    path = str(tmp_path / "s2.tif")
    turned = Affine.translation(500_000, 5_070_000) * Affine.rotation(20) * Affine.scale(10, -10)
    with rasterio.open(
        path, "w", driver="GTiff", count=4, dtype="uint16", height=100, width=100, crs=UTM, transform=turned
    ) as file:
        file.write(np.full((4, 100, 100), 7, np.uint16))
    mosaics = open_mosaics("s2", [path])
    grid, reason = city_grid(mosaics, EXTENT, UTM31, 10.0)
    assert (grid.transform.c, grid.transform.f) == (500_100.0, 5_069_900.0) and "10 x 10 m in EPSG:32631, turned" in reason
    assert mosaics[0].offset_of(grid) is None


def test_which_pixels_are_a_scenes_own_is_marked(tmp_path):
    on, off = scenes(tmp_path, (500_003.5, 5_070_001.25), (500_010.0, 5_070_001.25))
    grid = Grid.north_up(
        UTM31, 500_003.5 - 100, 5_070_001.25, 10.0, 20, 120
    )  # ten columns west of the first scene, ten east
    values, copied = fill_grid([on, off], grid)
    np.testing.assert_array_equal(np.flatnonzero(copied[0]), np.arange(10, 110))
    np.testing.assert_array_equal(np.flatnonzero(~np.isnan(values[0, 0])), np.arange(10, 111))  # the second is 6.5 m east
    with rasterio.open(on.pieces[0].path) as file:
        np.testing.assert_array_equal(values[:, :, 10:110], file.read()[:, :20])
    # The other way around the second comes first: what it shows is not the first's own, though the first has it too.
    values, copied = fill_grid([off, on], grid)
    np.testing.assert_array_equal(np.flatnonzero(copied[0]), [10])


@pytest.mark.parametrize(
    "shift, pixel, place",
    [(0.0, 10.0, (3, 5)), (0.009, 10.0, (3, 5)), (0.02, 10.0, None), (0.0, 10.0001, (3, 5)), (0.0, 10.001, None)],
)
def test_pixels_are_the_same_within_a_thousandth(tmp_path, shift, pixel, place):
    (mosaic,) = scenes(tmp_path, (500_000.0, 5_070_000.0, {"pixel": pixel}))
    assert mosaic.offset_of(Grid.north_up(UTM31, 500_050.0 + shift, 5_069_970.0, 10.0, 64, 64)) == place


@pytest.mark.parametrize("crs", ["EPSG:32631+5773", "EPSG:25831"], ids=["with heights", "of another datum"])
def test_the_same_pixels_under_another_name_are_copied(tmp_path, crs):
    """A CRS with heights, or of ETRS89, is another CRS, but its pixels lie in the same places."""
    west, east = (500_000.0, 5_070_000.0), (501_000.0, 5_070_000.0, {"crs": crs})
    (mosaic,) = scenes(tmp_path / "a", west, east)
    assert [(piece.row, piece.column) for piece in mosaic.pieces] == [(0, 0), (0, 100)]
    (mosaic,) = scenes(tmp_path / "b", east)
    assert mosaic.offset_of(Grid.north_up(UTM31, 501_050.0, 5_069_970.0, 10.0, 64, 64)) == (3, 5)
    assert mosaic.offset_of(Grid.north_up(UTM31, 501_050.02, 5_069_970.0, 10.0, 64, 64)) is None


def test_the_same_numbers_in_another_zone_are_other_pixels(tmp_path):
    assert len(scenes(tmp_path, (500_000.0, 5_070_000.0), (500_000.0, 5_070_000.0, {"crs": "EPSG:32632"}))) == 2
    (mosaic,) = scenes(tmp_path, (500_000.0, 5_070_000.0))
    assert mosaic.offset_of(Grid.north_up(CRS.from_epsg(32632), 500_000.0, 5_070_000.0, 10.0, 64, 64)) is None


@pytest.mark.parametrize(
    "crs, expected", [("EPSG:3857+5773", 32631), ("EPSG:3857", 32631), ("EPSG:3388", 32631), ("EPSG:2154+5720", None)]
)
def test_heights_do_not_make_mercators_units_meters(crs, expected):
    crs = CRS.from_user_input(crs)
    assert metric_crs(crs, EXTENT, UTM31) == (crs if expected is None else CRS.from_epsg(expected))
