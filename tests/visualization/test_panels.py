"""Panels as a reader sees them: pixel by pixel on the screen."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from imrsf_d2.modalities import Modality, ModalitySet
from imrsf_d2.visualization.palettes import KeyEntry
from imrsf_d2.visualization.panels import MAX_KEY_ENTRIES, draw_absent, draw_key, draw_modality, hatch, outline
from imrsf_d2.visualization.views import INVALID
from tests.visualization.canvas import color, render

SENSORS = ModalitySet(
    [
        Modality("sar", transform="db", mean=(-8,), std=(3,)),
        Modality("rgb", 3),
        Modality("dsm", unit="m"),
        Modality("dnw", classes=9),
    ]
)
SIZE = 6
GRAY = int(INVALID[0] * 255)


@pytest.fixture
def image():
    """All modalities without data in the left column, valid elsewhere; the map has class 4 beside class 1."""
    rng = np.random.default_rng(0)
    image = rng.uniform(0, 255, (SENSORS.num_channels, SIZE, SIZE)).astype(np.float32)
    image[SENSORS.bands("dnw")] = 4
    image[SENSORS.bands("dnw"), :, 3:] = 1
    image[SENSORS.num_bands :] = 1
    image[SENSORS.num_bands :, :, 0] = 0
    return image


def screen_of(image, name):
    return render(lambda axis: draw_modality(axis, image, SENSORS, name), SIZE, SIZE)


@pytest.mark.parametrize("name", SENSORS.names)
def test_pixels_without_data_are_hatched_and_others_are_not(image, name):
    screen = screen_of(image, name).astype(int)
    empty, full = screen[:, 0].reshape(-1, 3), screen[:, 2:].reshape(-1, 3)
    assert (empty.max(axis=1) <= GRAY + 1).all() and (empty == GRAY).all(axis=1).mean() > 0.2  # the ground
    assert (empty.max(axis=1) < 190).mean() > 0.05  # the lines
    assert (full == GRAY).all(axis=1).mean() < 0.01


@pytest.mark.parametrize("name", SENSORS.names)
def test_what_stands_where_there_is_no_data_cannot_be_seen(image, name):
    before = screen_of(image, name)
    image[SENSORS.bands(name), :, 0] = np.nan if name != "dnw" else 200
    assert np.array_equal(screen_of(image, name), before)


@pytest.mark.parametrize("name", SENSORS.names)
def test_an_absent_modality_looks_the_same_whatever_the_array_holds(image, name):
    image[SENSORS.validity(name)] = 0
    before = screen_of(image, name)
    image[SENSORS.bands(name)] = np.inf
    assert np.array_equal(screen_of(image, name), before)
    assert np.array_equal(before, render(lambda axis: draw_absent(axis, (SIZE, SIZE)), SIZE, SIZE))


def test_absent_is_written_on_what_is_absent():
    axis = Figure().add_subplot()
    draw_absent(axis, (4, 8))
    draw_absent(axis, (4, 8), "no sensor")
    assert [text.get_text() for text in axis.texts] == ["absent", "no sensor"]


def test_a_map_is_drawn_in_its_palette_with_a_key(image):
    entries = []
    screen = render(lambda axis: entries.extend(draw_modality(axis, image, SENSORS, "dnw")), SIZE, SIZE)
    assert color(screen[2, 2]) == (0xE4, 0x96, 0x35)  # crops
    assert color(screen[2, 4]) == (0x39, 0x7D, 0x49)  # trees
    assert sorted((entry.index, entry.name) for entry in entries) == [(1, "trees"), (4, "crops")]


@pytest.mark.parametrize("name, unit", [("sar", "dB"), ("dsm", "m")])
def test_measurements_have_a_scale_with_their_values_and_unit(image, name, unit):
    axis = Figure().add_subplot()
    draw_modality(axis, image, SENSORS, name)
    (scale,) = axis.child_axes
    values = image[SENSORS.bands(name)][0, :, 1:]
    assert scale.get_xlabel() == unit
    assert values.min() <= scale.get_ylim()[0] < scale.get_ylim()[1] <= values.max()


def test_true_color_and_maps_have_no_scale(image):
    axis = Figure().add_subplot()
    draw_modality(axis, image, SENSORS, "rgb")
    draw_modality(axis, image, SENSORS, "dnw")
    assert not axis.child_axes


def test_hatching_covers_its_pixels_exactly():
    mask = np.array([[0, 1, 1, 0], [0, 0, 0, 0], [1, 0, 0, 1], [0, 0, 0, 0]], dtype=bool)

    def draw(axis):
        axis.imshow(np.ones((4, 4, 3)))
        hatch(axis, mask)

    touched = (render(draw, 4, 4) < 250).any(axis=(2, 3))
    assert np.array_equal(touched, mask)


def test_outlines_close_at_the_border_and_leave_the_inside():
    mask = np.zeros((8, 8), dtype=bool)
    mask[4:, 4:] = True

    def draw(axis):
        axis.imshow(np.zeros((8, 8, 3)))
        outline(axis, [mask, np.zeros_like(mask)], "#ffffff")

    touched = (render(draw, 8, 8) > 100).any(axis=(2, 3))
    assert touched[4:, 4].all() and touched[4, 4:].all() and touched[7, 4:].all() and touched[4:, 7].all()
    assert not touched[:3].any() and not touched[:, :3].any() and not touched[5:7, 5:7].any()


def test_a_key_lists_classes_unless_there_are_too_many():
    entries = [KeyEntry(i, f"class {i}", (0.5, 0.5, 0.5)) for i in range(MAX_KEY_ENTRIES + 1)]
    axes = Figure().subplots(3)
    for axis, shown in zip(axes, (entries[:2], entries, [])):
        draw_key(axis, shown)
    assert [text.get_text() for text in axes[0].get_legend().get_texts()] == ["class 0", "class 1"]
    assert axes[1].get_legend() is None and axes[2].get_legend() is None
