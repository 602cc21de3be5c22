import numpy as np
import pytest

from imrsf_d2.modalities import Modality, ModalitySet
from imrsf_d2.visualization.palettes import DYNAMIC_WORLD, Palette, modality_palette
from imrsf_d2.visualization.views import INVALID, backdrop, view_modality


def sample(modality, *bands, valid=None):
    """An image [C + 1, H, W] of one modality, and its set."""
    bands = np.array(bands, dtype=np.float32)
    valid = np.ones_like(bands[0]) if valid is None else np.array(valid, dtype=np.float32)
    return np.concatenate([bands, valid[None]]), ModalitySet([modality])


S2 = Modality("s2", 4, mean=(1400, 1300, 1300, 2000), std=(240, 290, 400, 500))
RAMP = np.arange(100, dtype=np.float32).reshape(10, 10)


def test_sentinel_2_is_shown_in_true_color():
    blue, green, red, infrared = (np.full((2, 2), value) for value in (500, 900, 1700, 5000))
    image, modalities = sample(S2, blue, green, red, infrared)
    shown = view_modality(image, modalities, "s2").colors
    assert (shown[..., 0] > shown[..., 1]).all() and (shown[..., 1] > shown[..., 2]).all()
    image[modalities.bands("s2")][3] = 0
    assert np.array_equal(view_modality(image, modalities, "s2").colors, shown)  # infrared is none of a screen's


def test_reflectance_is_stretched_without_its_tails():
    bands = [1000 + 10 * RAMP] * 4
    shown = view_modality(*sample(S2, *bands), "s2").colors
    assert shown.min() == 0 and shown.max() == 1
    assert shown[5, 0, 0] == pytest.approx((50 - 0.99) / (98.01 - 0.99), abs=1e-3)


def test_a_dark_tile_of_reflectance_is_stretched_too():
    """The same numbers would be 8-bit colors in another modality: the statistics tell, not the tile."""
    dark = [RAMP, RAMP, RAMP, RAMP]
    assert view_modality(*sample(S2, *dark), "s2").colors.max() == 1
    rgb = Modality("rgb", 3, mean=(81, 87, 71), std=(41, 37, 37))
    assert view_modality(*sample(rgb, *dark[:3]), "rgb").colors.max() == pytest.approx(99 / 255)


@pytest.mark.parametrize(
    "rgb",
    [Modality("rgb", 3), Modality("rgb", 3, mean=(81, 87, 71), std=(41, 37, 37))],
    ids=["without statistics", "with statistics"],
)
def test_8_bit_colors_are_shown_as_they_are(rgb):
    values = np.array([[0, 51, 102, 255]], dtype=np.float32)
    shown = view_modality(*sample(rgb, values, values[:, ::-1], values), "rgb").colors
    assert np.allclose(shown[..., 0], values / 255) and np.allclose(shown[..., 1], values[:, ::-1] / 255)


def test_radar_is_gray_and_heights_are_colored():
    sar = view_modality(*sample(Modality("sar", transform="db"), RAMP), "sar")
    dsm = view_modality(*sample(Modality("dsm", unit="m"), RAMP), "dsm")
    assert np.ptp(sar.colors, axis=-1).max() == 0 and np.ptp(dsm.colors, axis=-1).max() > 0.3
    assert np.all(np.diff(sar.colors[..., 0].ravel()) >= 0)
    assert (sar.unit, dsm.unit) == ("dB", "m")


def test_a_constant_band_can_be_shown():
    view = view_modality(*sample(Modality("dsm"), np.full((3, 3), 4000.0)), "dsm")
    assert np.isfinite(view.colors).all() and view.scale.norm.vmin < view.scale.norm.vmax


def test_pixels_without_data_neither_show_nor_stretch():
    valid = np.ones((10, 10))
    valid[0, 0] = 0
    image, modalities = sample(Modality("dsm"), RAMP, valid=valid)
    before = view_modality(image, modalities, "dsm")
    image[0, 0, 0] = 1e9
    after = view_modality(image, modalities, "dsm")
    assert np.array_equal(before.colors, after.colors) and tuple(after.colors[0, 0]) == INVALID
    assert not after.valid[0, 0] and after.valid.sum() == 99


def test_a_modality_without_a_valid_pixel_is_absent():
    image, modalities = sample(Modality("dsm"), RAMP, valid=np.zeros((10, 10)))
    assert view_modality(image, modalities, "dsm") is None


def test_decibels_are_gray_however_they_are_known():
    for modality in (
        Modality("sar", mean=(-9.0,)),
        Modality("backscatter", unit="dB"),
        Modality("x", bands=("VH", "VV"), unit="dB"),
        Modality("s1_rtc", 2, mean=(-9.0, -15.0), std=(1.0, 1.0)),
    ):
        view = view_modality(*sample(modality, *[RAMP - 60] * modality.channels), modality.name)
        assert np.ptp(view.colors, axis=-1).max() == 0 and view.unit == "dB"


def test_the_bands_to_show_are_those_of_the_modality():
    infrared, red, green = 3000 + RAMP, 500 + 2 * RAMP.T, 700 + 3 * RAMP[::-1]
    modality = Modality("nrg", bands=("B08", "B04", "B03"), display=("B08", "B04", "B03"))
    shown = view_modality(*sample(modality, infrared, red, green), "nrg").colors
    # Each has a stretch of its own, or vegetation would be nothing but red.
    for i, band in enumerate((infrared, red, green)):
        low, high = np.percentile(band, [1, 99])
        assert np.allclose(shown[..., i], np.clip((band - low) / (high - low), 0, 1), atol=1e-6)
    gray = view_modality(*sample(Modality("nrg", 3, display=(2,)), infrared, red, green), "nrg")
    assert (gray.scale.norm.vmin, gray.scale.norm.vmax) == pytest.approx(tuple(np.percentile(red, [1, 99])))


def test_a_composite_of_polarizations_is_no_8_bit_picture():
    bands = [10 + 0.1 * RAMP, 20 + 0.1 * RAMP, 15 + 0.1 * RAMP]
    quad = Modality("sar", bands=("HH", "HV", "VV"), display=("HH", "HV", "VV"))
    assert view_modality(*sample(quad, *bands), "sar").colors.max() == 1


SENSORS = ModalitySet([Modality("sar", transform="db"), Modality("rgb", 3), Modality("dsm")])


@pytest.mark.parametrize(
    "names, best", [((), "rgb"), (("sar", "rgb", "dsm"), "rgb"), (("sar", "dsm"), "dsm"), (("sar",), "sar")]
)
def test_the_backdrop_is_the_most_readable_modality(names, best):
    rng = np.random.default_rng(0)
    image = rng.uniform(1, 250, (8, 10, 10)).astype(np.float32)
    image[5:] = 1
    shown = backdrop(image, SENSORS, names)
    others = np.delete(np.arange(5), np.r_[SENSORS.bands(best)])
    image[others] = rng.uniform(1, 250, (len(others), 10, 10))
    assert np.array_equal(backdrop(image, SENSORS, names), shown)
    assert shown.min() >= 0.149 and shown.max() <= 0.851  # dimmed


def test_a_backdrop_prefers_a_whole_tile_to_the_edge_of_a_swath():
    image = np.random.default_rng(0).uniform(1, 250, (8, 10, 10)).astype(np.float32)
    image[5:] = 1
    image[SENSORS.validity("rgb"), 2:] = 0
    shown = backdrop(image, SENSORS)
    assert np.ptp(shown, axis=-1).max() < 1e-6 and len(np.unique(shown)) > 50  # the heights, in gray
    image[5:] = 0
    assert np.allclose(backdrop(image, SENSORS), INVALID)


def test_dynamic_world_has_its_official_colors_only_with_its_nine_classes():
    assert modality_palette(Modality("dnw", classes=9)) == DYNAMIC_WORLD
    assert DYNAMIC_WORLD.names[8] == "snow and ice"
    # As in Google's catalog of Earth Engine; tests/data/test_class_colors.py compares all of them.
    assert np.allclose(DYNAMIC_WORLD.colors[0], np.array([0x41, 0x9B, 0xDF]) / 255)
    other = modality_palette(Modality("dnw", classes=25))
    assert other.names[24] == "class 24" and len(set(other.colors)) == 25


def test_labels_and_a_map_sensor_show_the_same_class_in_the_same_color():
    labels = Palette(("urban fabric", "mixed forest", "trees", "Water"))
    shown = dict(zip(DYNAMIC_WORLD.names, DYNAMIC_WORLD.colors))
    assert labels.colors[2:] == (shown["trees"], shown["water"]) and labels.colors[0] == shown["built"]
    assert len(set(labels.colors)) == 4
    sensor = modality_palette(Modality("cover", class_names=("water", "urban fabric", "rocks")))
    own = Palette(("Rocks", "water"), ((1.0, 0.0, 0.2), shown["built"]))
    beside = modality_palette(Modality("cover", class_names=("water", "urban fabric", "rocks")), like=own)
    assert beside.colors[::2] == own.colors[::-1] and len(set(beside.colors)) == 3
    assert sensor.names[1] == "urban fabric" and sensor.colors[:2] == (shown["water"], shown["built"])


def test_a_palette_needs_a_color_for_each_class():
    with pytest.raises(ValueError, match="1 colors for the 2 classes"):
        Palette(("a", "b"), ((0, 0, 0),))
