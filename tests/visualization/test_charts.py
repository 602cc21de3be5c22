"""Charts: what is drawn, read back from the figure."""

import numpy as np
import pytest

from imrsf_d2.evaluation.importance import ImportanceMap
from imrsf_d2.evaluation.summary import Estimate
from imrsf_d2.modalities import Modality, ModalitySet
from imrsf_d2.visualization import charts, importance


@pytest.fixture
def figures(monkeypatch):
    """The figures in place of the files they would become."""
    saved = []
    for module in (charts, importance):
        monkeypatch.setattr(module, "save_figure", lambda figure, path, title: saved.append(figure))
    return saved


def test_bars_have_lengths_intervals_and_numbers(figures):
    estimates = [Estimate(0.8, 0.7, 0.85), Estimate(-0.1), Estimate(float("nan"))]
    charts.draw_bars("x.png", ["A + B", "A", "B"], estimates, "scores", "AP50", reference=("nothing", 0.25))
    (axis,) = figures[0].axes
    assert [bar.get_width() for bar in axis.patches[:2]] == [0.8, -0.1]
    assert [text.get_text() for text in axis.texts] == ["0.800", "-0.100", "n/a"]
    spans = [line.get_xdata() for line in axis.lines]
    assert [0.7, 0.85] in [list(span) for span in spans] and [0.25, 0.25] in [list(span) for span in spans]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["A + B", "A", "B"]
    assert axis.get_ylim()[0] > axis.get_ylim()[1]  # the first is on top


def test_scores_of_a_part_of_the_images_are_bars_of_their_own(figures):
    estimates, partial = [Estimate(0.8), Estimate(0.3), Estimate(0.2)], {1: Estimate(0.6, 0.5, 0.7), 2: Estimate(np.nan)}
    charts.draw_bars(
        "x.png", ["A + B", "A", "B"], estimates, "scores", "AP50", ("nothing", 0.25), partial, ("all tiles", "some tiles")
    )
    (axis,) = figures[0].axes
    bars = [(bar.get_width(), bool(bar.get_hatch())) for bar in axis.patches]
    assert bars[:4] == [(0.8, False), (0.3, False), (0.2, False), (0.6, True)]
    assert [text.get_text() for text in axis.texts] == ["0.800", "0.300", "0.200", "0.600", "n/a"]
    # A label's two bars share its place, without overlapping.
    whole, part = axis.patches[1], axis.patches[3]
    assert whole.get_y() + whole.get_height() == pytest.approx(part.get_y()) == pytest.approx(1)
    assert all(-0.5 < text.xy[1] < 2.5 for text in axis.texts)
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["nothing", "all tiles", "some tiles"]
    charts.draw_bars("x.png", ["A"], [Estimate(0.8)], "scores", "AP50", ("nothing", 0.25), {}, ("all tiles", "some tiles"))
    assert [text.get_text() for text in figures[1].axes[0].get_legend().get_texts()] == ["nothing"]


def test_a_heat_map_shows_each_value_where_it_belongs(figures):
    values = np.array([[0.1, 0.9], [np.nan, 0.5]])
    charts.draw_heat_map("x.png", ["field", "road"], ["A", "B"], values, "IoU")
    axis = figures[0].axes[0]
    texts = {text.get_position(): text.get_text() for text in axis.texts}
    assert texts == {(0, 0): "0.10", (1, 0): "0.90", (1, 1): "0.50"}
    assert np.array_equal(np.ma.filled(axis.images[0].get_array(), np.nan), values, equal_nan=True)


def test_files_are_pictures_and_whole(tmp_path):
    charts.draw_bars(tmp_path / "bars.png", ["A"], [Estimate(0.5)], "scores", "mIoU")
    charts.draw_heat_map(tmp_path / "classes.png", ["field"], ["A"], np.ones((1, 1)), "IoU")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bars.png", "classes.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in tmp_path.iterdir())


def test_weights_lie_below_the_modality_they_belong_to(figures):
    modalities = ModalitySet([Modality("sar", 1, transform="db"), Modality("dsm", 1)])
    image = np.ones((4, 16, 20), dtype=np.float32)
    image[3] = 0  # no dsm at all
    beta = np.array([[1.0, 0.5, np.nan], [0.25, 0.0, 1.0]], dtype=np.float32)
    item = ImportanceMap("tile", image, {"sar": beta, "dsm": np.full((2, 3), np.nan, np.float32)}, 8, None)
    importance.draw_importance("x.png", item, modalities)
    below = figures[0].axes[2:4]
    (picture,) = below[0].images
    assert np.array_equal(np.ma.filled(picture.get_array(), np.nan), beta, equal_nan=True)
    assert list(picture.get_extent()) == [-0.5, 23.5, 15.5, -0.5] and below[0].get_xlim() == (-0.5, 19.5)
    assert below[0].patches and not below[1].images  # the absent patch is hatched
    assert [text.get_text() for text in below[1].texts] == ["absent"]


def test_the_axis_of_tiny_scores_has_short_numbers_that_stand_apart(figures):
    labels = ["RGB + SAR + DSM\nin 3 of 50 tiles", "RGB"]
    charts.draw_bars("x.png", labels, [Estimate(0.005, -0.0002, 0.006), Estimate(-0.00001)], "scores", "AP50")
    figures[0].canvas.draw()
    (axis,) = figures[0].axes
    assert [text.get_text() for text in axis.texts] == ["0.005", "0.000"]
    ticks = [
        label for label in axis.get_xticklabels() if axis.get_xlim()[0] <= label.get_position()[0] <= axis.get_xlim()[1]
    ]
    boxes = [label.get_window_extent() for label in ticks]
    assert len(boxes) > 2 and all(one.x1 + 2 < other.x0 for one, other in zip(boxes, boxes[1:]))
    assert all(len(label.get_text()) <= 5 for label in ticks)
