"""Reconstructions as a reader sees them: color by color, beside what they are compared with."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from imrsf_d2.modalities import Modality, ModalitySet
from imrsf_d2.visualization import reconstructions
from imrsf_d2.visualization.palettes import DYNAMIC_WORLD
from imrsf_d2.visualization.reconstruction_arrays import ReconstructedSample, read_reconstructed, write_reconstructed
from imrsf_d2.visualization.reconstructions import MASKED, _draw_panels, draw_progress, draw_reconstructions
from imrsf_d2.visualization.views import INVALID, display_limits, view_modality

SENSORS = ModalitySet(
    [Modality("sar", transform="db", mean=(-8,), std=(3,)), Modality("rgb", 3), Modality("dsm"), Modality("dnw", classes=9)]
)
PATCH, GRID = 8, 3
HEIGHT, WIDTH = 20, 22  # the last row and column of patches reach beyond the image


def sample(seed=0):
    """A sample whose top left patch has no data, every second of the others masked."""
    rng = np.random.default_rng(seed)
    bands = rng.uniform(0, 255, (SENSORS.num_bands, HEIGHT, WIDTH)).round()
    bands[SENSORS.bands("dnw")] = rng.integers(0, 9, (HEIGHT, WIDTH))
    valid = np.ones((len(SENSORS), HEIGHT, WIDTH))
    valid[:, :PATCH, :PATCH] = 0
    present = np.ones((len(SENSORS), GRID, GRID), dtype=bool)
    present[:, 0, 0] = False
    visible = present & (np.arange(GRID * GRID).reshape(GRID, GRID) % 2 == 0)
    image = np.concatenate([bands, valid]).astype(np.float32)
    return ReconstructedSample(f"tile {seed}", image, present, visible, bands.astype(np.float32), PATCH)


def without(whole, name):
    """The sample without one modality, whose bands may then hold anything."""
    index, lacking = (
        SENSORS.index_of(name),
        replace(whole, image=whole.image.copy(), present=whole.present.copy(), visible=whole.visible.copy()),
    )
    lacking.image[SENSORS.bands(name)], lacking.image[SENSORS.validity(name)] = 7, 0
    lacking.present[index] = lacking.visible[index] = False
    return lacking


def panels(name, *moments):
    axes = Figure().subplots(1, 2 + len(moments))
    return axes, _draw_panels(axes, moments, SENSORS, name)


def colors(axis):
    (picture,) = axis.images
    return picture.get_array()


@pytest.fixture
def figure_of(monkeypatch, tmp_path):
    """The figure that a function would write, with its title."""

    def catch(draw, *args, **kwargs):
        caught = []
        monkeypatch.setattr(reconstructions, "save_figure", lambda *saved: caught.append(saved))
        draw(tmp_path / "picture.png", *args, **kwargs)
        ((figure, _, title),) = caught
        return figure, title

    return catch


@pytest.mark.parametrize("name", SENSORS.names)
def test_the_encoder_is_shown_to_see_its_visible_patches_and_nothing_else(name):
    given = sample()
    axes, _ = panels(name, given)
    before, seen = (colors(axis) for axis in axes[:2])
    for row, column in np.ndindex(HEIGHT, WIDTH):
        patch = SENSORS.index_of(name), row // PATCH, column // PATCH
        expected = before[row, column] if given.visible[patch] else MASKED if given.present[patch] else INVALID
        assert tuple(seen[row, column]) == tuple(expected), (row, column)


@pytest.mark.parametrize("name", SENSORS.names)
def test_missing_data_are_hatched_and_masked_patches_are_not(name):
    axes, _ = panels(name, sample())
    for axis, hatched in zip(axes, (PATCH, PATCH, 0)):
        extents = [patch.get_path().get_extents().bounds for patch in axis.patches]
        assert extents == ([(-0.5, -0.5, hatched, hatched)] if hatched else [])


def test_a_pixel_without_data_in_a_visible_patch_stays_hatched():
    given = sample()
    row, column = HEIGHT - 1, WIDTH - 1
    assert given.visible[:, row // PATCH, column // PATCH].all()
    given.image[SENSORS.num_bands :, row, column] = 0
    axes, _ = panels("dsm", given)
    assert tuple(colors(axes[1])[row, column]) == INVALID
    assert axes[1].patches[0].get_path().get_extents().x1 == column + 0.5


@pytest.mark.parametrize("name", SENSORS.names)
def test_a_value_has_one_color_in_all_panels_of_a_sample(name):
    given = sample()
    valid = given.image[SENSORS.validity(name)] == 1
    brighter = given.predicted + (0 if SENSORS[name].categorical else 1000)
    axes, _ = panels(name, given, replace(given, predicted=brighter))
    before, _, same, bright = (colors(axis) for axis in axes)
    assert np.array_equal(before[valid], same[valid])
    if not SENSORS[name].categorical:
        assert len(np.unique(bright.reshape(-1, 3), axis=0)) == 1  # far above the scale of the input


@pytest.mark.parametrize("name", SENSORS.names)
def test_of_an_absent_modality_only_reconstructions_are_drawn_on_the_scale_of_the_last(name):
    lacking = without(sample(), name)
    dimmer = lacking.predicted * (1 if SENSORS[name].categorical else 0.5)
    axes, _ = panels(name, replace(lacking, predicted=dimmer), lacking)
    for axis in axes[:2]:
        assert [text.get_text() for text in axis.texts] == ["absent"] and not axis.images
    valid = np.ones((len(SENSORS), HEIGHT, WIDTH))
    last = np.concatenate([lacking.predicted, valid])
    limits = display_limits(last, SENSORS, name)
    for axis, image in zip(axes[2:], (np.concatenate([dimmer, valid]), last)):
        np.testing.assert_allclose(colors(axis), view_modality(image, SENSORS, name, limits).colors, atol=1e-6)


def test_there_is_one_scale_beside_the_last_panel_with_the_values_of_the_input():
    given = sample()
    axes, _ = panels("dsm", given, replace(given, predicted=given.predicted * 100))
    assert [len(axis.child_axes) for axis in axes] == [0, 0, 0, 1]
    low, high = axes[-1].child_axes[0].get_ylim()
    assert 0 <= low < 5 and 250 < high <= 255


@pytest.mark.parametrize("heights, top", [(0.0, 0.05), (1.0, None)], ids=["flat", "relief"])
def test_rounding_errors_over_flat_ground_are_not_blown_up(heights, top):
    given = sample()
    given.image[SENSORS.bands("dsm")] *= heights
    axes, _ = panels("dsm", given)
    low, high = axes[-1].child_axes[0].get_ylim()
    if top is None:
        assert high - low > 200
    else:
        assert (low, high) == pytest.approx((-top, top), abs=1e-5)  # a tenth of a standard deviation


def test_the_classes_of_input_and_reconstruction_are_in_the_key():
    given = sample()
    given.image[SENSORS.bands("dnw")] = 6
    given.predicted[SENSORS.bands("dnw")] = 0
    _, key = panels("dnw", given)
    assert {entry.name for entry in key} == {"built", "water"} and {entry.index for entry in key} == {0, 6}
    assert all(entry.color == DYNAMIC_WORLD.colors[entry.index] for entry in key)


def test_a_reconstruction_that_is_no_number_is_hatched():
    given = sample()
    given.predicted[SENSORS.bands("sar"), 3, 4] = np.nan
    axes, _ = panels("sar", given)
    assert tuple(colors(axes[2])[3, 4]) == INVALID


def test_headings_say_modality_and_panel_and_the_title_how_much_was_seen(figure_of):
    figure, title = figure_of(draw_reconstructions, [sample(), without(sample(1), "sar")], SENSORS, "Iteration 9")
    headings = [axis.get_title() for axis in figure.axes]
    assert headings[:3] == ["SAR\ninput", "SAR\nseen: 4 of 8 patches", "SAR\nreconstruction"]
    assert headings[9:12] == ["DNW\ninput", "DNW\nseen: 4 of 8 patches", "DNW\nreconstruction"]
    assert headings[12:24:3] == [""] * 4 and headings[13:24:3] == ["", *["4 of 8 patches"] * 3]
    assert figure.axes[12].get_ylabel() == "tile 1"
    assert title == "Iteration 9: 50% of the patches visible"
    assert [axis.get_legend() is not None for axis in figure.axes] == [index == 11 for index in range(24)]


def test_an_absent_modality_of_the_first_sample_leaves_headings_in_order(figure_of):
    figure, _ = figure_of(draw_reconstructions, [without(sample(), "rgb")], SENSORS, "title")
    assert [axis.get_title() for axis in figure.axes][3:6] == ["RGB\ninput", "RGB\nseen", "RGB\nreconstruction"]


def test_pictures_are_written_as_png(tmp_path):
    samples = [sample(), sample(1)]
    write_reconstructed(tmp_path / "one.npz", samples, SENSORS)
    draw_reconstructions(tmp_path / "two.png", samples, SENSORS, "title")
    draw_reconstructions(tmp_path / "one.png", samples[:1], SENSORS, "title")
    draw_progress(tmp_path / "progress.png", {"start": tmp_path / "one.npz"}, SENSORS, "title")
    sizes = {name: imread(tmp_path / f"{name}.png").shape for name in ("one", "two", "progress")}
    assert sizes["two"][0] > 1.6 * sizes["one"][0] and sizes["two"][1] == pytest.approx(sizes["one"][1], rel=0.05)
    assert sizes["progress"][1] < sizes["one"][1] / 2


def test_progress_has_a_column_for_each_moment(figure_of, tmp_path):
    files = {}
    for label, share in (("start", 0), ("end", 1)):
        moments = [replace(given, predicted=given.predicted * share) for given in (sample(), sample(1))]
        files[label] = tmp_path / f"{label}.npz"
        write_reconstructed(files[label], moments, SENSORS)
    figure, title = figure_of(draw_progress, files, SENSORS, "Progress", sample=1)
    axes = np.array(figure.axes).reshape(len(SENSORS), 4)
    assert title == "Progress"
    assert [axis.get_title() for axis in axes[0]] == ["input", "seen: 4 of 8 patches", "start", "end"]
    assert [row[0].get_ylabel() for row in axes] == ["SAR", "RGB", "DSM", "DNW"]
    before, start, end = (colors(axes[2][column]) for column in (0, 2, 3))
    valid = sample(1).image[SENSORS.validity("dsm")] == 1
    assert np.abs(before - end)[valid].max() < 0.02 and np.abs(before - start)[valid].mean() > 0.2
    assert np.array_equal(before, colors(panels("dsm", sample(1))[0][0]))


@pytest.mark.parametrize(
    "change, number, message",
    [
        ({"name": "another tile"}, 0, "has the sample 'another tile', expected 'tile 0'"),
        ({"visible": np.zeros((len(SENSORS), GRID, GRID), dtype=bool)}, 0, "expected 'tile 0' with the masks of"),
        ({}, 1, "has 1 samples, so there is no sample 1"),
        ({}, -1, "no sample -1: give 0 to 0"),
    ],
)
def test_progress_of_what_cannot_be_compared_is_refused(tmp_path, change, number, message):
    for stem, given in (("first", sample()), ("second", replace(sample(), **change))):
        write_reconstructed(tmp_path / f"{stem}.npz", [given], SENSORS)
    files = {stem: tmp_path / f"{stem}.npz" for stem in ("first", "second")}
    with pytest.raises(ValueError, match=message):
        draw_progress(tmp_path / "progress.png", files, SENSORS, "title", sample=number)


def test_what_was_written_is_read_again(tmp_path):
    given = [sample(), without(sample(1), "rgb")]
    given[0].predicted[0, 0, 0] = np.nan
    write_reconstructed(tmp_path / "a.npz", given, SENSORS)
    for before, after in zip(given, read_reconstructed(tmp_path / "a.npz", SENSORS), strict=True):
        for field, value in vars(before).items():
            np.testing.assert_array_equal(getattr(after, field), value, err_msg=field)


def test_reconstructions_of_other_modalities_are_refused(tmp_path):
    write_reconstructed(tmp_path / "a.npz", [sample()], SENSORS)
    with pytest.raises(ValueError, match=r"a\.npz holds \['sar', 'rgb', 'dsm', 'dnw'\], expected .* \['sar'\]"):
        read_reconstructed(tmp_path / "a.npz", ModalitySet([Modality("sar")]))
    np.savez(tmp_path / "b.npz", x=np.ones(3))
    with pytest.raises(ValueError, match="b.npz holds no modalities"):
        read_reconstructed(tmp_path / "b.npz", SENSORS)
