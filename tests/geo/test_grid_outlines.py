"""Outlines of one grid on another agree with where single pixels of it lie."""

import numpy as np
import pytest
import shapely
from rasterio.crs import CRS
from rasterio.transform import Affine
from rasterio.warp import transform

from imrsf_d2.geo.grid_outlines import outline_of, outline_on
from imrsf_d2.geo.grids import Grid

WGS84, UTM33, UTM60S = CRS.from_epsg(4326), CRS.from_epsg(32633), CRS.from_epsg(32760)
ALPS = Grid.north_up(UTM33, 400_000, 5_300_000, 100, 300, 400)
FIJI = Grid.north_up(UTM60S, 800_000, 8_120_000, 100, 300, 400)  # 179.8 to -179.8 degrees
FIJI_DEGREES = Grid.north_up(WGS84, 179.85, -17, 0.001, 300, 300)


@pytest.mark.parametrize(
    "grid, on, share",
    [
        (Grid.north_up(WGS84, -10, 75, 0.01, 7500, 18_000), ALPS, 1),
        (Grid.north_up(WGS84, -180, 90, 0.1, 1800, 3600), ALPS, 1),
        (Grid.north_up(WGS84, 0, 90, 0.1, 1800, 3600), FIJI, 1),
        (Grid.north_up(WGS84, -180, 90, 0.1, 1800, 3600), FIJI, 1),
        (Grid.north_up(WGS84, -180, 90, 0.1, 1800, 3600), FIJI_DEGREES, 1),
        (Grid.north_up(WGS84, -180, 90, 0.1, 1800, 1800), FIJI_DEGREES, 0.5),  # up to 0 degrees
        (Grid.north_up(WGS84, 30, 75, 0.01, 100, 100), ALPS, 0),
        (Grid(300, 400, UTM33, ALPS.transform * Affine.rotation(20)), ALPS, None),
        (Grid.north_up(CRS.from_epsg(32632), 860_000, 5_310_000, 100, 250, 250), ALPS, None),
        (Grid.north_up(WGS84, -180.1, -17, 0.0005, 500, 500), FIJI, None),
    ],
    ids=[
        "Eurasia",
        "world",
        "world from 0",
        "world, across 180",
        "world, degrees",
        "half",
        "away",
        "turned",
        "zone",
        "small",
    ],
)
def test_the_share_that_a_grid_covers(grid, on, share):
    whole = outline_of(on)
    found = outline_on(grid, on).intersection(whole).area / whole.area
    if share is None:
        x, y = on.points(400)
        if grid.crs != on.crs:
            x, y = np.reshape(transform(on.crs, grid.crs, x.ravel(), y.ravel()), (2, *x.shape))
        if grid.crs == WGS84:
            x = np.where(x > 0, x - 360, x)
        columns, rows = ~grid.transform * (x, y)
        share = ((columns >= 0) & (columns < grid.width) & (rows >= 0) & (rows < grid.height)).mean()
        assert 0.05 < share < 0.95
    assert found == pytest.approx(share, abs=0.01)


def test_where_there_is_no_place_there_is_no_outline():
    assert outline_on(Grid.north_up(UTM33, 1e30, 0, 10, 5, 5), FIJI).is_empty
    assert isinstance(outline_on(FIJI, FIJI), shapely.Polygon)
