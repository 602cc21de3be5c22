import math

import pytest

from imrsf_d2.evaluation.scores import class_scores, main_score
from tests.evaluation.test_summary import CLASSES, sweep

INSTANCES = [
    {
        "modalities": ["a"],
        "images": 3,
        "seconds": 1.0,
        "results": {"segm": {"AP50": 12.5, "APl": math.nan}, "bbox": {"AP50": 10.0}},
    }
]


def test_one_score_sums_up_each_task():
    assert main_score({"bbox": {"AP50": 34.0}, "segm": {"AP": 20.0, "AP50": 33.3}}) == ("segm", "AP50", 33.3)
    assert main_score({"sem_seg": {"pACC": 95.0, "mIoU": 85.1, "IoU-water": 80.0}}) == ("sem_seg", "mIoU", 85.1)
    with pytest.raises(ValueError, match=r"tasks \['depth'\], expected one of \['segm'"):
        main_score({"depth": {}})


def test_classes_are_those_of_the_task():
    rows, _ = sweep([0.9, 0.8, 0.6])
    metric, by_class = class_scores(rows)
    assert metric == "IoU" and list(by_class) == CLASSES
    assert by_class["road"] == [row["results"]["sem_seg"]["IoU-road"] for row in rows]
    assert class_scores(INSTANCES) == ("AP", {})
