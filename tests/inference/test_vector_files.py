import importlib.util
import json

import numpy as np
import pyogrio
import pyogrio.raw
import pytest
import shapely
from rasterio.crs import CRS
from rasterio.warp import transform

from imrsf_d2.inference.vector_files import FORMATS, Feature, check_format, write_features
from tests.inference.disks import full_disk

UTM = CRS.from_epsg(32633)
HOLE = shapely.box(500_000, 5_800_000, 500_010, 5_800_010) - shapely.box(500_004, 5_800_004, 500_006, 5_800_006)
TWO = shapely.union_all(
    [shapely.box(500_020, 5_800_000, 500_022, 5_800_002), shapely.box(500_024, 5_800_000, 500_026, 5_800_002)]
)
FEATURES = [Feature(HOLE, "building", 0.9, 96.0, ("rgb", "dsm"), False), Feature(TWO, "building", 0.5, 8.0, (), True)]
PARQUET = pytest.param(
    ".parquet",
    marks=pytest.mark.skipif(importlib.util.find_spec("pyarrow") is None, reason="needs pyarrow, which is not installed"),
)
COLUMNS = ["id", "class", "score", "area_m2", "sensors", "cut"]
MAGIC = {".gpkg": b"SQLite format 3", ".fgb": b"fgb\x03", ".geojson": b"{"}
SUFFIXES = [suffix for suffix in FORMATS if suffix != ".parquet"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_written_is_read_back(tmp_path, suffix):
    path = tmp_path / f"out{suffix}"
    assert write_features(path, FEATURES, UTM) == 2
    meta, _, geometry, columns = pyogrio.raw.read(path)
    order = np.argsort(columns[0])  # FlatGeobuf sorts by place
    found = {name: column[order] for name, column in zip(meta["fields"], columns)}
    assert found["id"].tolist() == [1, 2]
    assert found["class"].tolist() == ["building"] * 2 and found["sensors"].tolist() == ["rgb,dsm", ""]
    assert found["score"].tolist() == [0.9, 0.5] and found["area_m2"].tolist() == [96.0, 8.0]
    assert [bool(cut) for cut in found["cut"]] == [False, True]
    shapes = shapely.from_wkb(geometry[order])
    assert shapely.is_valid(shapes).all() and len(shapes) == 2
    if suffix == ".geojson":
        assert CRS.from_user_input(meta["crs"]).to_epsg() == 4326 and abs(shapes[0].centroid.x - 15) < 1e-3
    else:
        assert CRS.from_user_input(meta["crs"]) == UTM
        assert shapes[0].equals(HOLE) and shapes[1].equals(TWO)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_output_is_one_file_in_the_format_of_its_name(tmp_path, suffix):
    write_features(tmp_path / f"out{suffix}", FEATURES, UTM)
    assert [path.name for path in tmp_path.iterdir()] == [f"out{suffix}"] and (tmp_path / f"out{suffix}").is_file()
    assert (tmp_path / f"out{suffix}").read_bytes().startswith(MAGIC[suffix])


def signed_area(ring):
    xs, ys = np.transpose(ring)
    return float(np.sum(xs[:-1] * ys[1:] - xs[1:] * ys[:-1]) / 2)


def test_geojson_is_as_rfc_7946_wants_it(tmp_path):
    write_features(tmp_path / "out.geojson", FEATURES, UTM)
    written = json.loads((tmp_path / "out.geojson").read_text())
    assert written["type"] == "FeatureCollection" and "crs" not in written and len(written["features"]) == 2
    for feature in written["features"]:
        assert list(feature["properties"]) == COLUMNS and feature["geometry"]["type"] == "MultiPolygon"
        for exterior, *holes in feature["geometry"]["coordinates"]:
            assert exterior[0] == exterior[-1] and signed_area(exterior) > 0
            assert all(signed_area(hole) < 0 for hole in holes)
    ((exterior, hole),) = written["features"][0]["geometry"]["coordinates"]
    there = transform(UTM, CRS.from_epsg(4326), [500_000, 500_010], [5_800_000, 5_800_010])
    np.testing.assert_allclose(np.min(exterior, axis=0), (there[0][0], there[1][0]), atol=1e-6)
    np.testing.assert_allclose(np.max(exterior, axis=0), (there[0][1], there[1][1]), atol=1e-6)
    assert len(hole) == 5


@pytest.mark.parametrize("suffix", [PARQUET])
@pytest.mark.parametrize("features", [FEATURES, []], ids=["some", "none"])
def test_geoparquet_says_what_it_holds(tmp_path, suffix, features):
    import pyarrow.parquet

    path = tmp_path / f"out{suffix}"
    assert write_features(path, features, UTM) == len(features)
    table = pyarrow.parquet.read_table(path)
    about = json.loads(table.schema.metadata[b"geo"])
    column = about["columns"]["geometry"]
    assert about["version"] == "1.1.0" and about["primary_column"] == "geometry" and column["encoding"] == "WKB"
    assert column["crs"]["type"] == "ProjectedCRS" and column["crs"]["id"]["code"] == 32633
    assert column["geometry_types"] == ["MultiPolygon"]
    assert table.column_names == [*COLUMNS, "geometry"] and table.num_rows == len(features)
    kinds = ["int64", "string", "double", "double", "string", "bool", "binary"]
    assert [str(field.type) for field in table.schema] == kinds
    if features:
        assert column["bbox"] == [500_000, 5_800_000, 500_026, 5_800_010]
        assert shapely.from_wkb(table["geometry"][0].as_py()).equals(HOLE)
        assert table["sensors"].to_pylist() == ["rgb,dsm", ""]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_scene_without_objects_is_a_file_without_features(tmp_path, suffix):
    path = tmp_path / f"out{suffix}"
    assert write_features(path, [], UTM) == 0
    assert len(pyogrio.raw.read(path)[2]) == 0
    about = pyogrio.read_info(path)
    if suffix == ".geojson":
        assert json.loads(path.read_text())["features"] == []
        return  # the columns are those of its features
    assert about["fields"].tolist() == COLUMNS and about["geometry_type"] == "MultiPolygon"
    assert CRS.from_user_input(about["crs"]) == UTM
    assert about["dtypes"].tolist() == ["int64", "object", "float64", "float64", "object", "bool"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_full_disk_is_said_and_leaves_what_was_there(tmp_path, suffix):
    path = tmp_path / f"out{suffix}"
    write_features(path, FEATURES, UTM)
    before = path.read_bytes()
    boxes = shapely.box(*np.random.default_rng(0).uniform(5e5, 6e5, (2, 5000)), *np.full((2, 5000), 6e5))
    said = rf"cannot write .*out\{suffix}.*MiB left.*was there before is unchanged"
    with pytest.raises(ValueError, match=said), full_disk():
        write_features(path, [Feature(box, "building", 0.5, 1.0, ("rgb",), False) for box in boxes], UTM)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "out.gpkg"
    write_features(path, FEATURES, UTM)
    before = path.read_bytes()

    def fail(*args, **kwargs):
        raise OSError("No space left on device")

    monkeypatch.setattr(pyogrio.raw, "write", fail)
    with pytest.raises(OSError, match="No space"):
        write_features(path, FEATURES[:1], UTM)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["out.gpkg"]


def test_a_name_that_says_no_format_is_refused():
    with pytest.raises(ValueError, match=r"expected a name that ends in .gpkg"):
        check_format("out.shp")


def test_many_features_are_written_fast(tmp_path):
    boxes = shapely.box(*np.random.default_rng(0).uniform(5e5, 6e5, (2, 20_000)), *np.full((2, 20_000), 6e5))
    write_features(tmp_path / "out.fgb", [Feature(box, "building", 0.5, 1.0, ("rgb",), False) for box in boxes], UTM)
    assert pyogrio.read_info(tmp_path / "out.fgb")["features"] == 20_000
