"""Longitudes repeat: scenes and labels across 180 degrees, however they are stored."""

import numpy as np
import pytest
import shapely
from rasterio.crs import CRS

from imrsf_d2.data.class_tables import ClassTable, TableClass
from imrsf_d2.geo.grids import Grid
from imrsf_d2.geo.projections import longitude_latitude, metric_crs, move_bounds
from imrsf_d2.geo.vectors import find_layer, rasterize_labels, read_features
from imrsf_d2.geo.wrapping import meets, smallest_arc, unwrap_polygons
from imrsf_d2.preparation.quadruplets.exports import find_exports
from imrsf_d2.preparation.quadruplets.mosaics import open_mosaics
from imrsf_d2.preparation.quadruplets.plan import Planner
from imrsf_d2.preparation.quadruplets.warping import fill_grid
from tests.preparation.quadruplets.scene_files import centers, from_utm, to_utm, write_layer, write_scene

DEGREES, MERCATOR = CRS.from_epsg(4326), CRS.from_epsg(3857)
NORTH, SOUTH = 71.25, 70.95  # Wrangel Island
ZONES = {"west": (60, 179.95), "across": (1, -180.0), "across, zone 60": (60, 180.0), "east": (1, -179.95)}
RADIUS = 6378137.0


def grid_at(zone, longitude, size=48):
    x, y = to_utm(longitude, 71.1, zone)
    return Grid.north_up(CRS.from_epsg(32600 + zone), round(x, -1) - 5 * size, round(y, -1) + 5 * size, 10.0, size, size)


def seen(grid, zone):
    """Longitude, continuous from 179 to 181, and latitude of a grid's pixels, by Krueger's series."""
    longitude, latitude = from_utm(*centers(grid.transform.c, grid.transform.f, 10, grid.height, grid.width), zone)
    return longitude % 360, latitude


def height(longitude, latitude):
    """A plane, in meters."""
    return (2000 * (longitude - 179.5) + 1000 * (latitude - 71)).astype(np.float32)


def scene(path, west, east, pixel=1e-3, turn=0):
    """The plane between two longitudes, written `turn` degrees away from there."""
    count, rows = round((east - west) / pixel), round((NORTH - SOUTH) / pixel)
    return str(
        write_scene(
            path,
            height(*centers(west, NORTH, pixel, rows, count)),
            left=west + turn,
            top=NORTH,
            pixel=pixel,
            crs="EPSG:4326",
        )
    )


def mercator_scene(path, west, east, turn=0):
    meter = np.radians(1) * RADIUS
    pixel, top = meter * 1e-3, RADIUS * np.log(np.tan(np.pi / 4 + np.radians(NORTH) / 2))
    x, y = centers(west * meter, top, pixel, 900, round((east - west) / 1e-3))
    latitude = np.degrees(2 * np.arctan(np.exp(y / RADIUS)) - np.pi / 2)
    return str(
        write_scene(path, height(x / meter, latitude), left=(west + turn) * meter, top=top, pixel=pixel, crs="EPSG:3857")
    )


FORMS = {
    "beyond 180": lambda root: [scene(root / "dem.tif", 179.8, 180.2)],
    "beyond -180": lambda root: [scene(root / "dem.tif", 179.8, 180.2, turn=-360)],
    "two sides": lambda root: [scene(root / "dem1.tif", 179.8, 180.0), scene(root / "dem2.tif", 180.0, 180.2, turn=-360)],
    "east first": lambda root: [scene(root / "dem1.tif", 180.0, 180.2, turn=-360), scene(root / "dem2.tif", 179.8, 180.0)],
    "Mercator, beyond": lambda root: [mercator_scene(root / "dem.tif", 179.8, 180.2)],
    "Mercator, beyond -180": lambda root: [mercator_scene(root / "dem.tif", 179.8, 180.2, turn=-360)],
}


@pytest.mark.parametrize("place", ZONES)
@pytest.mark.parametrize("form", FORMS)
def test_a_plane_across_180_degrees_stays_where_it_is_and_has_no_seam(tmp_path, form, place):
    zone, longitude = ZONES[place]
    grid = grid_at(zone, longitude)
    found = fill_grid(open_mosaics("dem", FORMS[form](tmp_path)), grid)[0][0]
    # Float32 heights of about a kilometer, and Mercator's planes bend: a centimeter. One pixel of the scene is 2 m.
    np.testing.assert_allclose(found, height(*seen(grid, zone)), rtol=0, atol=0.01)


def test_halves_whose_pixels_do_not_line_up_meet_within_half_a_pixel(tmp_path):
    pixel = 0.0011  # 360 degrees are no whole number of these
    paths = [
        scene(tmp_path / "dem1.tif", 180.0 - 180 * pixel, 180.0, pixel),
        scene(tmp_path / "dem2.tif", 180.0, 180.0 + 180 * pixel, pixel, turn=-360),
    ]
    grid = grid_at(1, -180.0)
    found = fill_grid(open_mosaics("dem", paths), grid)[0][0]
    np.testing.assert_allclose(found, height(*seen(grid, 1)), rtol=0, atol=2000 * pixel / 2 + 0.01)


@pytest.mark.parametrize("place", ZONES)
def test_a_raster_of_the_whole_world_has_no_edge(tmp_path, place):
    zone, longitude = ZONES[place]
    values = np.tile(np.arange(1440) % 9, (40, 1)).astype(np.uint8)
    path = write_scene(tmp_path / "dnw.tif", values, left=-180, top=75, pixel=0.25, crs="EPSG:4326")
    grid = grid_at(zone, longitude)
    expected = np.floor((seen(grid, zone)[0] + 180) % 360 / 0.25) % 9
    np.testing.assert_array_equal(fill_grid(open_mosaics("dnw", [str(path)]), grid)[0][0], expected)


@pytest.mark.parametrize("west", [-160.1, 199.9])
def test_longitudes_from_0_to_360_are_those_from_minus_180(tmp_path, west):
    longitude, latitude = centers(199.9, 60.1, 1e-3, 200, 200)
    values = (1000 * (longitude - 199.9) + latitude).astype(np.float32)
    path = write_scene(tmp_path / "dem.tif", values, left=west, top=60.1, pixel=1e-3, crs="EPSG:4326")
    x, y = to_utm(-160.0, 60.0, 4)
    grid = Grid.north_up(CRS.from_epsg(32604), round(x, -1) - 240, round(y, -1) + 240, 10.0, 48, 48)
    found = fill_grid(open_mosaics("dem", [str(path)]), grid)[0][0]
    longitude, latitude = from_utm(*centers(grid.transform.c, grid.transform.f, 10, 48, 48), 4)
    np.testing.assert_allclose(found, 1000 * (longitude + 360 - 199.9) + latitude, rtol=0, atol=1e-3)


def test_large_windows_across_180_degrees_are_read_in_parts(tmp_path, monkeypatch):
    mosaics, grid = open_mosaics("dem", FORMS["two sides"](tmp_path)), grid_at(1, -180.0)
    whole, _ = fill_grid(mosaics, grid)
    monkeypatch.setattr("imrsf_d2.preparation.quadruplets.warping.LARGEST_WINDOW", 100)
    np.testing.assert_allclose(fill_grid(mosaics, grid)[0], whole, rtol=1e-6)


@pytest.mark.parametrize(
    "bounds, crs, zone",
    [
        ((179.8, 70, 180.1, 71), DEGREES, 32660),  # the middle is 179.95
        ((179.9, 70, 180.2, 71), DEGREES, 32601),  # 180.05, that is -179.95
        ((-180.2, -17, -179.9, -16), DEGREES, 32760),  # -180.05, that is 179.95
        ((199.9, 60, 200.1, 61), DEGREES, 32604),  # -160: (-160 + 180) / 6 = 3.3
        ((359.9, 51, 360.3, 52), DEGREES, 32631),  # 0.1
        ((-180, 70, -179.8, 71), DEGREES, 32601),
        ((20_037_000, 0, 20_039_000, 1000), MERCATOR, 32601),  # the world ends at 20,037,508 m
    ],
)
def test_the_utm_zone_of_a_city_near_180_degrees(bounds, crs, zone):
    assert metric_crs(None, bounds, crs).to_epsg() == zone


def test_longitudes_are_said_from_minus_180_to_180():
    assert longitude_latitude(200.0, 10.0, DEGREES) == (-160.0, 10.0)
    assert longitude_latitude(180.0, 10.0, DEGREES) == (180.0, 10.0)


@pytest.mark.parametrize("zone", [1, 60])
@pytest.mark.parametrize("crs, turn", [(DEGREES, 360.0), (MERCATOR, 2 * np.pi * RADIUS)])
def test_the_bounds_of_a_tile_across_180_degrees_are_as_wide_as_the_tile(zone, crs, turn):
    grid = grid_at(zone, 6 * zone - 183 + (3 if zone == 60 else -3))
    left, bottom, right, top = move_bounds(grid.bounds, grid.crs, crs)
    longitude, _ = seen(grid, zone)
    pixel = turn / 360 * (longitude[0, 1] - longitude[0, 0])
    middle = (left + right) / 2 % turn
    assert right - left == pytest.approx(turn / 360 * (longitude.max() - longitude.min()), abs=2 * pixel)
    assert middle == pytest.approx(turn / 360 * (longitude.max() + longitude.min()) / 2, abs=pixel)


@pytest.mark.parametrize(
    "left, right, turn, expected",
    [
        ([179.9, -180.0], [180.0, -179.92], 360, (179.9, 180.08)),
        ([-180.0, 179.9, 179.95], [-179.8, 180.0, 179.96], 360, (-180.1, -179.8)),  # the middle is -179.95
        ([359.9, 0.0], [360.0, 0.1], 360, (-0.1, 0.1)),
        ([3.0, 5.0], [4.0, 6.0], 360, (3.0, 6.0)),
        ([3.0, 350.0], [4.0, 351.0], None, (3.0, 351.0)),
        ([-180.0, -10.0], [180.0, 10.0], 360, (-180.0, 180.0)),
        ([0.0, 120.0, 240.0], [100.0, 230.0, 350.0], 360, (-240.0, 100.0)),  # all but the widest gap, from 100 to 120
        ([170.0, -170.0, -175.0], [190.0, -160.0, -165.0], 360, (-190.0, -160.0)),
    ],
)
def test_the_smallest_arc(left, right, turn, expected):
    assert smallest_arc(np.array(left), np.array(right), turn) == pytest.approx(expected)


@pytest.mark.parametrize(
    "left, right, turn, expected",
    [
        (179.9, 180.1, 360, True),
        (-180.1, -179.9, 360, True),
        (539.9, 540.1, 360, True),
        (179.0, 179.8, 360, False),
        (-180.0, 180.0, 360, True),
        (179.9, 180.1, None, False),
        (-179.95, -179.9, None, True),
    ],
)
def test_intervals_meet_on_a_circle(left, right, turn, expected):
    assert meets(np.array([left]), np.array([right]), -180.05, -179.92, turn).tolist() == [expected]


def test_an_outline_that_jumps_is_one_that_crosses():
    crossing = shapely.Polygon(
        [(179.9, 0), (-179.9, 0), (-179.9, 1), (179.9, 1)], [[(-179.98, 0.2), (179.98, 0.2), (179.98, 0.4), (-179.98, 0.4)]]
    )
    world, large, small = shapely.box(-180, -80, 180, 80), shapely.box(-90, 0, 85, 1), shapely.box(3, 0, 4, 1)
    pole = shapely.Polygon([(-170, 80), (-60, 80), (60, 80), (170, 80)])
    found = unwrap_polygons(np.array([crossing, world, large, small, pole]), 360.0)
    assert found[0].bounds == pytest.approx((179.9, 0, 180.1, 1)) and found[0].area == pytest.approx(0.2 - 0.04 * 0.2)
    assert [after is before for after, before in zip(found[1:], (world, large, small, pole))] == [True] * 4


#: The same two squares east and west of 180 degrees and one across it, as longitudes are written.
def blocks(form):
    west, middle, east = (
        shapely.box(179.95, 71.05, 179.99, 71.15),
        shapely.box(179.99, 71.05, 180.01, 71.15),
        shapely.box(180.01, 71.05, 180.05, 71.15),
    )

    def moved(polygon, by):
        return shapely.transform(polygon, lambda points: points + (by, 0))

    if form == "beyond 180":
        return [west, middle, east]
    if form == "beyond -180":
        return [moved(polygon, -360) for polygon in (west, middle, east)]
    if form == "split":
        middle = shapely.MultiPolygon([shapely.box(179.99, 71.05, 180, 71.15), shapely.box(-180, 71.05, -179.99, 71.15)])
    else:
        middle = shapely.Polygon([(179.99, 71.05), (-179.99, 71.05), (-179.99, 71.15), (179.99, 71.15)])
    return [west, middle, moved(east, -360)]


@pytest.mark.parametrize("place", ZONES)
@pytest.mark.parametrize("form", ["beyond 180", "beyond -180", "split", "jumping"])
def test_labels_across_180_degrees(tmp_path, caplog, form, place):
    zone, longitude = ZONES[place]
    path = write_layer(tmp_path / "ua.gpkg", blocks(form), ["a", "b", "c"], crs="EPSG:4326", kind="Unknown")
    layer = find_layer(str(path))
    features = read_features(layer, {"a": 0, "b": 1, "c": 2}, 255)
    assert ("1 polygons have sides of more than 180 degrees" in caplog.text) == (form == "jumping")
    left, bottom, right, top = features.extent
    assert (left % 360, right - left) == pytest.approx((179.95, 0.1)) and (bottom, top) == (71.05, 71.15)
    grid = grid_at(zone, longitude, 96)
    ids, labels = features.within(move_bounds(grid.bounds, grid.crs, layer.crs))
    x, _ = seen(grid, zone)
    expected = np.select([x < 179.95, x < 179.99, x < 180.01, x < 180.05], [255, 0, 1, 2], 255)
    sure = np.abs(x[..., None] - [179.95, 179.99, 180.01, 180.05]).min(axis=2) > 1e-7
    np.testing.assert_array_equal(rasterize_labels(layer, ids, labels, grid, 255)[sure], expected[sure])
    assert (expected != 255).mean() > 0.4 and len(ids) < 3 or "across" in place


ABC = ClassTable("abc.csv", tuple(TableClass(name, None, (name,)) for name in "abc"))


def test_the_plan_of_a_city_across_180_degrees_covers_its_labels_alone(tmp_path):
    city = tmp_path / "Wrangel"
    write_layer(city / "ua.gpkg", blocks("split"), ["a", "b", "c"], crs="EPSG:4326", kind="Unknown")
    FORMS["two sides"](city)
    plan = Planner(64, 10.0, "linear", ABC, "code_2018", None)(*find_exports(tmp_path))
    # 0.1 x 0.1 degrees at 71.1 degrees north: 111.5 * cos(71.1) * 0.1 = 3.6 km by 11.2 km, with the turn of a zone's edge
    grids = [job.grid for job in plan.jobs]
    assert {grid.crs.to_epsg() for grid in grids} <= {32601, 32660} and plan.elsewhere == {}
    assert 6 * 17 < len(grids) + plan.bare < 9 * 21
    for job in (plan.jobs[0], plan.jobs[len(plan.jobs) // 2], plan.jobs[-1]):
        assert np.isfinite(fill_grid(job.mosaics["dem"], job.grid)[0]).all()
