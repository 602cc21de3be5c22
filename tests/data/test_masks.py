"""Run-length codes and the masks of a window, against pycocotools."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from imrsf_d2.data.geometry import Geometry
from imrsf_d2.data.masks import decode_box, instance_masks, run_lengths
from tests import raster_files


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
    assert run_lengths(rle["counts"]).tolist() == raster_files.run_lengths(mask)
    assert run_lengths(rle["counts"].decode()).tolist() == raster_files.run_lengths(mask)
    height, width = mask.shape
    for x, y, w, h in [(0, 0, width, height), (width // 2, height // 3, width - width // 2, height // 2)]:
        box = decode_box(rle, x, y, w, h)
        assert box.dtype == bool
        np.testing.assert_array_equal(box, mask[y : y + h, x : x + w] > 0)


def test_a_code_that_breaks_off():
    with pytest.raises(ValueError, match="breaks off within a number"):
        run_lengths(coco_mask.encode(np.zeros((90, 90), np.uint8, order="F"))["counts"][:-1])
    assert run_lengths(b"").tolist() == []


@pytest.mark.parametrize("axis", [0, 1], ids=["columns", "rows"])
@pytest.mark.parametrize("first", [2, 24], ids=["the first", "the last"])
def test_no_instance_on_a_line_at_the_edge_of_a_window_is_lost(axis, first):
    """Polygons of 6 x 5 px that end or start around it, in tenths of a pixel, against the whole image's masks."""
    window, seen = Geometry(8, 8, 16, 16), set()
    for start in first + np.arange(-20, 21) / 10:
        corners = np.array([[start, 12], [start + 6, 12], [start + 6, 17], [start, 17]])
        polygon = [corners[:, :: -1 if axis else 1].ravel().tolist()]
        whole = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(polygon, 40, 40))) > 0
        expected = window.apply(whole)
        masks, kept = instance_masks([{"segmentation": polygon}], 40, 40, window)
        assert kept == ([0] if expected.any() else []) and np.array_equal(masks, expected[None][: len(kept)])
        seen.add(int(expected.sum()))
    assert seen >= {0, 5, 10}  # none, one and two lines of five pixels
