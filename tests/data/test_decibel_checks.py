"""Radar in decibels under TRANSFORM: db would vanish as pixels without an echo."""

import logging

import numpy as np
import pytest

from imrsf_d2.data import decibel_checks, windows
from imrsf_d2.data.decibel_checks import share_of_decibels
from imrsf_d2.geo.rasters import read_raster
from imrsf_d2.modalities import Modality, ModalitySet
from imrsf_d2.utils.errors import InputError

S1 = Modality("s1", 2, mean=(-9.0, -16.0), std=(3.0, 3.0), transform="db", clip=(-40, 25))
MODALITIES = ModalitySet([Modality("dem"), S1])


def backscatter(seed=0, size=16):
    """Decibels [2, size, size] as Sentinel-1 has them over land."""
    return np.random.default_rng(seed).normal([[[-9]], [[-16]]], 3, (2, size, size)).astype(np.float32)


def check_decibels(samples, modalities):
    decibel_checks.check_decibels(windows.read_windows(samples, modalities), modalities)


@pytest.fixture
def samples(tmp_path, write_raster):
    """`number` samples, of which the first `decibels` hold decibels."""

    def write(number, decibels, size=16):
        files = [
            write_raster(tmp_path / f"{i}.tif", values if i < decibels else 10 ** (values / 10))
            for i in range(number)
            for values in [backscatter(i, size)]
        ]
        return [{"s1": str(path), "dem": None} for path in files]

    return write


def test_decibels_read_as_power_nearly_vanish_which_is_why_this_is_checked(samples):
    (sample,) = samples(1, 1)
    assert read_raster(sample["s1"], S1)[1].mean() < 0.01
    assert share_of_decibels(sample["s1"], S1) > 0.99


def test_most_files_in_decibels_are_an_error_that_says_what_to_do(samples):
    with pytest.raises(
        InputError,
        match=r"modality 's1' has TRANSFORM: db, which takes linear power, but in 3 of 4 files "
        r"looked at most values are below 0, e\.g\. .*0\.tif \(100%\): these look like "
        r"decibels: TRANSFORM: none and UNIT: dB in MODEL\.IMRSF\.MODALITIES",
    ):
        check_decibels(samples(4, 3), MODALITIES)


def test_a_few_files_in_decibels_are_a_warning(samples, caplog):
    with caplog.at_level(logging.WARNING):
        check_decibels(samples(5, 1), MODALITIES)
    (record,) = caplog.records
    assert "in 1 of 5 files looked at" in record.getMessage() and "0.tif" in record.getMessage()


def test_linear_power_is_fine_noise_subtracted_or_not(samples, tmp_path, write_raster, caplog):
    check_decibels(samples(3, 0), MODALITIES)
    # Over calm water, what is left after the noise was subtracted is as often negative as positive.
    water = np.random.default_rng(0).normal(-1e-3, 2e-3, (2, 16, 16)).astype(np.float32)
    check_decibels([{"s1": str(write_raster(tmp_path / "water.tif", water))}], MODALITIES)
    # A sentinel that nobody tagged is no decibel.
    void = np.full((2, 16, 16), -9999, np.float32)
    void[:, :4] = 0.1
    check_decibels([{"s1": str(write_raster(tmp_path / "void.tif", void))}], MODALITIES)
    assert not caplog.records


def test_decibels_are_right_without_a_transform(samples):
    check_decibels(samples(3, 3), ModalitySet([Modality("s1", 2)]))


def test_a_bounded_number_of_windows_is_read(samples, monkeypatch):
    (sample,) = samples(1, 0, size=200)
    read = []
    real = windows.read_raster
    monkeypatch.setattr(
        windows, "read_raster", lambda path, modality, window: read.append(window) or real(path, modality, window=window)
    )
    check_decibels([sample] * 5000, MODALITIES)
    assert read == [(slice(36, 164), slice(36, 164))]  # twelve of one file, which is read once


def test_what_cannot_be_read_or_is_not_there_is_passed_over(samples, tmp_path):
    (tmp_path / "bad.tif").write_bytes(b"II*\0")
    check_decibels([{"s1": str(tmp_path / "bad.tif")}, {"s1": None}, {}, *samples(1, 0)], MODALITIES)
    check_decibels([{}], MODALITIES)
