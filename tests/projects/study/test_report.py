"""The report says what the runs say, and what is missing."""

import re

import numpy as np
import pytest
from matplotlib.image import imread

from projects.study.plan import LONGER, MODELS, planned_runs
from projects.study.plots import draw_scores
from projects.study.report import write_up
from projects.study.tables import Setting, scores_by_model
from tests.projects.study.fabricated import PAPER_MULTIVIT, PAPER_PROPOSED, outcome, outcomes

SETTING = Setting("A few tiles.", "python tools/study.py", "projects/study/configs/cpu", "results.png")
SHIFTS = (0.0, 0.01, -0.01)


def three(values):
    return [np.add(values, shift) for shift in SHIFTS]


def cells(report, first):
    """The cells of the table row that starts with `first`."""
    (line,) = [line for line in report.splitlines() if re.match(rf"\| *{re.escape(first)} *\|", line)]
    return [cell.strip() for cell in line.strip("|").split("|")]


def section(report, title):
    """What stands under a heading."""
    return report.partition(f"## {title}\n")[2].partition("\n## ")[0]


@pytest.fixture
def full():
    """Every run: MultiViT worse throughout, the Bi-LSTM of no use, the mask harmful, complete training much worse."""
    return outcomes(
        {
            "proposed": three([0.6] + [0.4] * 6),
            "multivit": three([0.5] + [0.1] * 6),
            "without_random_combination": [[0.7] + [0.05] * 6],
            "without_lstm": [[0.595] + [0.405] * 6],
            "without_mask": [[0.65] + [0.45] * 6],
        }
    )


def test_the_tables(full):
    report = write_up(SETTING, full, {})
    scores = section(report, "Scores")
    assert cells(scores, "proposed") == ["proposed", "3", "0.600 ± 0.010", "0.400 ± 0.010", "0.667 ± 0.006"]
    assert cells(scores, "w/o LSTM")[1:3] == ["1", "0.595"]
    assert cells(report, "multivit-seed2") == ["multivit-seed2", "4.4", "1000 x 4", "400", "40", "0.510", "0.110"]
    assert scores.count("✓") == 12  # each of three sensors is in four of the seven subsets
    assert "![scores by subset](results.png)" in report and "Incomplete." not in report
    assert "Machine: a machine; device cpu\n" in report and "Time: 1.1 h in all" in report  # nine runs of 440 s


def test_claims_that_hold(full):
    claims = section(write_up(SETTING, full, {}), "Claims")
    assert re.findall(r"^\d\. .*\*\*(.+)\*\*", claims, re.M) == ["Holds"] * 3
    assert "0.600 ± 0.010 against 0.500 ± 0.010, a difference of +0.100 ± 0.014" in claims
    assert "4.00 times; above twice MultiViT's by +0.200 ± 0.022" in claims


def test_claims_by_exact_masks(full):
    for run, result in full.items():
        if run.model.name == "proposed":  # rough masks, wherever it has not all sensors
            for row in result.rows[1:]:
                row["results"]["segm"]["AP"] /= 4
    report = write_up(SETTING, full, {})
    exact = section(report, "The claims by exact masks")
    assert cells(exact, "proposed") == ["proposed", "3", "0.300 ± 0.005", "0.050 ± 0.001", "0.167 ± 0.001"]
    assert re.findall(r"^\d\. .*\*\*(.+)\*\*", exact, re.M) == ["Holds", "Does not hold", "Holds"]
    assert re.findall(r"^\d\. .*\*\*(.+)\*\*", section(report, "Claims"), re.M) == ["Holds"] * 3


def test_claims_after_a_longer_training(full):
    longer = outcomes({"proposed_longer": [[0.7] + [0.5] * 6], "multivit_longer": [[0.65] + [0.4] * 6]}, LONGER)
    report = write_up(SETTING, {**full, **longer}, {})
    after = section(report, "The claims after a longer training")
    assert re.findall(r"^\d\. .*\*\*(\w+(?: not hold)?)", after, re.M) == ["Holds", "Does not hold", "Holds"]
    assert "1.25 times" in after and cells(after, "MultiViT, longer")[2] == "0.650"
    # The section is put between two others, and nothing else changes but how it was made.
    before, _, rest = report.partition("## The claims after a longer training\n" + after + "\n")
    told = write_up(SETTING, full, {}).partition("## How it was made")[0]
    assert before + rest.partition("## How it was made")[0] == told and "longer" not in told


def test_claims_that_do_not(full):
    exchanged = outcomes({"proposed": three(PAPER_MULTIVIT), "multivit": three(PAPER_PROPOSED)})
    claims = section(write_up(SETTING, exchanged, {}), "Claims")
    verdicts = re.findall(r"^\d\. .*\*\*(.+)\*\*", claims, re.M)
    assert verdicts[:2] == ["Does not hold"] * 2 and verdicts[2].startswith("Does not hold")
    assert "it collapses on SAR + RGB, SAR, RGB" in claims


def test_contributions_are_differences_with_a_word(full):
    report = section(write_up(SETTING, full, {}), "What each component contributes")
    assert cells(report, "w/o random combination")[1:] == ["-0.100 ± 0.014 (hurts)", "+0.350 ± 0.014 (helps)"]
    assert cells(report, "w/o LSTM")[1:] == ["+0.005 ± 0.014 (unclear)", "-0.005 ± 0.014 (unclear)"]
    assert cells(report, "w/o mask")[1:] == ["-0.050 ± 0.014 (hurts)", "-0.050 ± 0.014 (hurts)"]


def test_missing_runs_are_named():
    first, second, *rest = planned_runs(MODELS)
    report = write_up(SETTING, {first: outcome(PAPER_PROPOSED)}, {second: "not begun"})
    assert "**Incomplete.**" in report and "- `multivit-seed1`: not begun" in report
    assert "Nothing can be said: no finished run of MultiViT." in report
    assert "no finished run of another model" in report


def test_without_any_run_there_are_no_numbers():
    report = write_up(SETTING, {}, dict.fromkeys(planned_runs(MODELS), "not begun"))
    assert report.count("not begun") == 9 and "## Scores" not in report


def test_machines_are_listed_once_each(full):
    full[next(iter(full))].record["machine"] = "another machine"
    assert "Machine: another machine; device cpu / a machine; device cpu\n" in write_up(SETTING, full, {})


def test_the_picture(full, tmp_path):
    scores = {model.title: s for model, s in scores_by_model(full, MODELS).items()}
    draw_scores(tmp_path / "few.png", {"proposed": scores["proposed"]}, "title")
    draw_scores(tmp_path / "all.png", scores, "title")
    few, every = (imread(tmp_path / f"{name}.png") for name in ("few", "all"))
    assert few.shape == every.shape and (every[..., :3] < 0.99).mean() > (few[..., :3] < 0.99).mean()
