"""Polygons become the labels that one would paint by hand."""

import logging

import numpy as np
import pytest
import shapely
from rasterio.crs import CRS
from rasterio.warp import transform
from shapely.geometry import LineString, MultiPolygon, Polygon

from imrsf_d2.data.class_tables import read_class_table
from imrsf_d2.data.datasets.land_cover import DEFAULT_TABLE
from imrsf_d2.geo.grids import Grid
from imrsf_d2.geo.projections import move_bounds
from imrsf_d2.geo.vectors import find_layer, rasterize_labels, read_features
from tests.preparation.quadruplets.scene_files import LEFT, TOP, UTM, centers, squares, write_layer

GRID = Grid.north_up(CRS.from_string(UTM), LEFT, TOP, 10.0, 8, 8)
CODES = {"1": 0, "2": 1, "3": 2, "9": None, "11100": 4}
ENDINGS = pytest.mark.parametrize("ending", [".gpkg", ".shp"])


def box(left, top, right, bottom):
    """A rectangle in pixels of the grid, rows downwards."""
    return shapely.box(LEFT + 10 * left, TOP - 10 * bottom, LEFT + 10 * right, TOP - 10 * top)


def polygon(*corners, holes=()):
    place = lambda points: [(LEFT + 10 * x, TOP - 10 * y) for x, y in points]  # noqa: E731
    return Polygon(place(corners), [place(hole) for hole in holes])


def paint(path, grid=GRID, **options):
    layer = find_layer(str(path), **options)
    features = read_features(layer, CODES, 255)
    ids, labels = features.within(move_bounds(grid.bounds, grid.crs, layer.crs))
    return rasterize_labels(layer, ids, labels, grid, 255)


def typed(text):
    """A label map as typed: a digit is a label, a dot is no label."""
    return np.array([[255 if c == "." else int(c) for c in line] for line in text.split()], dtype=np.uint8)


@ENDINGS
def test_labels_are_those_typed_by_hand(tmp_path, ending):
    bow_tie = polygon((4, -0.5), (8, 4.5), (8, -0.5), (4, 4.5))
    ring = polygon((0, 4), (4, 4), (4, 8), (0, 8), holes=[[(1, 5), (3, 5), (3, 7), (1, 7)]])
    path = write_layer(
        tmp_path / f"labels{ending}",
        [
            box(0, 0, 3, 2),
            box(2, 1, 4, 3),
            bow_tie,
            ring,
            box(4.6, 5.4, 6.4, 6.6),
            box(6, 6, 8, 8),
            None,
            box(-40, -40, -20, -20),
        ],
        ["1", "2", "3", "1", "2", "9", "3", "3"],
    )
    # The second box covers the first. Centers decide: 4.6 to 6.4 holds that of 5 alone, 5.4 to 6.6 those of 5 and 6.
    np.testing.assert_array_equal(
        paint(path),
        typed("""
        000.2..2
        00112222
        ..112222
        ....2..2
        0000....
        0..0.1..
        0..0.1..
        0000....
        """),
    )


@ENDINGS
def test_the_last_polygon_of_the_file_wins(tmp_path, ending):
    boxes = [box(0, 0, 8, 8), box(0, 0, 4, 8), box(2, 0, 6, 8), box(3, 3, 5, 5)]
    first = paint(write_layer(tmp_path / f"a{ending}", boxes, ["1", "2", "3", "9"]))
    assert first[0].tolist() == [1, 1, 2, 2, 2, 2, 0, 0]
    assert first[4].tolist() == [1, 1, 2, 255, 255, 2, 0, 0]
    last = paint(write_layer(tmp_path / f"b{ending}", boxes[::-1], ["9", "3", "2", "1"]))
    assert (last == 0).all()


def test_what_is_left_of_a_broken_polygon_is_its_area(tmp_path):
    # A spike: make_valid returns the square and a line, and the line must paint nothing.
    spike = polygon((1, 1), (5, 1), (5, 3), (8, 3), (5, 3), (5, 5), (1, 5))
    parts = MultiPolygon([box(6, 6, 8, 8), box(7, 7, 8, 8)])  # parts that overlap
    labels = paint(write_layer(tmp_path / "a.gpkg", [spike, parts], ["1", "2"], kind="Unknown"))
    expected = np.full((8, 8), 255)
    expected[1:5, 1:5], expected[6:, 6:] = 0, 1
    expected[7, 7] = labels[7, 7]  # inside twice: whether that is inside is a matter of taste
    np.testing.assert_array_equal(labels, expected)


def test_polygons_that_cross_themselves_across_the_tiles_edge(tmp_path, rng):
    """Against shapely's point-in-polygon test on the repaired polygon."""
    x, y = centers(LEFT, TOP, 10, 8, 8)
    for i in range(8):
        star = Polygon(np.column_stack([rng.uniform(LEFT - 80, LEFT + 160, 9), rng.uniform(TOP - 160, TOP + 80, 9)]))
        assert not star.is_valid
        repaired = shapely.make_valid(star)
        sure = shapely.distance(repaired.boundary, shapely.points(x, y)) > 0.01
        found = paint(write_layer(tmp_path / f"{i}.gpkg", [star], ["1"])) == 0
        np.testing.assert_array_equal(found[sure], shapely.contains_xy(repaired, x, y)[sure])


def test_missing_and_empty_geometries_are_counted(tmp_path, caplog):
    path = write_layer(tmp_path / "a.gpkg", [box(0, 0, 8, 8), None, Polygon(), None], ["1", "2", "3", "1"])
    with caplog.at_level(logging.WARNING):
        features = read_features(find_layer(str(path)), CODES, 255)
    assert "3 of 4 features" in caplog.text and str(path) in caplog.text
    assert features.extent == (LEFT, TOP - 80, LEFT + 80, TOP)  # not stretched to (0, 0)


def test_a_layer_in_another_system_lies_where_it_should(tmp_path, rng):
    """Against shapely's own point-in-polygon test, in the layer's system."""
    grid = Grid.north_up(GRID.crs, LEFT, TOP, 10.0, 96, 96)
    left, bottom, right, top = move_bounds(grid.bounds, grid.crs, CRS.from_epsg(3035))
    polygons = [
        shapely.Point(rng.uniform(left, right), rng.uniform(bottom, top)).buffer(rng.uniform(30, 250), 3) for _ in range(30)
    ]
    polygons.append(shapely.box(left - 90_000, bottom + 300, right + 90_000, bottom + 330))  # far beyond it
    codes = rng.choice(["1", "2", "3"], len(polygons))
    path = write_layer(tmp_path / "a.gpkg", polygons, codes, crs="EPSG:3035")
    x, y = centers(LEFT, TOP, 10, 96, 96)
    x, y = (np.reshape(side, (96, 96)) for side in transform(UTM, "EPSG:3035", x.ravel(), y.ravel()))
    expected, sure = np.full((96, 96), 255), np.ones((96, 96), dtype=bool)
    for shape, code in zip(polygons, codes):
        expected[shapely.contains_xy(shape, x, y)] = CODES[code]
        sure &= shapely.distance(shape.boundary, shapely.points(x, y)) > 0.05
    assert sure.mean() > 0.99 and len(np.unique(expected)) == 4
    np.testing.assert_array_equal(paint(path, grid)[sure], expected[sure])


def test_a_tile_without_features_is_unlabeled(tmp_path):
    path = write_layer(tmp_path / "a.gpkg", [box(100, 100, 120, 120)], ["1"])
    assert (paint(path) == 255).all()


@pytest.mark.parametrize(
    "codes", [[11100, 11100], [11100.0, 11100.0], [" 11100", "11100"]], ids=["integer", "float", "text"]
)
def test_codes_may_be_numbers(tmp_path, codes):
    assert (paint(write_layer(tmp_path / "a.gpkg", [box(0, 0, 8, 8), box(1, 1, 2, 2)], codes)) == 4).all()


def test_a_null_code_can_be_merged_like_any_other(tmp_path):
    path = write_layer(tmp_path / "a.gpkg", [box(0, 0, 8, 4), box(0, 4, 8, 8)], np.array(["1", None], dtype=object))
    (tmp_path / "table.csv").write_text("code,name,class\n1,one,land\n,not mapped,\n")
    layer = find_layer(str(path))
    assert read_features(layer, read_class_table(tmp_path / "table.csv").codes, 255).labels.tolist() == [0, 255]


def test_the_column_is_found_in_any_case(tmp_path):
    path = write_layer(tmp_path / "a.shp", [box(0, 0, 8, 8)], ["1"], column="CODE_2018")
    assert (paint(path) == 0).all()
    assert (paint(path, column="Code_2018") == 0).all()


def test_the_layer_with_codes_is_taken(tmp_path):
    """As in the files of Urban Atlas, which hold boundaries besides the map."""
    path = tmp_path / "a.gpkg"
    write_layer(path, [box(0, 0, 8, 8)], ["x"], layer="Boundary", column="fua_name")
    write_layer(path, [box(0, 0, 8, 8)], ["1"], layer="FR003_LYON_UA2018", append=True)
    write_layer(path, [LineString([(0, 0), (1, 1)])], ["1"], layer="roads", kind="LineString", append=True)
    assert find_layer(str(path)).name == "FR003_LYON_UA2018"
    write_layer(path, [box(0, 0, 8, 8)], ["2"], layer="FR003_LYON_UA2012", append=True)
    with pytest.raises(ValueError, match=r"has 2 layers with the column 'code_2018': .*UA2018, .*UA2012.*--layer"):
        find_layer(str(path))
    assert find_layer(str(path), pattern="*UA2012").name == "FR003_LYON_UA2012"
    with pytest.raises(ValueError, match=r"no layer 'UA2006' with the column 'code_2018', found: Boundary .*roads"):
        find_layer(str(path), pattern="UA2006")


@pytest.mark.parametrize(
    "polygons, codes, options, message",
    [
        ([], np.array([], dtype=object), {}, "has 0 features"),
        ([None], ["1"], {}, "has 1 features"),
        ([box(0, 0, 1, 1)] * 3, ["1", "77", "odd"], {}, "merge table lacks: '77', 'odd'."),
        ([box(0, 0, 1, 1)] * 2, np.array(["1", None], dtype=object), {}, "merge table lacks: null (its CODE is empty)."),
        ([box(0, 0, 1, 1)], ["1"], {"crs": None}, "has no coordinate reference system of the Earth"),
        (
            [box(0, 0, 1, 1)],
            ["1"],
            {"crs": 'LOCAL_CS["site",UNIT["metre",1]]'},
            "coordinate reference system of the Earth, found 'LOCAL_CS",
        ),
        ([box(0, 0, 1, 1)], ["1"], {"column": "CLC"}, "no polygon layer with the column 'code_2018', found: a (Polygon: C"),
    ],
    ids=["empty", "null", "unknown code", "null code", "no CRS", "a CRS of its own", "no column"],
)
@ENDINGS
def test_unusable_layers_are_named(tmp_path, ending, polygons, codes, options, message):
    path = write_layer(tmp_path / f"a{ending}", polygons, codes, **options)
    with pytest.raises(ValueError) as error:
        paint(path)
    assert message in str(error.value) and str(path) in str(error.value) and "\n" not in str(error.value)


def test_a_file_of_another_kind_is_named(tmp_path):
    (tmp_path / "a.gpkg").write_text("not a database")
    with pytest.raises(ValueError, match=f"cannot read the vector file {tmp_path / 'a.gpkg'}"):
        find_layer(str(tmp_path / "a.gpkg"))


def test_every_code_of_the_default_table_is_painted(tmp_path):
    table = read_class_table(DEFAULT_TABLE)
    codes = list(table.codes)
    grid = Grid.north_up(GRID.crs, LEFT, TOP, 10.0, 1, len(codes))
    path = write_layer(tmp_path / "a.gpkg", squares((LEFT, TOP - 10), 10, len(codes), 1), codes)
    layer = find_layer(str(path))
    features = read_features(layer, table.codes, 255)
    found = rasterize_labels(layer, *features.within(grid.bounds), grid, 255)[0].tolist()
    assert found == [255 if label is None else label for label in table.codes.values()]
