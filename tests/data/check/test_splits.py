"""What training and test tiles share, on disk and on the ground."""

import numpy as np
import pytest
from rasterio.crs import CRS
from rasterio.transform import Affine
from rasterio.warp import transform

from imrsf_d2.data.check.splits import find_orphans, overlapping_tiles, sensor_subsets
from imrsf_d2.data.check.tiles import TileFacts
from imrsf_d2.geo.grids import Grid


def tile(left, top=5e6, epsg=32631, pixel=10.0, size=64):
    return TileFacts(grid=Grid(size, size, CRS.from_epsg(epsg), Affine(pixel, 0, left, 0, -pixel, top)))


def overlaps(trained, tested):
    ids = {"train": [f"t{i}" for i in range(len(trained))], "val": [f"v{i}" for i in range(len(tested))]}
    return [(found.file, found.found) for found in overlapping_tiles({"train": trained}, {"val": tested}, ids)]


def test_neighbors_share_an_edge_and_no_ground():
    here = tile(5e5)
    around = [tile(5e5 + 640), tile(5e5 - 640), tile(5e5, 5e6 + 640), tile(5e5 + 640, 5e6 - 640)]
    assert overlaps([here], around) == []
    assert overlaps([here, *around], [tile(5e5 + 160)]) == [("v0", "75% of it or of t0, and 1 more")]
    assert overlaps([TileFacts(), here], [TileFacts(), tile(5e5)]) == [("v1", "100% of it or of t1")]


@pytest.mark.parametrize("epsg", [4326, 32632, 3857])
def test_ground_is_compared_across_coordinate_systems(epsg):
    """A small tile in the middle of a large one; and the same far away."""
    large, crs = tile(8e5), CRS.from_epsg(epsg)
    (x,), (y,) = transform(large.grid.crs, crs, [8e5 + 320], [5e6 - 320])
    step = 1e-4 if epsg == 4326 else 10.0
    small = [Grid(8, 8, crs, Affine(step, 0, x + shift * step, 0, -step, y)) for shift in (-4, 1000)]
    found = overlaps([large], [TileFacts(grid=grid) for grid in small])
    assert found == [("v0", "100% of it or of t0")]


def test_tiles_at_180_degrees_do_not_cover_the_earth():
    fiji = tile(179.999, -16, epsg=4326, pixel=0.0001)
    (x,), (y,) = transform(fiji.grid.crs, CRS.from_epsg(32701), [180.002], [-16.003])
    east, africa = tile(x, y, epsg=32701), tile(0, -16, epsg=4326, pixel=0.001)
    west = tile(-180.001, -16, epsg=4326, pixel=0.0001)
    assert [name for name, _ in overlaps([fiji], [east, west, africa])] == ["v0", "v1"]
    assert [text for _, text in overlaps([east, west, africa], [fiji])] == ["100% of it or of t1, and 1 more"]


def test_subsets_are_counted_in_the_order_of_the_sensors():
    samples = [{"modalities": modalities} for modalities in ({"a": "1", "b": None}, {"b": "2", "a": "3"}, {"b": "4"})]
    assert sensor_subsets(samples, ["a", "b"]) == {("a",): 1, ("a", "b"): 1, ("b",): 1}


def test_files_that_no_sample_names(tmp_path, write_raster):
    for name in ("s1/a.tif", "s1/b.tif", "labels/a.tif", "elsewhere/c.tif"):
        write_raster(tmp_path / name, np.ones((2, 2), np.uint8))
    (tmp_path / "s1/a.tif.aux.xml").write_text("<PAMDataset/>")
    (tmp_path / "s1/._a.tif").write_bytes(b"")
    sample = {
        "modalities": {"s1": str(tmp_path / "s1/a.tif"), "s2": None},
        "sem_seg_file_name": str(tmp_path / "labels/a.tif"),
    }
    (found,) = find_orphans({"train": [sample]})
    assert (found.where, found.file) == ("s1", str(tmp_path / "s1/b.tif"))
