"""Figures tell tiles apart whose files are all called the same."""

import pytest

from imrsf_d2.data.sample_names import sample_name


@pytest.mark.parametrize(
    "sample, name",
    [({"file_name": "/data/Rio_7.tif"}, "Rio_7"), ({"file_name": "/data/north/7/rgb.tif", "tile": "north/7"}, "north_7")],
)
def test_the_name_is_that_of_the_tile_or_of_the_file(sample, name):
    assert sample_name(sample) == name
