"""Windows of any image: together they are the image."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from imrsf_d2.preparation.dfc2023.crops import tile_windows


@given(st.integers(1, 40), st.integers(1, 12), st.integers(1, 12))
def test_crops_hold_each_pixel_once(size, rows, columns):
    image = np.arange(size * rows * size * columns).reshape(size * rows, size * columns)
    crops = [window.apply(image) for window in tile_windows(*image.shape, size)]
    assert {crop.shape for crop in crops} == {(size, size)}
    whole = np.block([[crops[row * columns + column] for column in range(columns)] for row in range(rows)])
    np.testing.assert_array_equal(whole, image)
    np.testing.assert_array_equal(tile_windows(*image.shape, None)[0].apply(image), image)


@given(st.integers(1, 200), st.integers(1, 200), st.integers(-8, 64))
def test_crops_that_do_not_divide_an_image_are_refused(height, width, size):
    assume(size < 1 or height % size or width % size)
    with pytest.raises(ValueError, match="without a remainder"):
        tile_windows(height, width, size)
