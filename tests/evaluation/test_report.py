import math

import pytest

from imrsf_d2.evaluation.report import main_score, markdown_table, subset_table


def test_a_table_written_by_hand():
    assert markdown_table(["SAR", "AP50"], [["✓", "0.040"], ["", "n/a"]], centerd=1) == (
        "| SAR |  AP50 |\n|:---:|------:|\n|  ✓  | 0.040 |\n|     |   n/a |"
    )


def test_subsets_are_laid_out_like_the_papers_table():
    rows = [
        {
            "modalities": ["sar", "rgb", "dsm"],
            "results": {"segm": {"AP": 20.04, "AP50": 33.3}, "bbox": {"AP": 21.0, "AP50": 34.0}},
        },
        {"modalities": ["dsm"], "results": {"segm": {"AP": math.nan, "AP50": 0.0}}},
    ]
    assert subset_table(rows, ["sar", "rgb", "dsm"]) == (
        "| SAR | RGB | DSM | mask AP50 | mask AP | box AP50 | box AP |\n"
        "|:---:|:---:|:---:|----------:|--------:|---------:|-------:|\n"
        "|  ✓  |  ✓  |  ✓  |     0.333 |   0.200 |    0.340 |  0.210 |\n"
        "|     |     |  ✓  |     0.000 |     n/a |      n/a |    n/a |"
    )
    assert main_score(rows[0]["results"]) == ("segm", "AP50", 33.3)


def test_label_maps_are_summed_up_by_miou():
    results = {"sem_seg": {"mIoU": 85.14, "mACC": 90.0, "pACC": 95.0, "IoU-water": 80.0}}
    assert subset_table([{"modalities": ["dem"], "results": results}], ["s1", "dem"]) == (
        "|  S1 | DEM |  mIoU |  mACC |  pACC |\n|:---:|:---:|------:|------:|------:|\n|     |  ✓  | 0.851 | 0.900 | 0.950 |"
    )
    assert main_score(results) == ("sem_seg", "mIoU", 85.14)


def test_results_of_an_unknown_task_are_refused():
    with pytest.raises(ValueError, match=r"tasks \['depth'\], expected one of \['segm'"):
        main_score({"depth": {}})
