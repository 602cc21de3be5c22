"""The report of the pre-training demo says what the runs say, and what is missing."""

import re

import numpy as np
import pytest

from projects.study.claims import judge_benefit
from projects.study.plan import planned_runs
from projects.study.pretraining_report import write_up
from projects.study.runs import Outcome
from projects.study.starts import GC, PRETRAININGS, STARTS, G
from projects.study.tables import Setting
from tests.projects.study.fabricated import outcome, outcomes, scores
from tests.projects.study.test_report import cells

SETTING = Setting(
    "A few tiles.", "python tools/pretrain_demo.py", "projects/study/configs/pretrain_demo", "results_pretraining.png"
)
LOSSES = {
    "g": {"sar": [2.0, 0.5], "rgb": [1.0, 0.25], "total_loss": [3.0, 0.75]},
    "gc": {"sar": [2.0, 0.6], "rgb": [1.0, 0.3], "contrastive": [0.6, 0.1], "total_loss": [3.6, 1.0]},
}


def three(complete, incomplete):
    return [[complete + shift] + [incomplete + shift] * 6 for shift in (0.0, 0.01, -0.01)]


@pytest.fixture
def full():
    """Every run: G helps on complete input and does nothing for the incomplete, G & C hurts there."""
    supervised = outcomes(
        {
            "scratch": three(0.3, 0.2),
            "finetune_g": three(0.4, 0.21),
            "finetune_gc": three(0.31, 0.1),
            "partial": three(0.25, 0.15)[:1],
        },
        STARTS,
    )
    pretrained = {
        run: Outcome(
            [], {**outcome([0] * 7, seconds={"training": 900.0}).record, "losses": LOSSES[run.model.name], "weights": "0"}
        )
        for run in planned_runs(PRETRAININGS)
    }
    return pretrained | supervised


def report_of(runs, missing=None, reconstructions="pretraining.png"):
    return write_up(SETTING, 40, runs, missing or {}, reconstructions)


def test_the_tables(full):
    report = report_of(full)
    assert "the labels of 40 of these tiles" in report
    assert cells(report, "random weights") == ["random weights", "3", "0.300 ± 0.010", "0.200 ± 0.010", "0.666 ± 0.011"]
    assert cells(report, "G & C, frozen")[1:4] == ["1", "0.250", "0.150"]
    assert report.count("✓") == 12 and "Incomplete." not in report
    assert "![scores by subset](results_pretraining.png)" in report and "](pretraining.png)" in report
    assert cells(report, "g-seed1") == ["g-seed1", "4.4", "1000 x 4", "900", "0", "", ""]
    assert cells(report, "finetune_gc-seed2")[-2:] == ["0.320", "0.110"]
    assert "Time: 1.7 h in all" in report  # ten runs of 440 s, two of 900 s
    assert "with its SEED, and with the weights of its pre-training." in report


def test_losses_of_both_pretrainings(full):
    report = report_of(full).partition("What pre-training learned")[2]
    assert cells(report, "loss") == ["loss", "G", "G & C"]
    assert cells(report, "sar") == ["sar", "2.000 → 0.500", "2.000 → 0.600"]
    assert cells(report, "contrastive") == ["contrastive", "", "0.600 → 0.100"]
    assert cells(report, "total_loss") == ["total_loss", "3.000 → 0.750", "3.600 → 1.000"]


def test_verdicts_follow_from_the_scores(full):
    verdicts = re.findall(r"^- Does pre-training help (.+)\? \*\*(.+)\*\*: (.+)\.$", report_of(full), re.M)
    assert [(question, verdict) for question, verdict, _ in verdicts] == [
        ("on complete input (G)", "Yes"),
        ("over the 6 incomplete subsets (G)", "Not clearly"),
        ("on complete input (G & C)", "Not clearly"),
        ("over the 6 incomplete subsets (G & C)", "No"),
    ]
    assert verdicts[0][2] == "0.400 ± 0.010 against 0.300 ± 0.010, a difference of +0.100 ± 0.014"


@pytest.mark.parametrize(
    "difference, verdict", [(0.03, "yes"), (0.028, "not clearly"), (-0.028, "not clearly"), (-0.03, "no")]
)
def test_a_verdict_takes_twice_the_spread(difference, verdict):
    # Two deviations of 0.01: a spread of 0.0141.
    ours, theirs = (scores(*three(*np.add((0.5, 0.3), shift))) for shift in (difference, 0))
    assert [judgment.verdict for judgment in judge_benefit("G", ours, theirs)] == [verdict] * 2


def test_single_runs_have_no_verdict():
    one, other = (scores(three(*values)[0]) for values in ((0.5, 0.3), (0.1, 0.1)))
    assert [judgment.verdict for judgment in judge_benefit("G", one, other)] == ["single runs, spread unknown"] * 2


def test_differences(full):
    report = report_of(full).partition("## Differences")[2]
    assert cells(report, "G minus random weights")[1:] == [
        "pre-training, G",
        "+0.100 ± 0.014 (helps)",
        "+0.010 ± 0.014 (unclear)",
    ]
    assert cells(report, "G & C minus G")[2:] == ["-0.090 ± 0.014 (hurts)", "-0.110 ± 0.014 (hurts)"]
    assert cells(report, "G & C, frozen minus G & C")[2:] == ["-0.060 ± 0.014 (hurts)", "+0.050 ± 0.014 (helps)"]
    assert cells(report, "G & C, frozen minus random weights")[2:] == ["-0.050 ± 0.014 (hurts)"] * 2


def test_what_the_spread_and_the_losses_are_of_is_said(full):
    report = report_of(full)
    assert "start from one and the same pre-training" in report and "not that of pre-training itself" in report
    assert "those of modalities are of masked patches, the contrastive one is of whole samples." in report
    supervised = report_of({run: found for run, found in full.items() if run.model == STARTS[0]}, reconstructions="")
    assert "one and the same pre-training" not in supervised


def test_missing_runs_are_named(full):
    some = {run: found for run, found in full.items() if run.model in (GC, *STARTS[1:])}
    report = report_of(some, {run: "not begun" for run in full if run not in some})
    assert "- `g-seed1`: not begun" in report and report.count("not begun") == 4
    assert "Nothing can be said: it takes finished runs from random weights" in report
    assert cells(report, "loss") == ["loss", "G & C"]
    assert "minus random weights" not in report and "G & C minus G" in report


def test_of_a_pretraining_alone_there_are_losses(full):
    report = report_of({run: found for run, found in full.items() if run.model == G}, reconstructions="")
    assert cells(report, "loss") == ["loss", "G"] and "## Verdict" not in report and "pretraining.png" not in report


def test_without_any_run_there_are_no_numbers(full):
    report = report_of({}, dict.fromkeys(full, "not begun"), "")
    assert report.count("not begun") == 12 and "##" not in report
