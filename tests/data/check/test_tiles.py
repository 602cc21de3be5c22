"""The files of a tile are compared as the model would be fed with them."""

import numpy as np
import pytest
from rasterio.transform import from_origin

from imrsf_d2.data.check.tiles import TileExaminer
from imrsf_d2.modalities import Modality

MODALITIES = (Modality("s2"), Modality("dem"))


@pytest.fixture
def found(tmp_path, write_raster):
    """A function that examines a tile of 8 x 8 px of 10 m, whose DEM has 30 m pixels and begins where it is told."""

    def examine(left, top=5_000_000, crs="EPSG:32631", **options):
        values = np.random.default_rng(0).normal(500, 100, (8, 8)).astype(np.float32)
        files = {
            "s2": write_raster(tmp_path / "s2.tif", values, crs="EPSG:32631", transform=from_origin(500_000, 5e6, 10, 10)),
            "dem": write_raster(tmp_path / "dem.tif", values[:4, :4], crs=crs, transform=from_origin(left, top, 30, 30)),
        }
        sample = {"image_id": 1, "height": 8, "width": 8, "modalities": {name: str(path) for name, path in files.items()}}
        tile = TileExaminer(MODALITIES, "pretrain", **options)(sample)
        assert tile.grid.shape == (8, 8) and tile.grid.transform.a == 10
        return [(finding.kind.name, finding.where) for finding in tile.findings]

    return examine


def test_another_resolution_is_a_problem_unless_it_is_resampled(found):
    assert found(500_000) == [("size", "dem"), ("elsewhere", "dem")]
    assert found(500_000, ignore_places=True) == [("size", "dem")]
    assert found(500_000, align=True) == []
    assert found(499_900, align=True) == []  # it still shows 20 m of the tile


def test_what_is_resampled_must_show_the_ground(found):
    assert found(500_080, align=True) == [("elsewhere", "dem")]
    assert found(500_000, crs="EPSG:32632", align=True) == [("elsewhere", "dem")]
