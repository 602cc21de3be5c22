import math

from imrsf_d2.evaluation.report import describe_machine, describe_versions, markdown_table, subset_table


def test_a_table_written_by_hand():
    assert markdown_table(["SAR", "AP50"], [["✓", "0.040"], ["", "n/a"]], centred=1) == (
        "| SAR |  AP50 |\n"
        "|:---:|------:|\n"
        "|  ✓  | 0.040 |\n"
        "|     |   n/a |")


def test_subsets_are_laid_out_like_the_papers_table():
    rows = [
        {"modalities": ["sar", "rgb", "dsm"], "results": {"segm": {"AP": 20.04, "AP50": 33.3},
                                                          "bbox": {"AP": 21.0, "AP50": 34.0}}},
        {"modalities": ["dsm"], "results": {"segm": {"AP": math.nan, "AP50": 0.0}}},
    ]
    assert subset_table(rows, ["sar", "rgb", "dsm"]) == (
        "| SAR | RGB | DSM | mask AP | mask AP50 | box AP | box AP50 |\n"
        "|:---:|:---:|:---:|--------:|----------:|-------:|---------:|\n"
        "|  ✓  |  ✓  |  ✓  |   0.200 |     0.333 |  0.210 |    0.340 |\n"
        "|     |     |  ✓  |     n/a |     0.000 |    n/a |      n/a |")


def test_the_machine_and_versions_are_named():
    assert "core" in describe_machine()
    assert describe_versions().startswith("imrsf_d2 ")
    assert "torch" in describe_versions()
