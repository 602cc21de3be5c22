import pytest

from imrsf_d2.evaluation.summary import summarize
from imrsf_d2.visualization.sweep_charts import draw_sweep_charts
from tests.evaluation.test_summary import CLASSES, NAMES, SUBSETS, sweep


@pytest.mark.parametrize(
    "subsets, files",
    [(SUBSETS, ["subsets.png", "losses.png", "classes.png"]), (SUBSETS[1:], ["subsets.png", "classes.png"])],
    ids=["all", "without the complete input"],
)
def test_charts_are_of_what_is_known(tmp_path, subsets, files):
    rows, images = sweep([0.9, 0.8, 0.6], subsets)
    charts = draw_sweep_charts(tmp_path, rows, summarize(NAMES, rows, images, CLASSES, resamples=0), "set")
    assert list(charts.values()) == files and {path.name for path in tmp_path.iterdir()} == set(files)
