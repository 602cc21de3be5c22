"""Masks and RLEs by hand; test_mask_properties.py compares any with pycocotools."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from imrsf_d2.data.geometry import Geometry
from imrsf_d2.data.masks import instance_masks, run_lengths, segmentation_to_rle
from tests import raster_files
from tests.raster_files import SIZE

WHOLE = Geometry(0, 0, SIZE, SIZE)


def test_polygon_and_run_lengths_of_one_shape_agree():
    mask = np.zeros((SIZE, SIZE), dtype=np.uint8)
    mask[3:9, 5:12] = 1
    box = [5, 3, 12, 3, 12, 9, 5, 9]
    forms = [
        [box],
        {"size": [SIZE, SIZE], "counts": raster_files.run_lengths(mask)},
        {"size": [SIZE, SIZE], "counts": coco_mask.encode(np.asfortranarray(mask))["counts"].decode()},
    ]
    masks, kept = instance_masks([{"segmentation": form} for form in forms], SIZE, SIZE, WHOLE)
    assert kept == [0, 1, 2]
    for result in masks:
        np.testing.assert_array_equal(result, mask.astype(bool))


def test_courtyards_stay_holes_and_parts_stay_together():
    ring = np.zeros((SIZE, SIZE), dtype=np.uint8)
    ring[4:14, 4:14] = 1
    ring[7:11, 7:11] = 0
    parts = [[0, 0, 4, 0, 4, 4, 0, 4], [20, 20, 24, 20, 24, 24, 20, 24]]
    masks, _ = instance_masks(
        [{"segmentation": {"size": [SIZE, SIZE], "counts": raster_files.run_lengths(ring)}}, {"segmentation": parts}],
        SIZE,
        SIZE,
        WHOLE,
    )
    np.testing.assert_array_equal(masks[0], ring.astype(bool))
    assert masks[1].sum() == 32 and masks[1, 1, 1] and masks[1, 21, 21] and not masks[1, 10, 10]


def test_instances_outside_or_too_small_are_dropped():
    boxes = [[0, 0, 2, 0, 2, 2, 0, 2], [10, 10, 20, 10, 20, 20, 10, 20], [18, 0, 30, 0, 30, 1, 18, 1]]
    window = Geometry(0, 8, 12, 12)
    masks, kept = instance_masks([{"segmentation": [box]} for box in boxes], SIZE, SIZE, window, min_pixels=4)
    assert kept == [1] and masks.shape == (1, 12, 12) and masks.sum() == 2 * 10
    nothing, _ = instance_masks([{"segmentation": [boxes[0]]}], SIZE, SIZE, Geometry(8, 8, 4, 6, turns=1))
    assert nothing.shape == (0, 6, 4)


def test_objects_that_are_small_by_themselves_stay():
    """A ship of two pixels is learned, as it is scored; of a part of it in the window nothing is."""
    ship = {"segmentation": [[10, 10, 12, 10, 12, 11, 10, 11]]}
    for window, kept in ((WHOLE, [0]), (Geometry(8, 8, 12, 12), [0]), (Geometry(8, 11, 12, 12), [])):
        masks, positions = instance_masks([ship], SIZE, SIZE, window, min_pixels=4)
        assert positions == kept and masks.sum() == 2 * len(kept)


def test_run_lengths_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"\[8, 4\], expected \[4, 8\]"):
        segmentation_to_rle({"size": [8, 4], "counts": [32]}, 4, 8)


def test_a_part_that_shrank_to_a_line_marks_nothing():
    square, line = [1, 1, 1, 4, 4, 4, 4, 1], [5, 5, 7, 7]
    assert segmentation_to_rle([square, line], 8, 8) == segmentation_to_rle([square], 8, 8)
    with pytest.raises(ValueError, match="no polygon has three or more points"):
        segmentation_to_rle([line], 8, 8)


def test_a_code_that_breaks_off():
    with pytest.raises(ValueError, match="ends within a number"):
        run_lengths(coco_mask.encode(np.zeros((90, 90), np.uint8, order="F"))["counts"][:-1])
    assert run_lengths(b"").tolist() == []
