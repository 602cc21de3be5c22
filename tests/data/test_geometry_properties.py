"""Any transform: which pixels it shows, and that no invalid one shows through it."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from imrsf_d2.data.geometry import draw_geometry
from imrsf_d2.data.mappers import InstanceMapper
from imrsf_d2.data.photometric import Jitter
from imrsf_d2.data.reading import assemble
from imrsf_d2.modalities import Modality, ModalitySet
from tests.strategies import garbage_values, geometries, seeds, sizes


@given(geometries, sizes)
def test_a_transform_shows_the_pixels_that_it_names_and_can_be_undone(geometry, size):
    rows, columns = np.indices(size)
    moved = geometry.apply(np.stack([rows, columns]), fill=-1)
    assert moved.shape == (2, *geometry.output_size)
    back = geometry.unturn(moved)
    inside = (geometry.rows < size[0])[:, None] & (geometry.columns < size[1])
    np.testing.assert_array_equal(back[0], np.where(inside, geometry.rows[:, None], -1))
    np.testing.assert_array_equal(back[1], np.where(inside, geometry.columns, -1))
    assert ((geometry.rows >= geometry.top) & (geometry.rows < geometry.top + geometry.height)).all()


@given(geometries, sizes, seeds)
def test_the_window_is_all_that_a_transform_needs(geometry, size, seed):
    rng = np.random.default_rng(seed)
    bands, valid = rng.normal(size=(2, *size)).astype(np.float32), rng.random(size) < 0.7
    rows, columns = geometry.window(size)
    read = bands[:, rows, columns], valid[rows, columns]
    for part, whole in zip(
        geometry.within_window.apply_measurements(*read, [1.0, 2.0]), geometry.apply_measurements(bands, valid, [1.0, 2.0])
    ):
        np.testing.assert_array_equal(part, whole)


@given(sizes, sizes, st.booleans(), seeds, st.floats(0.25, 1), st.floats(1, 4))
def test_drawn_transforms_give_the_size_asked_for_and_stay_inside_where_they_can(size, crop, dihedral, seed, least, most):
    geometry = draw_geometry(size, crop, dihedral, np.random.default_rng(seed), (least, most))
    assert geometry.output_size == (crop[::-1] if geometry.turns % 2 else crop)
    for first, length, there in ((geometry.top, geometry.height, size[0]), (geometry.left, geometry.width, size[1])):
        assert 0 <= first and (first + length <= there or first == 0)


@given(geometries, sizes, seeds, garbage_values)
def test_a_resized_pixel_is_made_of_valid_pixels_alone(geometry, size, seed, garbage):
    rng = np.random.default_rng(seed)
    valid = rng.random(size) < rng.random()
    bands = np.where(valid, rng.uniform(10, 20, (2, *size)), garbage).astype(np.float32)
    moved, moved_valid = geometry.apply_measurements(bands, valid, [5.0, 6.0])
    np.testing.assert_array_equal(moved_valid, geometry.apply(valid, False))
    seen = moved[:, moved_valid]
    assert seen.size == 0 or 9.999 < seen.min() and seen.max() < 20.001
    if geometry.resized and geometry.resized != (geometry.height, geometry.width):
        assert (moved[:, ~moved_valid] == np.array([[5.0], [6.0]])).all()


MODALITIES = ModalitySet(
    [
        Modality("sar", 2, mean=[-8, -9], std=[3, 3], transform="db", clip=(-25, 12)),
        Modality("rgb", 3, mean=[81, 87, 71], std=[41, 37, 37]),
        Modality("dsm", 1, mean=[5], std=[7]),
        Modality("map", classes=9),
    ]
)
MAPPER = InstanceMapper(
    MODALITIES,
    is_train=True,
    jitters={"sar": Jitter(speckle=0.5), "rgb": Jitter(brightness=0.3, contrast=0.2), "dsm": Jitter(offset=2.0)},
)


@given(geometries, sizes, seeds, garbage_values)
def test_what_an_invalid_pixel_holds_shows_in_no_valid_one_after_augmentation(geometry, size, seed, garbage):
    rng = np.random.default_rng(seed)
    clean, spoilt = {}, {}
    for modality in MODALITIES:
        bands = (
            rng.integers(0, 9, (1, *size))
            if modality.categorical
            else rng.normal(np.reshape(modality.mean, (-1, 1, 1)), 2, (modality.channels, *size))
        ).astype(np.float32)
        valid = rng.random(size) < rng.random()
        # As a raster is read: what is invalid holds the mean.
        fill = np.asarray(modality.mean, dtype=np.float32)[:, None, None]
        clean[modality.name] = np.where(valid, bands, fill), valid
        spoilt[modality.name] = np.where(valid, bands, np.float32(garbage)), valid
    with np.errstate(over="ignore"):  # garbage as decibels
        results = [MAPPER.augment(rasters, geometry, np.random.default_rng(seed)) for rasters in (clean, spoilt)]
    for name, (bands, valid) in results[0].items():
        np.testing.assert_array_equal(valid, geometry.apply(clean[name][1], False))
        np.testing.assert_array_equal(results[1][name][1], valid)
        np.testing.assert_array_equal(results[1][name][0][:, valid], bands[:, valid])
        assert np.isfinite(bands).all()
    image = assemble(MODALITIES, results[0], geometry.output_size)
    for name, (_, valid) in results[0].items():
        np.testing.assert_array_equal(image[MODALITIES.validity(name)], valid)
