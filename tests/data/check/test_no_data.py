"""Missing data that a file does not declare is told from measurements."""

import numpy as np
import pytest

from imrsf_d2.data.check.no_data import find_border, find_sentinel

HEIGHTS = np.linspace(100, 900, 64, dtype=np.float32).reshape(1, 8, 8)
PLAIN = [(1.0, 0.0)]


def holding(value, rows=2, bands=HEIGHTS):
    bands = bands.copy()
    bands[:, :rows] = value
    return bands


EVERYWHERE = np.ones((8, 8), bool)


@pytest.mark.parametrize("value", [-9999, -32768, 65535, -3.4e38, 1e32])
def test_a_sentinel_stands_apart(value):
    band, found, share = find_sentinel(holding(value), EVERYWHERE, PLAIN)
    assert (band, found, share) == (0, np.float32(value), 0.25)
    declared = EVERYWHERE.copy()
    declared[:2] = False
    assert find_sentinel(holding(value), declared, PLAIN) is None


def test_it_is_looked_for_as_it_is_stored_in_any_band_and_where_nothing_else_is():
    decimeters = holding(-999.9)
    assert find_sentinel(decimeters, EVERYWHERE, [(0.1, 0.0)]) == pytest.approx((0, -999.9, 0.25), abs=1e-3)
    assert find_sentinel(decimeters, EVERYWHERE, PLAIN) is None
    two = np.concatenate([HEIGHTS, holding(-9999)])
    assert find_sentinel(two, EVERYWHERE, PLAIN * 2) == (1, -9999, 0.25)
    assert find_sentinel(np.full((1, 8, 8), -9999.0), EVERYWHERE, PLAIN) == (0, -9999, 1)
    assert find_sentinel(HEIGHTS, ~EVERYWHERE, PLAIN) is None


def test_a_number_that_people_choose_needs_no_wide_gap():
    """Reflectance under clouds has a wider range than the distance to -9999."""
    clouds = np.linspace(100, 12_000, 64, dtype=np.float32).reshape(1, 8, 8)
    assert find_sentinel(holding(-9999, bands=clouds), EVERYWHERE, PLAIN) == (0, -9999, 0.25)
    depths = np.linspace(-9998, 100, 64).reshape(1, 8, 8)
    assert find_sentinel(holding(-9999, rows=1, bands=depths), EVERYWHERE, PLAIN) is None


def test_values_among_others_are_measurements():
    wide = np.linspace(-32768, 32000, 64).reshape(1, 8, 8)  # the range of the data type is used
    saturated = np.linspace(900, 65535, 64).reshape(1, 8, 8)
    for bands in (HEIGHTS, holding(0), holding(-430), wide, saturated):
        assert find_sentinel(bands, EVERYWHERE, PLAIN) is None


def test_a_black_edge_is_where_a_scene_ends():
    colors = np.concatenate([HEIGHTS, HEIGHTS, HEIGHTS])
    assert find_border(holding(0, 2, colors), EVERYWHERE) == 0.25
    assert find_border(np.moveaxis(holding(0, 1, colors), 1, 2), EVERYWHERE) == 0.125  # a column
    assert (
        find_border(holding(0), EVERYWHERE) is None
    )  # of one band: the gap to 100 m is narrower than the rest, sea and hills
    assert find_border(holding(0, bands=HEIGHTS / 10 + 500), EVERYWHERE) == 0.25


@pytest.mark.parametrize("case", ["none", "inside", "all", "declared", "one band of three"])
def test_other_zeros_are_values(case):
    bands = np.concatenate([HEIGHTS] * 3)
    valid = EVERYWHERE.copy()
    if case == "inside":
        bands[:, 3:5, 3:5] = 0
    elif case == "one band of three":
        bands[1, :2] = 0
    elif case != "none":
        bands[:, : 8 if case == "all" else 2] = 0
        valid[:2] = case != "declared"
    assert find_border(bands, valid) is None
