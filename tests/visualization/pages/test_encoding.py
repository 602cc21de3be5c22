import base64
import io
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn
from PIL import Image

from imrsf_d2.visualization.pages.encoding import MOST_PX, gray_url, mask_path, picture_url, shrunk_labels, step_of


def filled(path, shape):
    """The pixels that an SVG path fills by the rule `evenodd`, from its vertical sides alone."""
    mask = np.zeros(shape, dtype=bool)
    for x, y, sides in re.findall(r"M(\d+) (\d+)((?:[hv]-?\d+)*)z", path):
        x, y = int(x), int(y)
        corners = [(x, y)]
        for side, length in re.findall(r"([hv])(-?\d+)", sides):
            x, y = (x + int(length), y) if side == "h" else (x, y + int(length))
            corners.append((x, y))
        for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1]):
            assert x0 == x1 or y0 == y1
            if x0 == x1:
                mask[min(y0, y1) : max(y0, y1), x0:] ^= True
    return mask


@given(stn.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_a_path_fills_exactly_the_mask(mask):
    assert np.array_equal(filled(mask_path(mask), mask.shape), mask)


def read(url):
    kind, data = re.fullmatch(r"data:image/(jpeg|png);base64,(.+)", url).groups()
    return kind, np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def test_numbers_come_back_as_they_are(rng):
    values = rng.integers(0, 256, (7, 12))
    kind, found = read(gray_url(values))
    assert kind == "png" and np.array_equal(found, values)


@pytest.mark.parametrize("side", [MOST_PX - 1, MOST_PX, MOST_PX + 1, 3 * MOST_PX])
def test_a_large_tile_is_shown_smaller_picture_and_labels_alike(side):
    height, width = 50, side
    step = step_of(height, width)
    assert side / step <= MOST_PX and (step == 1 or side / (step - 1) > MOST_PX)
    _, picture = read(picture_url(np.full((height, width, 3), 0.5), np.ones((height, width), bool), step))
    assert picture.shape[:2] == shrunk_labels(np.zeros((height, width)), step).shape


def test_what_holds_no_data_is_transparent_and_colors_of_classes_are_exact(rng):
    valid, colors = rng.random((9, 8)) < 0.5, rng.integers(0, 256, (9, 8, 3)) / 255
    kind, found = read(picture_url(colors, valid, 1))
    assert kind == "png" and np.array_equal(found[..., 3] == 255, valid) and np.array_equal(found[..., 3] == 0, ~valid)
    kind, found = read(picture_url(colors, np.ones_like(valid), 1, exact=True))
    assert kind == "png" and np.array_equal(found, np.round(255 * colors))
    assert read(picture_url(colors, np.ones_like(valid), 1))[0] == "jpeg"
