"""A part of a grid is to the bit what GDAL makes of the whole."""

import numpy as np
import pytest
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.io import MemoryFile
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform_bounds

from imrsf_d2.geo.grids import Grid
from imrsf_d2.geo.projecting import project_part
from imrsf_d2.geo.warp import Warp

TARGET = Grid.north_up(CRS.from_epsg(32633), 499_000.3, 5_800_000.7, 0.3, 260, 300)


def seen(crs, ratio):
    """A grid that covers the target, with pixels so many times as large."""
    left, bottom, right, top = transform_bounds(TARGET.crs, crs, *TARGET.bounds)
    side = 0.3 * ratio / (111_320 if crs.is_geographic else 1)
    height, width = (int((high - low) / side) + 9 for low, high in ((bottom, top), (left, right)))
    return Grid.north_up(crs, left - 3.3 * side, top + 2.7 * side, side, height, width)


@pytest.mark.parametrize("resampling", ["nearest", "bilinear", "cubic", "average"])
@pytest.mark.parametrize("ratio", [0.4, 1.0, 4.0])
@pytest.mark.parametrize("code", [32632, 4326])
def test_a_part_is_what_the_whole_has_there(rng, monkeypatch, resampling, ratio, code):
    monkeypatch.setenv("GDAL_NUM_THREADS", "4")
    source, method = seen(CRS.from_epsg(code), ratio), Resampling[resampling]
    values = rng.random((2, *source.shape), dtype=np.float32)
    values[:, rng.random(source.shape) < 0.02] = np.nan
    scale = Warp.between(source, TARGET).scale
    options = {"XSCALE": str(scale[1]), "YSCALE": str(scale[0]), "tolerance": 1e-9, "NUM_THREADS": "1"}
    place = {"crs": TARGET.crs, "transform": TARGET.transform, "height": TARGET.height, "width": TARGET.width}
    profile = {"driver": "GTiff", "count": 2, "dtype": "float32", "nodata": np.nan}
    with MemoryFile() as memory:
        with memory.open(
            height=source.height, width=source.width, crs=source.crs, transform=source.transform, **profile
        ) as file:
            file.write(values)
        with memory.open() as file, WarpedVRT(file, resampling=method, **place, **options) as vrt:
            whole = vrt.read()
    assert np.isfinite(whole).mean() > 0.8
    for part in ((slice(0, 260), slice(0, 300)), (slice(31, 159), slice(77, 250)), (slice(255, 260), slice(1, 2))):
        warp = Warp.between(source, TARGET, part)
        inner = np.ascontiguousarray(values[(slice(None), *warp.window)])
        found = project_part(inner, warp.window, source, TARGET, part, method, scale)
        np.testing.assert_array_equal(found, whole[(slice(None), *part)])
