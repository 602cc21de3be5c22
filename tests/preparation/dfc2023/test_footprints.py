"""Footprints cut along the borders of crops: put together again, they are what they were."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from imrsf_d2.data.geometry import Geometry
from imrsf_d2.preparation import footprints
from imrsf_d2.preparation.dfc2023.crops import tile_windows
from imrsf_d2.preparation.footprints import cut_footprint
from tests.preparation.dfc2023.source_files import rectangle
from tests.raster_files import run_lengths


def random_footprints(rng, height, width, number):
    for kind in rng.choice(["polygon", "pair", "runs"], number):
        center = rng.uniform(0, (width, height))
        angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 9)))
        radius = rng.uniform(1, 9, (len(angles), 1))
        # To a tenth or to the pixel, within the image or beyond its edge.
        points = np.round(center + radius * np.stack([np.cos(angles), np.sin(angles)], 1), int(rng.integers(2)))
        polygon = points.ravel().tolist()
        if kind == "polygon":
            yield [polygon]
        elif kind == "pair":
            yield [polygon, (points + rng.integers(-15, 15, 2)).ravel().tolist()]
        else:
            mask = np.asfortranarray(rng.random((height, width)) < 0.3, dtype=np.uint8)
            yield {"size": [height, width], "counts": run_lengths(mask)}


def test_parts_put_together_are_the_footprint():
    height, width, size = 64, 96, 32
    windows = tile_windows(height, width, size)
    assert [(w.top, w.left) for w in windows] == [(0, 0), (0, 32), (0, 64), (32, 0), (32, 32), (32, 64)]
    forms = {"shifted": 0, "inside but cut": 0, "run lengths": 0}
    for segmentation in random_footprints(np.random.default_rng(2), height, width, 600):
        if isinstance(segmentation, dict):
            whole = coco_mask.decode(coco_mask.frPyObjects(segmentation, height, width))
        else:
            whole = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width)))
        together = np.zeros_like(whole)
        for position, part in cut_footprint(segmentation, height, width, windows).items():
            window, code = windows[position], part["segmentation"]
            if isinstance(code, list):
                forms["shifted"] += 1
                code = coco_mask.merge(coco_mask.frPyObjects(code, size, size))
            else:
                points = [] if isinstance(segmentation, dict) else np.reshape(sum(segmentation, []), (-1, 2))
                inside = len(points) and np.all(
                    (points >= (window.left, window.top)) & (points <= (window.left + size, window.top + size))
                )
                forms["inside but cut" if inside else "run lengths"] += 1
            piece = coco_mask.decode(code)
            assert piece.sum() == part["area"] > 0
            together[window.top : window.top + size, window.left : window.left + size] += piece
        np.testing.assert_array_equal(together, whole)
    # With whole tiles and crops on one pixel grid, every footprint inside a crop can stay a polygon.
    assert forms["shifted"] > 100 and forms["inside but cut"] == 0 and forms["run lengths"] > 1000


def test_a_shifted_polygon_that_marks_other_pixels_is_not_kept(monkeypatch):
    window = Geometry(32, 32, 32, 32)
    polygon = [rectangle(40, 40, 50, 50)]
    assert isinstance(cut_footprint(polygon, 64, 64, [window])[0]["segmentation"], list)
    monkeypatch.setattr(footprints, "_shift", lambda polygons, window: [rectangle(8, 8, 18, 19)])
    part = cut_footprint(polygon, 64, 64, [window])[0]
    expected = np.zeros((32, 32), dtype=np.uint8)
    expected[8:18, 8:18] = 1
    np.testing.assert_array_equal(coco_mask.decode(part["segmentation"]), expected)


def test_the_line_that_a_vanished_part_leaves_is_left_out():
    # pycocotools alone would take four numbers for a box.
    part = cut_footprint([[1, 1, 5, 9], rectangle(2, 3, 6, 7)], 32, 32, [Geometry(0, 0, 32, 32)])[0]
    assert part == {"segmentation": [rectangle(2, 3, 6, 7)], "bbox": [2, 3, 4, 4], "area": 16}


@pytest.mark.parametrize(
    "segmentation", [[rectangle(40, 40, 40, 40)], {"size": [64, 64], "counts": [64 * 64]}], ids=["point", "run lengths"]
)
def test_a_footprint_without_pixels_has_no_parts(segmentation):
    assert cut_footprint(segmentation, 64, 64, tile_windows(64, 64, 32)) == {}
