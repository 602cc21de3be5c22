import math

from imrsf_d2.evaluation.tables import markdown_table, subset_table
from tests.markdown import read_tables


def test_leading_columns_are_centered_and_the_others_aligned_to_the_right():
    header, rule, *body = markdown_table(["SAR", "AP50"], [["✓", "0.040"], ["", "n/a"]], centered=1).splitlines()
    assert rule.strip("|").split("|") == [":-----:", "-------:"]
    assert len({len(line) for line in (header, rule, *body)}) == 1 and body[0].endswith("  0.040 |")  # not 0.04


def test_a_table_without_rows_is_its_header():
    assert read_tables(markdown_table(["a", "b"], [], centered=1)) == [[["a", "b"]]]


def test_subsets_are_laid_out_like_the_papers_table():
    rows = [
        {
            "modalities": ["sar", "rgb", "dsm"],
            "results": {"segm": {"AP": 20.04, "AP50": 33.3}, "bbox": {"AP": 21.0, "AP50": 34.0}},
        },
        {"modalities": ["dsm"], "results": {"segm": {"AP": math.nan, "AP50": 0.0}}},
    ]
    assert read_tables(subset_table(rows, ["sar", "rgb", "dsm"])) == [
        [
            ["SAR", "RGB", "DSM", "mask AP50", "mask AP", "box AP50", "box AP"],
            ["✓", "✓", "✓", "0.333", "0.200", "0.340", "0.210"],
            ["", "", "✓", "0.000", "n/a", "n/a", "n/a"],
        ]
    ]
    results = {"sem_seg": {"mIoU": 85.14, "mACC": 90.0, "pACC": 95.0, "IoU-water": 80.0}}
    assert read_tables(subset_table([{"modalities": ["dem"], "results": results}], ["s1", "dem"])) == [
        [["S1", "DEM", "mIoU", "mACC", "pACC"], ["", "✓", "0.851", "0.900", "0.950"]]
    ]
