"""What mapping a scene whole does to scores: nothing to perfect ones."""

import numpy as np
import pytest
from detectron2.structures import Instances
from rasterio.transform import from_origin

from imrsf_d2.evaluation.map_scores import PlacedMask
from imrsf_d2.inference.detections import Detection
from imrsf_d2.inference.scene import open_scene
from imrsf_d2.inference.scene_predictor import ScenePredictor
from imrsf_d2.inference.windows import Window, WindowGrid
from imrsf_d2.modalities import Modality, ModalitySet
from projects.scenes.agreement import agreement, clipped, detect
from tests.inference.oracle_model import OracleDetector
from tests.inference.oracle_scene import draw_scene, look, look_everywhere
from tests.inference.scene_files import LEFT, TOP, write


def test_a_building_is_clipped_to_a_window_and_ignored_if_little_of_it_is_there():
    one = PlacedMask(10, 20, np.ones((30, 40), dtype=bool))
    window = Window(0, 0, 50, 64)
    part = clipped(one, window)
    assert (part.top, part.left, part.mask.shape, part.ignored) == (10, 0, (30, 10), False)
    assert clipped(one, window, visible_px=301).ignored and not clipped(one, window, visible_px=300).ignored
    assert clipped(one, window, visible=0.26).ignored and not clipped(one, window, visible=0.25).ignored
    assert clipped(one, Window(0, 40, 50, 64)) is None


@pytest.fixture(scope="module")
def town():
    scene = draw_scene(seed=2, height=300, width=400, halls=0, tries=200)
    (whole,) = look_everywhere(scene, WindowGrid(400, 400, 400, 100))
    return scene, [PlacedMask(d.top, d.left, d.mask) for d in whole[1]]


def test_perfect_windows_make_a_perfect_map(town):
    scene, buildings = town
    windows = WindowGrid(*scene.shape, 128, 32)
    scores = agreement(windows, dict(look_everywhere(scene, windows)), buildings)
    assert len(buildings) > 40
    assert {name: round(of["AP"], 6) for name, of in scores.items()} == dict.fromkeys(scores, 100.0)


def test_doubles_cost_the_windows_and_not_the_map(town):
    scene, buildings = town
    windows = WindowGrid(*scene.shape, 128, 32)

    def doubled(window):
        found = look(scene, window)
        sure = [Detection(d.window, 2 * n, 0, 0.9, d.top, d.left, d.mask) for n, d in enumerate(found)]
        again = [Detection(d.window, 2 * n + 1, 0, 0.8, d.top, d.left, d.mask) for n, d in enumerate(found)]
        half = len(found) // 2
        return (
            sure[:half] + again[:half] + [Detection(d.window, d.number, 0, 0.5, d.top, d.left, d.mask) for d in sure[half:]]
        )

    scores = agreement(windows, {window.index: doubled(window) for window in windows}, buildings)
    assert scores["map"]["AP50"] == pytest.approx(100)
    assert scores["windows, all pieces"]["AP50"] == pytest.approx(100)
    assert scores["windows, all pieces, doubles kept"]["AP50"] < 90


class Doubling(OracleDetector):
    """Finds everything twice."""

    def _find(self, numbers):
        return Instances.cat([super()._find(numbers)] * 2)


def test_detections_are_kept_with_their_doubles(town, tmp_path):
    scene, _ = town
    modalities, windows = ModalitySet([Modality("truth", 1)]), WindowGrid(*scene.shape, 128, 32)
    path = write(tmp_path / "truth.tif", scene.astype(np.float32), from_origin(LEFT, TOP, 0.5, 0.5))
    model = ScenePredictor(Doubling(), modalities=modalities, classes=["building"], window=128)
    opened = open_scene(modalities, {"truth": [str(path)]})
    found = detect(model, opened, windows, tmp_path / "found.npz")
    truth = dict(look_everywhere(scene, windows))
    assert {index: len(detections) for index, detections in found.items()} == {i: 2 * len(d) for i, d in truth.items()}
    assert detect(None, opened, windows, tmp_path / "found.npz").keys() == found.keys()  # those that were kept
