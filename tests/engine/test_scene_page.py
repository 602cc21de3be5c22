import pytest
import shapely
from rasterio.crs import CRS
from rasterio.transform import Affine

from imrsf_d2.engine import scene_page
from imrsf_d2.inference.vector_files import Feature, write_features
from imrsf_d2.utils.errors import InputError

UTM = CRS.from_epsg(32633)


@pytest.mark.parametrize("ending, most", [(".gpkg", 100), (".gpkg", 4), (".geojson", 100), (".fgb", 100)])
def test_objects_are_read_back_into_pixels_of_the_overview_and_thinned_evenly(tmp_path, monkeypatch, ending, most):
    monkeypatch.setattr(scene_page, "MOST_OBJECTS", most)
    monkeypatch.setattr(scene_page, "CHUNK", 3)
    transform = Affine(2.0, 0, 500_000.0, 0, -2.0, 5_000_000.0)  # 2 m a pixel
    squares = [shapely.box(10 * i, 5, 10 * i + 8, 9) for i in range(10)]
    on_ground = [shapely.transform(s, lambda xy: xy * (2.0, -2.0) + (500_000.0, 5_000_000.0)) for s in squares]
    features = [Feature(s, "hut", 0.5 + i / 100, 128.0, ("rgb", "sar")[: i % 3], False) for i, s in enumerate(on_ground)]
    path = tmp_path / f"map{ending}"
    assert write_features(path, features, UTM) == 10
    found = list(scene_page._objects(path, UTM, ~transform, 10))
    step = 1 if most == 100 else 3
    expected = sorted(range(10))[::step]
    assert len(found) == len(expected) <= most
    if ending == ".gpkg":
        assert [o.number for o in found] == [i + 1 for i in expected]
    for one in found:  # FlatGeobuf has an order of its own
        i = one.number - 1
        assert one.shape.symmetric_difference(squares[i]).area < 0.1
        assert (one.label, one.score, one.area_m2) == ("hut", pytest.approx(0.5 + i / 100), 128.0)
        assert one.sensors == ",".join(("rgb", "sar")[: i % 3]) and one.cut is False


def test_a_format_that_cannot_be_read_again_is_refused_before_the_work(tmp_path):
    with pytest.raises(InputError, match=r"--html reads map.parquet again, expected a map that ends in .gpkg"):
        scene_page.check_page(tmp_path / "map.parquet")
