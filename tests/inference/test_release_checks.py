"""The checks of a release at their full size; docs/scenes.md has the figures. Small versions of all run with every test run."""

from itertools import chain

import numpy as np
import pytest

from imrsf_d2.inference.blending import blend
from imrsf_d2.inference.merging import merge
from imrsf_d2.inference.windows import WindowGrid
from tests.inference.oracle_scene import ceiling, compare, draw_scene, look_everywhere

pytestmark = pytest.mark.long

SIDE, SIZE, SEEDS = 4600, 512, (10, 11, 12)


@pytest.fixture(scope="module", params=[8, 10], ids=["walls 8 px", "walls 10 px"])
def scenes(request):
    return request.param, [draw_scene(seed, SIDE, SIDE, halls=12, tries=9000, least=request.param) for seed in SEEDS]


@pytest.mark.parametrize("overlap", [128, 256])
@pytest.mark.parametrize("jitter", [0, 1, 2])
def test_every_building_of_three_large_scenes_comes_out_once(scenes, overlap, jitter):
    least, scenes = scenes
    windows = WindowGrid(SIDE, SIDE, SIZE, overlap)
    found = np.array(
        [compare(scene, chain.from_iterable(merge(windows, look_everywhere(scene, windows, jitter)))) for scene in scenes]
    )
    buildings, once, twice, pieces = found.sum(axis=0).tolist()
    best = np.average([ceiling(scene, windows, jitter) for scene in scenes], weights=found[:, 0])
    print(
        f"\nwalls {least} px, overlap {overlap}, jitter {jitter}: {once} of {buildings} once, {twice} twice, {pieces} pieces; "
        f"one jittered mask each: {best:.4f}"
    )
    assert buildings > 15_000
    if jitter < 2:
        assert (once, twice, pieces) == (buildings, 0, 0)
    elif least == 10:
        assert once / buildings >= best - 0.002 and pieces / buildings <= 0.005
    else:  # two masks of a wall of 8 px may be 4 px apart: they agree on half of it
        assert once / buildings >= best - 0.015 and pieces / buildings <= 1 - best + 0.005


@pytest.mark.parametrize("height, width", [(1, 1), (1, 913), (913, 1), (511, 512), (513, 514), (640, 777), (912, 912)])
def test_an_identity_model_returns_its_input_at_every_size_up_to_a_window_and_400_px(rng, height, width):
    truth = rng.random((3, max(height, SIZE), max(width, SIZE)), dtype=np.float32)
    windows = WindowGrid(height, width, SIZE, 128)
    result = blend((0, 0, height, width), ((w, truth[:, w.top : w.bottom, w.left : w.right]) for w in windows), 3)
    assert np.abs(result - truth[:, :height, :width]).max() <= 1e-6
