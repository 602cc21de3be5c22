"""How much of the tiles is padding, against a mask of it."""

import numpy as np
import pytest
from rasterio.crs import CRS

from imrsf_d2.geo.grids import Grid
from imrsf_d2.preparation.tiles.padding import padding_remark
from imrsf_d2.preparation.tiles.scenes import GridOptions, TileScene


def scene(height, width):
    return TileScene("scene", Grid.north_up(CRS.from_epsg(32633), 0.0, 0.0, 1.0, height, width), {})


@pytest.mark.parametrize(
    "shapes, options, advice",
    [
        ([(224, 224)], GridOptions(256), ": --tile 224 would leave none"),
        ([(600, 600)], GridOptions(256), ": --tile 304 would leave 2.6%"),
        ([(260, 180), (250, 250)], GridOptions(100, overlap=20), None),
        ([(100, 100)], GridOptions(256), ": --tile 100 would leave none"),
        ([(20, 2000)], GridOptions(256), ""),  # no tile of a similar size fits
    ],
)
def test_much_padding_is_said_with_a_size_that_fits(shapes, options, advice):
    scenes = [scene(*shape) for shape in shapes]
    inside = []
    for one in scenes:
        mask = np.pad(np.ones(one.grid.shape), ((0, 999), (0, 999)))
        inside += [mask[window.rows, window.columns].mean() for window in one.windows(options)]
    padding = 1 - np.mean(inside)
    found = list(padding_remark(scenes, options))
    if advice is None:
        assert padding <= 0.1 and not found
    else:
        assert padding > 0.1 and found == [f"{padding:.1%} of the tiles' pixels are padding beyond the scenes{advice}"]
