"""Any RLE and polygon: as pycocotools has it, through any transform."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco_mask

from imrsf_d2.data.geometry import Geometry
from imrsf_d2.data.masks import decode_box, instance_masks, run_lengths, segmentation_to_rle
from tests import raster_files
from tests.strategies import geometries, sizes

bitmaps = sizes.flatmap(lambda size: arrays(np.uint8, size, elements=st.integers(0, 1)))


@given(bitmaps, st.data())
def test_run_lengths_boxes_and_all_forms_of_a_code_are_pycocotools(mask, data):
    code = coco_mask.encode(np.asfortranarray(mask))
    runs = run_lengths(code["counts"])
    assert runs.tolist() == raster_files.run_lengths(mask) and runs.sum() == mask.size
    height, width = mask.shape
    for counts in (code["counts"], code["counts"].decode(), runs.tolist()):
        again = segmentation_to_rle({"size": [height, width], "counts": counts}, height, width)
        np.testing.assert_array_equal(coco_mask.decode(again), mask)
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    w, h = data.draw(st.integers(1, width - x)), data.draw(st.integers(1, height - y))
    np.testing.assert_array_equal(decode_box(code, x, y, w, h), mask[y : y + h, x : x + w])


@given(st.lists(st.integers(1, 40_000), min_size=1, max_size=12))
def test_long_runs_and_their_differences_are_read_exactly(runs):
    code = coco_mask.frPyObjects({"size": [sum(runs), 1], "counts": runs}, sum(runs), 1)
    assert run_lengths(code["counts"]).tolist() == runs


@given(bitmaps, geometries)
def test_masks_move_exactly_with_the_image(mask, geometry):
    code = {"size": list(mask.shape), "counts": raster_files.run_lengths(mask)}
    masks, kept = instance_masks([{"segmentation": code}], *mask.shape, geometry)
    expected = geometry.apply(mask).astype(bool)
    assert kept == ([0] if expected.any() else [])
    np.testing.assert_array_equal(masks, expected[None][: len(kept)])


quarters = st.integers(-16, 112).map(lambda number: number / 4)
polygons = st.lists(
    st.lists(quarters, min_size=6, max_size=12).filter(lambda numbers: len(numbers) % 2 == 0), min_size=1, max_size=3
)


@settings(max_examples=150)
@given(polygons, sizes, geometries)
def test_polygons_are_the_union_of_pycocotools_and_lose_no_pixel_in_any_window(polygons, size, geometry):
    union = np.any([coco_mask.decode(code) for code in coco_mask.frPyObjects(polygons, *size)], axis=0)
    np.testing.assert_array_equal(coco_mask.decode(segmentation_to_rle(polygons, *size)), union)
    masks, kept = instance_masks([{"segmentation": polygons}], *size, geometry)
    expected = geometry.apply(union)
    assert kept == ([0] if expected.any() else [])
    np.testing.assert_array_equal(masks, expected[None][: len(kept)])


edges = st.integers(-6, 6).map(lambda number: number / 4)


@settings(max_examples=150)
@given(*[st.integers(2, 6)] * 2, *[st.integers(0, 12)] * 2, *[st.booleans()] * 2, edges, edges)
def test_slivers_along_the_edges_of_a_window_are_kept(height, width, top, left, across, far, inner, outer):
    geometry = Geometry(top, left, height, width)
    first, last = sorted(((left + width * far if across else top + height * far) + side) for side in (inner, outer))
    low, high = (top - 1, top + height + 1) if across else (left - 1, left + width + 1)
    box = [first, low, last, low, last, high, first, high] if across else [low, first, high, first, high, last, low, last]
    for size in ((20, 20), (top + height, left + width)):  # inside the image, and in its corner
        whole = coco_mask.decode(segmentation_to_rle([box], *size))
        masks, kept = instance_masks([{"segmentation": [box]}], *size, geometry)
        assert kept == ([0] if geometry.apply(whole).any() else [])
        np.testing.assert_array_equal(masks, geometry.apply(whole)[None][: len(kept)])
