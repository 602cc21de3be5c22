import numpy as np
import pytest

from imrsf_d2.evaluation.per_image import SemanticImages
from imrsf_d2.evaluation.summary import summarize
from imrsf_d2.evaluation.sweep_report import same_scores, sweep_markdown
from tests.evaluation.test_summary import CLASSES, NAMES, sweep
from tests.markdown import read_tables


def interval(estimate):
    return f"{estimate.low / 100:.3f} to {estimate.high / 100:.3f}"


def test_the_report_has_scores_intervals_and_contributions():
    rows, images = sweep([0.9, 0.8, 0.6])
    summary = summarize(NAMES, rows, images, CLASSES, resamples=20)
    text = sweep_markdown(rows, summary, {"a chart": "a.png"}, ["Weights: w.pth"])
    scores, tiles, retention, incomplete, contributions = read_tables(text)
    assert scores[0] == ["A", "B", "mIoU", "mACC", "pACC"]
    assert [row[:2] for row in scores[1:]] == [["✓", "✓"], ["✓", ""], ["", "✓"], ["", ""]]
    assert scores[-1][2] == f"{summary.blind_results['sem_seg']['mIoU'] / 100:.3f}"
    assert [row[:2] for row in tiles[1:]] == [["A", "20"], ["B", "20"], ["A + B", "20"]]
    complete = summary.scores[("a", "b")]
    assert retention[1][2:5] == [f"{complete.value / 100:.3f}", interval(complete), "1.000"]
    lowest = summary.scores[("b",)]
    assert incomplete[2] == ["lowest: B", f"{lowest.value / 100:.3f}", interval(lowest)]
    a, loss = summary.shapley["a"], summary.losses["a"]
    assert contributions[1] == ["A", f"{a.value / 100:.3f}", interval(a), f"{loss.value / 100:.3f}", interval(loss)]
    assert "95%" in text and " 20 bootstrap resamples" in text and "seed 0" in text
    assert "![a chart](a.png)" in text and "- Weights: w.pth" in text


def test_a_choice_of_subsets_leaves_out_what_needs_the_others():
    rows, images = sweep([0.9], [("a",)])
    text = sweep_markdown(rows, summarize(NAMES, rows, images, CLASSES, resamples=0), {}, [])
    _, _, retention, incomplete = read_tables(text)
    assert retention[1][3:] == ["", "n/a", ""]
    assert [row[0] for row in incomplete] == ["1 of 2 incomplete subsets", "mean", "lowest: A"]
    assert "--subsets" in text and "nan" not in text


def test_the_complete_input_alone_has_no_table_of_incomplete_subsets():
    rows, images = sweep([0.9], [("a", "b")])
    text = sweep_markdown(rows, summarize(NAMES, rows, images, CLASSES, resamples=0), {}, [])
    assert len(read_tables(text)) == 3 and "\n\n\n" not in text


def test_scores_that_do_not_depend_on_the_sensors_are_said():
    rows, images = sweep([0.9, 0.9, 0.9])
    summary = summarize(NAMES, rows, images, CLASSES, resamples=0)
    assert "as if the model saw the same" in same_scores(rows, summary) and same_scores(rows, summary) in sweep_markdown(
        rows, summary, {}, []
    )
    assert same_scores(rows[:1], summary) == ""
    blind = [{**row, "results": summary.blind_results} for row in rows]
    assert "and so has no sensor ('field' everywhere)" in same_scores(blind, summary)
    rows[2]["results"]["sem_seg"]["pACC"] += 0.2
    assert same_scores(rows, summary) == ""


@pytest.mark.parametrize("number", [4, 5])
def test_a_few_images_have_no_intervals(number):
    rows, images = sweep([0.9, 0.8, 0.6])
    few = {subset: SemanticImages(own.image_ids[:number], own.confusion[:number]) for subset, own in images.items()}
    summary = summarize(NAMES, rows, few, CLASSES, resamples=20)
    assert {np.isnan(score.low) for score in summary.scores.values()} == {number < 5}
    assert ("There are no intervals" in sweep_markdown(rows, summary, {}, [])) == (number < 5)
