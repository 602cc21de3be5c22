"""Masks to RLEs, areas and boxes: as pycocotools and NumPy have them, for any mask."""

import numpy as np
import pycocotools.mask as mask_util
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from imrsf_d2.evaluation.masks import annotation_to_rle, masks_to_rles, rle_to_area, rle_to_box, rle_to_mask

stacks = st.tuples(st.integers(0, 4), st.integers(1, 30), st.integers(1, 30)).flatmap(lambda shape: arrays(bool, shape))


@given(stacks)
def test_masks_are_encoded_as_pycocotools_encodes_them_and_come_back(masks):
    codes = masks_to_rles(masks)
    assert codes == [mask_util.encode(np.asfortranarray(mask.astype(np.uint8))) for mask in masks]
    for mask, code in zip(masks, codes):
        np.testing.assert_array_equal(rle_to_mask(code), mask)
        assert rle_to_area(code) == mask.sum()
        rows, columns = np.nonzero(mask)
        box = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1] if mask.any() else [0, 0, 0, 0]
        assert rle_to_box(code) == box
        assert annotation_to_rle({"segmentation": code}, *mask.shape) == code


@given(st.integers(1, 400), st.integers(1, 400), st.data())
def test_a_box_in_a_large_image_is_encoded_as_pycocotools_encodes_it(height, width, data):
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    mask = np.zeros((1, height, width), dtype=bool)
    mask[0, top : data.draw(st.integers(top + 1, height)), left : data.draw(st.integers(left + 1, width))] = True
    assert masks_to_rles(mask) == [mask_util.encode(np.asfortranarray(mask[0].astype(np.uint8)))]
