"""Figures tell tiles apart whose files are all called the same."""

import pytest

from imrsf_d2.data.sample_names import sample_name, sample_names


@pytest.mark.parametrize(
    "sample, name",
    [({"file_name": "/data/Rio_7.tif"}, "Rio_7"), ({"file_name": "/data/north/7/rgb.tif", "tile": "north/7"}, "north_7")],
)
def test_the_name_is_that_of_the_tile_or_of_the_file(sample, name):
    assert sample_name(sample) == name


@pytest.mark.parametrize(
    "files, names",
    [
        (["a/7.tif", "b/8.tif"], ["7", "8"]),
        (["/x/north/7.tif", "/x/south/7.tif", "/x/south/8.tif"], ["north_7", "south_7", "8"]),
        (["2021/rgb/7.tif", "2022/rgb/7.tif"], ["2021_rgb_7", "2022_rgb_7"]),
        # what a name with folders becomes, another file may be called already
        (["x/north/7.tif", "x/south/7.tif", "x/north_7.tif"], ["x_north_7", "south_7", "x_north_7-2"]),
        (["7.tif", "7.tif", "7-2.tif", "7.tif"], ["7", "7-3", "7-2", "7-4"]),
    ],
)
def test_samples_of_one_run_have_names_of_their_own(files, names):
    assert sample_names([{"file_name": file} for file in files]) == names


def test_tiles_that_differ_in_a_mark_alone_have_names_of_their_own():
    samples = [{"tile": tile, "file_name": "rgb.tif"} for tile in ("north/7", "north_7")]
    assert sample_names(samples) == ["north_7", "north_7-2"]
