"""Jitter in each sensor's own terms: within its bounds, on valid pixels alone, the same from the same generator."""

import numpy as np
import pytest

from imrsf_d2.data.photometric import Jitter, read_jitters
from imrsf_d2.modalities import Modality, ModalitySet

RGB = Modality("rgb", 3, mean=(80.0, 90.0, 70.0), std=(40.0, 30.0, 20.0))
SAR = Modality("sar", 1, mean=(-8.0,), std=(3.0,), transform="db", clip=(-25, 12))
DSM = Modality("dsm", 1, mean=(5.0,), std=(7.0,))
MAP = Modality("dnw", classes=9)
MODALITIES = ModalitySet([SAR, RGB, DSM, MAP])


def draws(jitter, bands, modality, number=200):
    valid = np.ones(bands.shape[1:], dtype=bool)
    return np.stack([jitter.apply(bands, valid, modality, np.random.default_rng(i)) for i in range(number)])


def test_brightness_shifts_each_band_by_one_number_of_deviations():
    bands = np.random.default_rng(0).uniform(0, 255, (3, 4, 5)).astype(np.float32)
    shifts = (draws(Jitter(brightness=0.2), bands, RGB) - bands) / np.array([40, 30, 20])[:, None, None]
    per_sample = shifts.reshape(len(shifts), -1)
    np.testing.assert_allclose(per_sample, per_sample[:, :1].repeat(60, 1), atol=1e-5)
    assert -0.2 <= per_sample.min() < -0.18 and 0.18 < per_sample.max() <= 0.2


def test_contrast_scales_about_the_mean():
    bands = np.array([[[120.0]], [[90.0]], [[50.0]]], np.float32)  # a deviation above, at, and below the mean
    first, mean, last = np.moveaxis(draws(Jitter(contrast=0.5), bands, RGB)[:, :, 0, 0], 1, 0)
    np.testing.assert_allclose(mean, 90.0, atol=1e-4)
    np.testing.assert_allclose((first - 80) / 40, -(last - 70) / 20, atol=1e-5)
    factors = (first - 80) / 40
    assert 0.5 <= factors.min() < 0.55 and 1.45 < factors.max() <= 1.5


def test_offset_moves_the_whole_tile_by_meters():
    bands = np.random.default_rng(0).uniform(0, 30, (1, 4, 4)).astype(np.float32)
    moved = (draws(Jitter(offset=2.0), bands, DSM) - bands).reshape(200, -1)
    np.testing.assert_allclose(moved, moved[:, :1].repeat(16, 1), atol=1e-5)
    assert -2 <= moved.min() < -1.9 and 1.9 < moved.max() <= 2


@pytest.mark.parametrize("meaning", [{"transform": "db"}, {"unit": "dB"}, {}], ids=["to decibels", "in decibels", "power"])
def test_speckle_multiplies_linear_power(meaning):
    sar = Modality("sar", 1, **meaning)
    power = np.full((1, 300, 300), 0.5, np.float32)
    bands = 10 * np.log10(power) if meaning else power
    noisy = Jitter(speckle=0.25).apply(bands, np.ones((300, 300), bool), sar, np.random.default_rng(0))
    factor = (10 ** (noisy / 10) if meaning else noisy) / 0.5
    # 90,000 pixels: the mean is known to 0.001, the deviation about as well; gamma's skewness is twice its deviation.
    assert factor.mean() == pytest.approx(1.0, abs=0.005) and factor.std() == pytest.approx(0.25, abs=0.005)
    assert ((factor - 1) ** 3).mean() / 0.25**3 == pytest.approx(0.5, abs=0.1)
    assert abs(np.corrcoef(factor[0, :, :-1].ravel(), factor[0, :, 1:].ravel())[0, 1]) < 0.02


def test_clip_holds_and_invalid_pixels_keep_their_values():
    bands = np.array([[[11.9, -24.9, -8.0]]], np.float32).repeat(50, 1)
    valid = np.array([[True, True, False]]).repeat(50, 0)
    noisy = Jitter(speckle=1.0, offset=5.0).apply(bands, valid, SAR, np.random.default_rng(0))
    assert noisy.min() >= -25 and noisy.max() <= 12
    assert (noisy[..., 2] == -8).all() and (noisy[..., :2] != bands[..., :2]).any()


def test_the_same_generator_gives_the_same_and_nothing_changes_the_input():
    bands = np.ones((1, 4, 4), np.float32)
    one, two = (Jitter(speckle=0.3).apply(bands, np.ones((4, 4), bool), SAR, np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert (bands == 1).all() and one.dtype == np.float32


def test_the_config_says_which_modality_gets_what():
    entries = [{"NAME": "rgb", "BRIGHTNESS": 0.1, "CONTRAST": 0.2}, {"NAME": "sar", "SPECKLE": 0.3}]
    assert read_jitters(entries, MODALITIES) == {"rgb": Jitter(brightness=0.1, contrast=0.2), "sar": Jitter(speckle=0.3)}
    assert read_jitters([], MODALITIES) == {}


@pytest.mark.parametrize(
    "entries, message",
    [
        (
            [{"NAME": "rgb", "GAMMA": 1}],
            r"INPUT\.PHOTOMETRIC: entry .*'GAMMA'.* is no mapping of NAME and any of BRIGHTNESS, CONTRAST",
        ),
        ([{"BRIGHTNESS": 1}], "is no mapping of NAME and"),
        ([{"NAME": "lidar", "OFFSET": 1}], r"unknown modality; MODEL\.IMRSF\.MODALITIES has \['sar', 'rgb', 'dsm', 'dnw'\]"),
        ([{"NAME": "rgb"}, {"NAME": "rgb"}], "names 'rgb' twice"),
        ([{"NAME": "dnw", "OFFSET": 1}], "'dnw' holds class indices"),
        ([{"NAME": "sar", "SPECKLE": -0.1}], "SPECKLE is -0.1, expected a number of 0 or more"),
        ([{"NAME": "sar", "SPECKLE": "much"}], "SPECKLE is 'much', expected a number"),
        ([{"NAME": "rgb", "CONTRAST": 1.0}], "CONTRAST is 1.0, expected less than 1"),
    ],
)
def test_mistakes_are_named(entries, message):
    with pytest.raises(ValueError, match=message):
        read_jitters(entries, MODALITIES)
