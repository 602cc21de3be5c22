import numpy as np
import pytest
from matplotlib.image import imread

from imrsf_d2.modalities import Modality, ModalitySet
from imrsf_d2.visualization.palettes import Palette
from imrsf_d2.visualization.scene_maps import draw_label_scene, draw_object_scene

MODALITIES = ModalitySet([Modality("rgb", 3), Modality("dsm", 1)])
ORANGE = np.array([0xFF, 0x91, 0x00]) / 255


@pytest.fixture
def image():
    """Gray ground without heights, 120 x 200 px."""
    image = np.zeros((6, 120, 200), dtype=np.float32)
    image[:3], image[4] = 128, 1
    return image


def square(left, top, side):
    return np.array([(0, 0), (0, 1), (1, 1), (1, 0), (0, 0)], dtype=np.float32) * side + (left, top)


def like(picture, color):
    return np.abs(picture[..., :3] - color).max(axis=-1) < 0.12


def test_outlines_lie_where_the_objects_are_holes_included(tmp_path, image):
    objects = {"building": [[square(50, 30, 60), square(70, 50, 20)], [square(150, 90, 10)]]}
    draw_object_scene(tmp_path / "map.png", image, MODALITIES, objects, "a heading")
    picture = imread(tmp_path / "map.png")
    rows, columns = np.nonzero(like(picture, ORANGE))
    # Of the picture, the scene is what is not white around it.
    scene = np.argwhere(picture[..., :3].mean(axis=-1) < 0.9)
    left, right = np.percentile(scene[:, 1], [0.5, 99.5])
    scale = (right - left) / 200
    columns = (columns - left) / scale
    assert columns.min() == pytest.approx(50, abs=2) and columns.max() == pytest.approx(160, abs=2)
    for edge in (50, 70, 90, 110, 150, 160):
        assert (np.abs(columns - edge) < 1.5).sum() > 8 * scale
    assert not (np.abs(columns - 130) < 15).any()


def test_a_scene_without_objects_is_drawn(tmp_path, image):
    draw_object_scene(tmp_path / "map.png", image, MODALITIES, {"building": []}, "nothing found")
    assert not like(imread(tmp_path / "map.png"), ORANGE).any()


def test_a_large_scene_has_a_pixel_for_each_of_its_own(tmp_path):
    image = np.ones((6, 900, 2000), dtype=np.float32)
    draw_object_scene(tmp_path / "map.png", image, MODALITIES, {"building": [[square(10, 10, 20)]]}, "large")
    height, width = imread(tmp_path / "map.png").shape[:2]
    assert 1900 <= width <= 2150 and height < 1200


@pytest.mark.parametrize("wide", [True, False])
def test_a_label_map_has_its_colors_and_a_key(tmp_path, image, wide):
    palette = Palette(("water", "trees"), ((0.0, 0.0, 1.0), (0.0, 0.5, 0.0)))
    labels = np.zeros((120, 200), dtype=np.uint8)
    labels[:, 100:] = 1
    labels[:40] = 255
    if not wide:
        image, labels = image.swapaxes(1, 2), labels.T
    draw_label_scene(tmp_path / "map.png", image, MODALITIES, labels, palette, "a heading")
    picture = imread(tmp_path / "map.png")
    shares = [like(picture, color).sum() for color in (*palette.colors, (1.0, 1.0, 1.0))]
    assert shares[0] == pytest.approx(shares[1], rel=0.05) and shares[0] > 5000 and shares[2] > 5000
    assert picture.shape[1] < 1000 and picture.shape[0] < 1700
