"""What a COCO file means: ids, names, folders, and annotations that mark nothing."""

import json
import logging

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from imrsf_d2.data.datasets.coco import check_coco, load_coco
from imrsf_d2.data.datasets.segmentations import mark_nothing, parts_inside, segmentation_problem
from imrsf_d2.data.masks import segmentation_to_rle
from tests.raster_files import annotation

SIZE = 64
CLASSES = {3: "building", 7: "road"}


def box(x, y, width=10, height=8):
    return [[x, y, x + width, y, x + width, y + height, x, y + height]]


def write(tmp_path, segmentations=(box(5, 5),), image_id=1, name="t.tif", belongs_to=None, categories=CLASSES):
    path = tmp_path / "labels.json"
    path.write_text(
        json.dumps(
            {
                "images": [{"id": image_id, "file_name": name, "height": SIZE, "width": SIZE}],
                "annotations": [
                    annotation(number, image_id if belongs_to is None else belongs_to, segmentation, category_id=3)
                    for number, segmentation in enumerate(segmentations)
                ],
                "categories": [{"id": id_, "name": name} for id_, name in categories.items()],
            }
        )
    )
    return path


@pytest.mark.parametrize("name", ["t.tif", "area 1/t.tif", "2023/june/t.tif"])
def test_folders_in_file_names_are_kept(tmp_path, name):
    assert load_coco(write(tmp_path, name=name), CLASSES)[0]["file_name"] == name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("rgb\\t.tif", r"image 1 has file_name 'rgb\\\\t.tif', expected folders with '/', 'rgb/t.tif'"),
        ("area 1/", "image 1 has file_name 'area 1/', expected the name of a raster"),
    ],
)
def test_a_name_that_is_none_here_is_refused(tmp_path, name, message):
    with pytest.raises(ValueError, match=message):
        load_coco(write(tmp_path, name=name), CLASSES)


@pytest.mark.parametrize("image_id", ["tile_1", "1", -1, 1.5, 0, 10**21 + 1])
def test_ids_may_be_any_number_or_text(tmp_path, image_id):
    (sample,) = load_coco(write(tmp_path, image_id=image_id), CLASSES)
    assert sample["image_id"] == image_id and type(sample["image_id"]) is type(image_id)
    assert len(sample["annotations"]) == 1


@pytest.mark.parametrize("image_id", [True, float("nan"), float("inf"), None, [1]])
def test_others_are_refused(tmp_path, image_id):
    with pytest.raises(ValueError, match="image 't.tif' has id .*, expected a number or a text"):
        load_coco(write(tmp_path, image_id=image_id), CLASSES)


@pytest.mark.parametrize(("image_id", "belongs_to"), [("1", 1), (1, "1")])
def test_a_number_for_a_text_is_pointed_out(tmp_path, image_id, belongs_to):
    with pytest.raises(
        ValueError,
        match=rf"annotation 0 belongs to image {belongs_to!r}, expected one of the ids of the "
        rf"file's 1 images. There is an image {image_id!r}: a number and a text differ",
    ):
        load_coco(write(tmp_path, image_id=image_id, belongs_to=belongs_to), CLASSES)


def test_a_category_with_the_name_of_another_class_is_refused(tmp_path):
    path = write(tmp_path, categories={3: "road", 7: "building"})
    with pytest.raises(
        ValueError,
        match="labels.json: category 3 has name 'road', expected 'building' as registered: {3: 'building', 7: 'road'}",
    ):
        load_coco(path, CLASSES)
    load_coco(path, list(CLASSES))  # which gives no names


@pytest.mark.parametrize("categories", [{3: "Gebäude", 7: "Straße"}, {}, {1: "road", **CLASSES}, {3: None}])
def test_names_in_another_language_and_unused_categories_are_accepted(tmp_path, categories):
    load_coco(write(tmp_path, categories=categories), CLASSES)


#: marks nothing -> how it comes about
NOTHING = {
    "meters": box(356012.5, 5810010.5),
    "beyond any image": box(1e30, 5),
    "degrees": box(13.4, 52.5, 1e-4, 1e-4),
    "to the right": box(SIZE, 5),
    "below": box(5, SIZE + 0.6),
    "to the left": box(-12, 5),
    "above": box(5, -9),
    "a line there and back": [[5, 5, 9, 9, 5, 5]],
    "parts on both sides": box(-30, 5) + box(80, 5),
    "no set run": {"size": [SIZE, SIZE], "counts": [SIZE * SIZE]},
    "no set run, compressed": {
        "size": [SIZE, SIZE],
        "counts": coco_mask.encode(np.zeros((SIZE, SIZE), np.uint8, order="F"))["counts"].decode(),
    },
}
#: marks something, partly outside as it may be -> number of pixels, by hand
SOMETHING = {
    "inside": (box(5, 5), 80),
    "over the right edge": (box(SIZE - 3, 5), 24),
    "over the corner": (box(-6, -6), 8),
    "the last column": (box(SIZE - 1, 5), 8),
    "around the image": (box(-9, -9, 100, 100), SIZE * SIZE),
    "one part of two": (box(5, 5) + box(99, 5), 80),
    "one pixel": (box(5, 5, 1, 1), 1),
    "a run": ({"size": [SIZE, SIZE], "counts": [9, 2, SIZE * SIZE - 11]}, 2),
}


def test_annotations_that_mark_nothing_are_found_among_others():
    something = [segmentation for segmentation, _ in SOMETHING.values()]
    mixed = [*something, *NOTHING.values(), *something]
    expected = [False] * len(something) + [True] * len(NOTHING) + [False] * len(something)
    assert mark_nothing([parts_inside(each, SIZE, SIZE) for each in mixed], SIZE, SIZE) == expected


@pytest.mark.parametrize("something", SOMETHING)
def test_annotations_partly_outside_are_accepted(tmp_path, something, caplog):
    segmentation, pixels = SOMETHING[something]
    assert coco_mask.area(segmentation_to_rle(segmentation, SIZE, SIZE)) == pixels
    path = write(tmp_path, [segmentation])
    assert check_coco(path, CLASSES) == []
    assert load_coco(path, CLASSES)[0]["annotations"][0]["segmentation"] == segmentation
    assert caplog.text == ""


def test_a_file_whose_annotations_all_mark_nothing_is_refused_each_time(tmp_path):
    path = write(tmp_path, [box(356012.5, 5810010.5), box(356100, 5810010.5)])
    for _ in range(2):
        with pytest.raises(
            ValueError,
            match=r"labels.json: none of the 2 annotations marks a pixel of its image, e.g. "
            r"annotation 0 of 't.tif' \(x from 356012.5 to 356022.5, y from 5810010 to "
            r"5810018\). Expected pixels",
        ):
            load_coco(path, CLASSES)
    assert [unmarked.annotation_id for unmarked in check_coco(path, CLASSES)] == [0, 1]


def test_some_that_mark_nothing_are_counted_and_named_once(tmp_path, caplog):
    path = write(tmp_path, [box(5, 5), *NOTHING.values()])
    with caplog.at_level(logging.WARNING, logger="imrsf_d2"):
        for _ in range(3):
            assert len(load_coco(path, CLASSES)[0]["annotations"]) == 1 + len(NOTHING)
    (record,) = caplog.records
    assert f"labels.json: {len(NOTHING)} of {1 + len(NOTHING)} annotations mark no pixel of their image" in record.message
    assert "annotation 1 of 't.tif' (x from 356012.5" in record.message and record.message.count("annotation ") == 3


@pytest.mark.parametrize(
    ("number", "usable"),
    [
        (5, True),
        (5.5, True),
        (1e308, True),
        (-1e308, True),
        (10**300, True),
        (10**309, False),
        (float("inf"), False),
        (float("-inf"), False),
        (float("nan"), False),
        ("5", False),
        (None, False),
        ([5], False),
    ],
)
def test_outlines_are_finite_numbers(number, usable):
    for polygon in ([99, 5, 120, 5, 120, number], [number, 5, number, 5, 120, 5], [number, 5.0, number, 1e308, 120, number]):
        problem = segmentation_problem([polygon], SIZE, SIZE)
        assert problem is None if usable else "expected finite numbers" in problem


def test_a_file_without_annotations_is_accepted(tmp_path):
    assert load_coco(write(tmp_path, []), CLASSES)[0]["annotations"] == []


def test_a_polygon_that_reaches_too_far_is_refused_and_not_drawn(tmp_path):
    """pycocotools would draw it pixel by pixel, and beyond 2**31 / 5 crash."""
    with pytest.raises(
        ValueError,
        match=r"annotation 0 of 't.tif' has an unusable segmentation: a polygon extends from the "
        r"image of 64 x 64 px to -1e\+09, expected at most 1000000 px",
    ):
        load_coco(write(tmp_path, [[[5, 5, 9, 9, -1e9, 5]]]), CLASSES)


def test_parts_outside_change_nothing_of_a_mask():
    """All shifts of a shape over the edges, against pycocotools alone."""
    assert segmentation_to_rle(box(5, 5), SIZE, SIZE) == coco_mask.merge(coco_mask.frPyObjects(box(5, 5), SIZE, SIZE))
    shape = np.array([3.3, 0.2, 9.1, 4.5, 5.2, 9.7, 0.4, 5.1]).reshape(-1, 2)
    for x in np.arange(-13, SIZE + 4, 3.7):
        for y in np.arange(-13, SIZE + 4, 3.7):
            polygons = [(shape + [x, y]).ravel().tolist(), (shape + [y, x]).ravel().tolist()]
            expected = coco_mask.merge(coco_mask.frPyObjects(polygons, SIZE, SIZE))
            assert segmentation_to_rle(polygons, SIZE, SIZE) == expected
