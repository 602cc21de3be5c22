"""The report and the table of runs hold what the runs say, and name what is missing."""

import csv
import re
from types import SimpleNamespace

import pytest
from matplotlib.image import imread

from projects.study.paper import study_topic
from projects.study.plan import MODELS, planned_runs
from projects.study.plots import draw_scores
from projects.study.pretraining import pretraining_topic
from projects.study.report import write_report
from projects.study.scores import scores_by_model
from projects.study.starts import PRETRAININGS, SCRATCH
from tests.projects.study.fabricated import PAPER_PROPOSED, outcome, outcomes, three

LOSSES = {
    "g": {"sar": [2.0, 0.5], "total_loss": [3.0, 0.75]},
    "gc": {"sar": [2.0, 0.6], "contrastive": [0.6, 0.1], "total_loss": [3.6, 1.0]},
}


def cells(report, first):
    """The cells of each table row that starts with `first`."""
    lines = [line for line in report.splitlines() if re.match(rf"\| *{re.escape(first)} *\|", line)]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.fixture
def report(tmp_path):
    """Writes the report on some outcomes; returns its text and the rows of its CSV."""

    def write(topic, found, missing=None):
        experiment = SimpleNamespace(
            runs=[*found, *(missing or {})],
            collect=lambda: (found, missing or {}),
            describe_data=lambda: "a few tiles",
            config_digest=lambda run: f"digest of {run.model.name}",
            folder=lambda run: tmp_path / run.name,
        )
        write_report(experiment, topic, "python tools/study.py", tmp_path / "results.md")
        table = tmp_path / "results_runs.csv"
        rows = list(csv.DictReader(table.open(encoding="utf-8"))) if table.exists() else []
        return (tmp_path / "results.md").read_text(encoding="utf-8"), rows

    return write


@pytest.fixture
def full():
    """Every run of MODELS: MultiViT worse throughout, random combination of great use, LSTM and mask of none."""
    return outcomes(
        {
            "proposed": three([0.6] + [0.4] * 6),
            "multivit": three([0.5] + [0.1] * 6),
            "without_random_combination": [[0.7] + [0.05] * 6],
            "without_lstm": [[0.595] + [0.405] * 6],
            "without_mask": [[0.65] + [0.45] * 6],
        }
    )


def test_scores_stand_in_one_table_per_metric(report, full, tmp_path):
    text, _ = report(study_topic("cpu"), full)
    assert cells(text, "sensors") == [["sensors", *(model.title for model in MODELS)]] * 2
    assert cells(text, "SAR + RGB") == [
        ["SAR + RGB", "0.400 ± 0.010", "0.100 ± 0.010", "0.050", "0.405", "0.450"],
        ["SAR + RGB", "0.200 ± 0.005", "0.050 ± 0.005", "0.025", "0.203", "0.225"],
    ]
    assert cells(text, "retention")[0][1] == "0.667 ± 0.006" and cells(text, "runs")[0][1:] == ["3", "3", "1", "1", "1"]
    assert (tmp_path / "results.png").is_file() and "(results.png)" in text


def test_every_claim_has_its_table(report, full):
    text, _ = report(study_topic("cpu"), full)
    sections = text.split("\n### Claim ")[1:]
    assert [len(re.findall(r"^\|", section, re.M)) - 2 for section in sections] == [2, 2, 2, 16]
    verdicts = [re.findall(r"(holds|does not hold|not clear) +\|$", section, re.M) for section in sections]
    assert verdicts[:3] == [["holds"] * 2] * 3 and len(verdicts[3]) == 16


def test_how_it_was_made_is_said_once_for_all_runs(report, full):
    full[next(iter(full))].record["machine"] = "another machine"
    text, _ = report(study_topic("cpu"), full)
    for fact in ("python tools/study.py", "a few tiles", "another machine, device cpu / a machine, device cpu", "1.1 h"):
        assert text.count(fact) == 1, fact  # nine runs of 440 s


def test_the_csv_has_a_row_per_run_and_subset(report, full):
    _, rows = report(study_topic("cpu"), full)
    assert len(rows) == 9 * 7
    (row,) = [row for row in rows if row["run"] == "multivit-seed2" and row["subset"] == "sar+rgb"]
    assert float(row.pop("segm/AP50")) == pytest.approx(11.0) and float(row.pop("segm/AP")) == pytest.approx(5.5)
    assert row == {
        "run": "multivit-seed2",
        "model": "multivit",
        "seed": "2",
        "split": "validation",
        "subset": "sar+rgb",
        "iterations": "1000",
        "batch": "4",
        "parameters": "4400000",
        "training_seconds": "400.0",
        "evaluation_seconds": "40.0",
        "config_digest": "digest of multivit",
        "device": "cpu",
        "machine": "a machine",
        "versions": "imrsf_d2 1",
        "bbox/AP50": "1.0",
    }


def test_missing_runs_are_named_with_the_reason(report):
    first, second, *_ = planned_runs(MODELS)
    text, rows = report(study_topic("cpu"), {first: outcome(PAPER_PROPOSED)}, {second: "not begun"})
    assert cells(text, "`multivit-seed1`") == [["`multivit-seed1`", "not begun"]]
    assert len(rows) == 7 and not cells(text, "compared") and text.count("### Claim") == 4


def test_without_any_run_there_are_no_numbers(report, tmp_path):
    text, _ = report(study_topic("cpu"), {}, dict.fromkeys(planned_runs(MODELS), "not begun"))
    assert text.count("not begun") == 9 and "## Scores" not in text
    assert [path.name for path in tmp_path.iterdir()] == ["results.md"]


def test_pretraining_runs_have_losses_and_no_scores(report):
    pretrained = {
        run: outcome([], seconds={"training": 900.0}, losses=LOSSES[run.model.name], weights="0")
        for run in planned_runs(PRETRAININGS[:2])
    }
    text, rows = report(pretraining_topic(), pretrained)
    assert cells(text, "loss") == [["loss", "G", "G & C"]]
    assert cells(text, "sar") == [["sar", "2.000 → 0.500", "2.000 → 0.600"]]
    assert cells(text, "contrastive") == [["contrastive", "", "0.600 → 0.100"]]
    assert "## Scores" not in text and [(row["run"], row["subset"]) for row in rows] == [("g-seed1", ""), ("gc-seed1", "")]

    supervised = outcomes({"scratch": three([0.3] * 7)}, [SCRATCH])
    text, rows = report(pretraining_topic(), {**pretrained, **supervised})
    assert cells(text, "sensors")[0] == ["sensors", "random weights"] and len(rows) == 2 + 3 * 7


def test_the_figure(full, tmp_path):
    scores = {model.title: s for model, s in scores_by_model(full, MODELS).items()}
    draw_scores(tmp_path / "few.png", {"proposed": scores["proposed"]}, "title")
    draw_scores(tmp_path / "all.png", scores, "title")
    few, every = (imread(tmp_path / f"{name}.png") for name in ("few", "all"))
    assert few.shape == every.shape and (every[..., :3] < 0.99).mean() > (few[..., :3] < 0.99).mean()
