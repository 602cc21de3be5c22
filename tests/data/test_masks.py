"""Run-length codes, against pycocotools."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from imrsf_d2.data.masks import decode_box, run_lengths
from tests.data import conftest


def masks():
    generator = np.random.default_rng(0)
    for height, width in [(1, 1), (7, 5), (5, 7), (64, 48)]:
        for density in (0.0, 0.02, 0.5, 0.98, 1.0):
            yield (generator.random((height, width)) < density).astype(np.uint8)
    large = np.zeros((1000, 900), np.uint8)
    large[300:700, 100:800] = 1
    large[400:500, 300:600] = 0
    yield large


@pytest.mark.parametrize("mask", list(masks()), ids=lambda mask: f"{mask.shape}, {mask.mean():.2f}")
def test_runs_and_boxes_are_those_of_pycocotools(mask):
    rle = coco_mask.encode(np.asfortranarray(mask))
    assert run_lengths(rle["counts"]).tolist() == conftest.run_lengths(mask)
    assert run_lengths(rle["counts"].decode()).tolist() == conftest.run_lengths(mask)
    height, width = mask.shape
    for x, y, w, h in [(0, 0, width, height), (width // 2, height // 3, width - width // 2, height // 2)]:
        box = decode_box(rle, x, y, w, h)
        assert box.dtype == bool
        np.testing.assert_array_equal(box, mask[y:y + h, x:x + w] > 0)


def test_a_code_that_breaks_off():
    with pytest.raises(ValueError, match="breaks off within a number"):
        run_lengths(coco_mask.encode(np.zeros((90, 90), np.uint8, order="F"))["counts"][:-1])
    assert run_lengths(b"").tolist() == []
