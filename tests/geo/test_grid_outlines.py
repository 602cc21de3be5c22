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


WORLD = Grid.north_up(WGS84, -180, 90, 0.1, 1800, 3600)
FROM_0 = Grid.north_up(WGS84, 0, 90, 0.1, 1800, 3600)
POLE = Grid.north_up(CRS.from_epsg(3413), -1_000_000, 1_000_000, 5000, 400, 400)
#: name -> a grid, another, and the share of the other that it covers; None: that of the other's pixels.
PAIRS = {
    "Eurasia": (Grid.north_up(WGS84, -10, 75, 0.01, 7500, 18_000), ALPS, 1),
    "world": (WORLD, ALPS, 1),
    "0 to 360": (FROM_0, FIJI, 1),
    "world, across 180": (WORLD, FIJI, 1),
    "world, across 180 in degrees": (WORLD, FIJI_DEGREES, 1),
    "half of the world": (Grid.north_up(WGS84, -180, 90, 0.1, 1800, 1800), FIJI_DEGREES, 0.5),
    "elsewhere": (Grid.north_up(WGS84, 30, 75, 0.01, 100, 100), ALPS, 0),
    "world on the world": (WORLD, WORLD, 1),
    "0 to 360 on the world": (FROM_0, WORLD, 1),
    "world on a pole": (WORLD, POLE, 1),
    "north on a pole": (Grid.north_up(WGS84, -180, 90, 0.1, 600, 3600), POLE, 1),
    "zone on the world": (ALPS, WORLD, 0.27 * 0.53 / (180 * 360)),  # degrees: 30 by 40 km at 47.7 degrees north
    "turned": (Grid(300, 400, UTM33, ALPS.transform * Affine.rotation(20)), ALPS, None),
    "another zone": (Grid.north_up(CRS.from_epsg(32632), 860_000, 5_310_000, 100, 250, 250), ALPS, None),
    "small, across 180": (Grid.north_up(WGS84, -180.1, -17, 0.0005, 500, 500), FIJI, None),
}


@pytest.mark.parametrize("name", sorted(PAIRS))
def test_the_share_that_a_grid_covers(name):
    grid, on, share = PAIRS[name]
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
    assert found == pytest.approx(share, abs=min(0.01, share / 10 + 1e-9) if share < 0.01 else 0.01)


def test_where_there_is_no_place_there_is_no_outline():
    assert outline_on(Grid.north_up(UTM33, 1e30, 0, 10, 5, 5), FIJI).is_empty
    assert isinstance(outline_on(FIJI, FIJI), shapely.Polygon)
