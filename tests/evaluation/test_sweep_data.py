import csv
import io
import json
import math

import pytest

from imrsf_d2.evaluation.summary import Estimate, Kept, summarize
from imrsf_d2.evaluation.sweep_data import sweep_csv, sweep_json
from tests.evaluation.test_scores import INSTANCES
from tests.evaluation.test_summary import CLASSES, NAMES, sweep


@pytest.fixture
def finished():
    rows, images = sweep([0.9, 0.8, 0.6])
    return rows, summarize(NAMES, rows, images, CLASSES, resamples=20)


def test_json_is_json(finished):
    rows, summary = finished
    rows[0]["results"]["sem_seg"]["IoU-field"] = math.nan
    data = json.loads(sweep_json("set", "w.pth", rows, summary), parse_constant=lambda text: pytest.fail(text))
    assert data["dataset"] == "set" and data["rows"][0]["results"]["sem_seg"]["IoU-field"] is None
    assert data["summary"]["shapley"]["a"]["low"] == summary.shapley["a"].low
    assert list(data["summary"]["scores"]) == ["a+b", "a", "b"] and data["summary"]["worst"] == ["b"]


def test_the_csv_has_a_line_per_subset(finished):
    rows, _ = finished
    lines = list(csv.DictReader(io.StringIO(sweep_csv(rows, NAMES))))
    assert [(line["a"], line["b"]) for line in lines] == [("1", "1"), ("1", "0"), ("0", "1")]
    assert float(lines[2]["sem_seg/mIoU"]) == pytest.approx(rows[2]["results"]["sem_seg"]["mIoU"], rel=1e-5)
    covered = Kept({("a",): 2}, {("a",): Estimate(18.75)}, {}, None, None)
    assert sweep_csv(INSTANCES, ["a", "b"], covered) == (
        "a,b,images,segm/AP50,segm/APl,bbox/AP50,images_with_any,segm/AP50 of images_with_any\n1,0,3,12.5,,10,2,18.75\n"
    )
    assert sweep_csv(INSTANCES, ["a", "b"]) == ("a,b,images,segm/AP50,segm/APl,bbox/AP50\n1,0,3,12.5,,10\n")
