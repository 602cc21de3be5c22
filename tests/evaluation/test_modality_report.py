import csv
import io
import json
import math

import pytest

from imrsf_d2.evaluation.modality_report import class_scores, sweep_csv, sweep_json, sweep_markdown
from imrsf_d2.evaluation.summary import Estimate, Kept, summarize
from tests.evaluation.test_summary import CLASSES, NAMES, sweep

INSTANCES = [
    {
        "modalities": ["a"],
        "images": 3,
        "seconds": 1.0,
        "results": {"segm": {"AP50": 12.5, "APl": math.nan}, "bbox": {"AP50": 10.0}},
    }
]


@pytest.fixture
def finished():
    rows, images = sweep([0.9, 0.8, 0.6])
    return rows, summarize(NAMES, rows, images, CLASSES, resamples=20)


def test_the_report_has_table_intervals_and_worth(finished):
    rows, summary = finished
    text = sweep_markdown(rows, summary, {"a chart": "a.png", "No chart of that.": ""}, ["Weights: w.pth"])
    assert "|  A  |  B  |  mIoU |" in text and "The last row looks at no sensor: '" in text
    a = summary.shapley["a"]
    assert f"{a.value / 100:.3f} | {a.low / 100:.3f} to {a.high / 100:.3f}" in text
    assert f"Worst case: B, {summary.scores[('b',)].value / 100:.3f} (" in text
    assert "95% of 20 bootstrap resamples of the 20 images (seed 0)" in text
    assert "![a chart](a.png)" in text and "\n\nNo chart of that.\n" in text and "- Weights: w.pth" in text


def test_a_choice_of_subsets_says_what_is_missing():
    rows, images = sweep([0.9], [("a",)])
    text = sweep_markdown(rows, summarize(NAMES, rows, images, CLASSES, resamples=0), {}, [])
    assert "Shapley values need the scores of all 3 subsets; 1 were evaluated here" in text
    assert "Retention needs the complete input (A + B)" in text
    assert "No bootstrap was asked for" in text and "nan" not in text


def test_json_is_json(finished):
    rows, summary = finished
    rows[0]["results"]["sem_seg"]["IoU-field"] = math.nan
    data = json.loads(sweep_json("set", "w.pth", rows, summary), parse_constant=lambda text: pytest.fail(text))
    assert data["dataset"] == "set" and data["rows"][0]["results"]["sem_seg"]["IoU-field"] is None
    assert data["summary"]["shapley"]["a"]["low"] == summary.shapley["a"].low
    assert list(data["summary"]["scores"]) == ["a+b", "a", "b"] and data["summary"]["worst"] == ["b"]


def test_a_sheet_has_a_line_per_subset(finished):
    rows, _ = finished
    lines = list(csv.DictReader(io.StringIO(sweep_csv(rows, NAMES))))
    assert [(line["a"], line["b"]) for line in lines] == [("1", "1"), ("1", "0"), ("0", "1")]
    assert float(lines[2]["sem_seg/mIoU"]) == pytest.approx(rows[2]["results"]["sem_seg"]["mIoU"], rel=1e-5)
    covered = Kept({("a",): 2}, {("a",): Estimate(18.75)}, {}, None, None)
    assert sweep_csv(INSTANCES, ["a", "b"], covered) == (
        "a,b,images,segm/AP50,segm/APl,bbox/AP50,images_with_any,segm/AP50 of images_with_any\n1,0,3,12.5,,10,2,18.75\n"
    )
    assert sweep_csv(INSTANCES, ["a", "b"]) == ("a,b,images,segm/AP50,segm/APl,bbox/AP50\n1,0,3,12.5,,10\n")


def test_classes_are_those_of_the_task(finished):
    rows, _ = finished
    metric, by_class = class_scores(rows)
    assert metric == "IoU" and list(by_class) == CLASSES
    assert by_class["road"] == [row["results"]["sem_seg"]["IoU-road"] for row in rows]
    assert class_scores(INSTANCES) == ("AP", {})
