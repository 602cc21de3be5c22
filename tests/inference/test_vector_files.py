import importlib.util
import json

import numpy as np
import pyogrio
import pyogrio.raw
import pytest
import shapely
from rasterio.crs import CRS

from imrsf_d2.inference.vector_files import FORMATS, Feature, check_format, write_features

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


@pytest.mark.parametrize("suffix", [PARQUET])
def test_geoparquet_says_what_it_holds(tmp_path, suffix):
    import pyarrow.parquet

    path = tmp_path / f"out{suffix}"
    write_features(path, FEATURES, UTM)
    table = pyarrow.parquet.read_table(path)
    about = json.loads(table.schema.metadata[b"geo"])
    assert about["primary_column"] == "geometry" and about["columns"]["geometry"]["crs"]["id"]["code"] == 32633
    assert shapely.from_wkb(table["geometry"][0].as_py()).equals(HOLE)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_scene_without_objects_is_a_file_without_features(tmp_path, suffix):
    path = tmp_path / f"out{suffix}"
    assert write_features(path, [], UTM) == 0
    assert len(pyogrio.raw.read(path)[2]) == 0


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
