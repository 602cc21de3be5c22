import numpy as np
import pycocotools.mask as mask_util
import pytest

from imrsf_d2.evaluation.masks import annotation_to_rle, masks_to_rles, rle_to_area, rle_to_box, rle_to_mask

#: columns 1-2 of rows 1-3 in an image of 4 rows and 5 columns
MASK = np.zeros((4, 5), bool)
MASK[1:4, 1:3] = True
FORMS = {
    "polygon": [[1, 1, 3, 1, 3, 4, 1, 4]],
    "two polygons": [[1, 1, 2, 1, 2, 4, 1, 4], [2, 1, 3, 1, 3, 4, 2, 4]],
    "run lengths": {"size": [4, 5], "counts": [5, 3, 1, 3, 8]},
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_mask_box_and_area(form):
    rle = annotation_to_rle({"segmentation": FORMS[form]}, 4, 5)
    assert np.array_equal(rle_to_mask(rle), MASK)
    assert (rle_to_box(rle), rle_to_area(rle)) == ([1, 1, 2, 3], 6)
    assert np.array_equal(rle_to_mask(annotation_to_rle({"segmentation": rle}, 4, 5)), MASK)  # compressed


@pytest.mark.parametrize(
    "segmentation, message",
    [
        (None, "annotation 7 of image 3 has no segmentation"),
        ([], "has no segmentation"),
        ({"size": [5, 4], "counts": [20]}, r"annotation 7 of image 3.*\[5, 4\], expected \[4, 5\]"),
        ([["a"]], "annotation 7 of image 3.*cannot be read"),
    ],
)
def test_an_unreadable_segmentation_is_named(segmentation, message):
    with pytest.raises(ValueError, match=message):
        annotation_to_rle({"id": 7, "image_id": 3, "segmentation": segmentation}, 4, 5)


@pytest.mark.parametrize("height, width", [(1, 1), (1, 7), (7, 1), (16, 24), (13, 5)])
def test_masks_are_encoded_as_pycocotools_encodes_them(height, width):
    rng = np.random.default_rng(0)
    masks = [rng.random((height, width)) < share for share in (0.0, 1.0, 0.5, 0.1)]
    for rows, columns in (
        (slice(0, 1), slice(None)),
        (slice(-1, None), slice(-1, None)),
        (slice(None), slice(0, 1)),
        (slice(height // 2, None), slice(width // 3, width // 2 + 1)),
    ):  # at every border and at none
        masks.append(np.zeros((height, width), bool))
        masks[-1][rows, columns] = True
    masks = np.array(masks)
    assert masks_to_rles(masks) == mask_util.encode(np.asfortranarray(masks.transpose(1, 2, 0).astype(np.uint8)))
    assert masks_to_rles(masks[:0]) == []
