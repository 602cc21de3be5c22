"""The fair study: its table and its configs say the same, and a few tiny runs go from nothing to the report."""

import csv
import dataclasses
import io
import re

import pytest

from projects.study import fair, running
from projects.study.fair import MODELS, STUDIES, models_of
from projects.study.plan import planned_runs
from tests.projects.study.test_plan import differing
from tests.projects.study.test_running import TWO_ITERATIONS
from tests.tiny import NUM_TRAIN, NUM_VAL, SIZE


def config(study, model):
    return study.configs / f"{model.config or model.name}.yaml"


@pytest.mark.parametrize("study", STUDIES.values(), ids=list(STUDIES))
def test_there_is_a_config_for_every_model_and_none_else(study):
    assert set(study.configs.iterdir()) == {config(study, model) for model in models_of(study)}


@pytest.mark.parametrize("study", STUDIES.values(), ids=list(STUDIES))
def test_a_model_differs_from_the_proposed_in_its_named_keys_alone(study):
    for model in models_of(study):
        if model.sensor is None and not model.members:
            keys = differing(config(study, model), study.configs / "proposed.yaml")
            assert keys - set(fair.LENGTH) == set(model.changes), model.name


def test_runs_of_all_models_share_training_and_data_seeds():
    runs = planned_runs(MODELS)
    by_model = {model: [(run.seed, run.data_seed) for run in runs if run.model == model] for model in MODELS}
    longest = max(by_model.values(), key=len)
    assert all(pairs == longest[: len(pairs)] for pairs in by_model.values())
    assert len({data_seed for _, data_seed in longest[:3]}) >= 2 and len({seed for seed, _ in longest}) == len(longest)
    assert {len(pairs) for pairs in by_model.values()} == {fair.ONE, fair.FEW, fair.MANY}
    compared = (fair.PROPOSED, fair.MEAN, fair.MULTIVIT, fair.BEST)
    assert all(len(by_model[model]) >= 5 for model in compared)
    for name in ("semantic", "land_cover"):
        models = models_of(STUDIES[name])
        assert len(planned_runs(models)) == fair.FEW * len(models)
    assert runs[0].name == "proposed-seed1-data0"


def test_no_data_seed_is_that_of_the_test():
    for study in STUDIES.values():
        assert study.test["seed"] not in {run.data_seed for run in planned_runs(models_of(study))}
        assert {**study.test, **dict.fromkeys(("num_train", "num_val", "seed"))} == {
            **study.data,
            **dict.fromkeys(("num_train", "num_val", "seed")),
        }


def test_late_fusion_waits_for_its_members():
    runs = planned_runs(MODELS)
    fused = next(run for run in runs if run.model.name == "late_fusion")
    assert [run.name for run in fused.needs] == [f"single_{name}-seed1-data0" for name in ("sar", "rgb", "dsm")]
    assert all(runs.index(needed) < runs.index(fused) for needed in fused.needs)


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Runs the study of buildings on a few tiles, without lanes; returns its report and its table of runs."""
    monkeypatch.setenv("DETECTRON2_DATASETS", "replaced by the study, restored after the test")
    data = {"num_train": NUM_TRAIN, "num_val": NUM_VAL, "size": SIZE, "seed": 0}
    tiny = dataclasses.replace(STUDIES["instance"], data=data, test={**data, "num_train": 1, "seed": 1000})
    monkeypatch.setattr(running, "models_of", lambda study: MODELS)

    def run(*only, **options):
        results = tmp_path / "results.md"
        command = ["python", "tools/study.py", "--task", "instance"]
        running.run_study(tiny, command, tmp_path / "runs", results, only=only, opts=TWO_ITERATIONS, lanes=0, **options)
        return results.read_text(), list(csv.DictReader(io.StringIO((tmp_path / "results_runs.csv").read_text())))

    return run


def cells(report, heading):
    """first cell -> the others, of the first table below a heading."""
    table = report.partition(f"## {heading}\n")[2].partition("\n##")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line.startswith("|")]
    return {row[0]: row[1:] for row in rows[2:]}


def test_runs_are_trained_tested_kept_and_reported(study, trained, tmp_path):
    report, table = study("late_fusion-seed1-data0", "resnet_complete-seed2-data1", "mean-seed1-data0")
    names = ["mean-seed1-data0", "single_sar-seed1-data0", "single_rgb-seed1-data0", "single_dsm-seed1-data0"]
    assert [name for name, iteration, _ in trained if iteration == 1] == [*names, "resnet_complete-seed2-data1"]
    assert {path.name for path in (tmp_path / "runs").glob("data-*")} == {"data-seed0", "data-seed1", "data-test"}

    rows = {(row["run"], row["split"], row["subset"]): row for row in table}
    assert {split for _, split, _ in rows} == {"validation", "test"}
    assert len([row for row in rows if row[:2] == ("late_fusion-seed1-data0", "test")]) == 7
    assert len([row for row in rows if row[:2] == ("single_rgb-seed1-data0", "test")]) == 1
    # The report's scores, computed from what each image contributes, are those of the evaluator.
    of_mean = cells(report, "AP by subset")["mean for Bi-LSTM"]
    for place, subset in {0: "sar+rgb+dsm", -1: "dsm"}.items():
        ap = float(rows["mean-seed1-data0", "test", subset]["segm/AP"]) / 100
        assert float(of_mean[place]) == pytest.approx(ap, abs=6e-4)
    assert set(cells(report, "Test scores")) == {
        "mean for Bi-LSTM",
        "late fusion, three budgets",
        "ResNet-50, complete input",
    }
    assert re.search(r"## Missing runs\n\n- not begun: .*`proposed-seed1-data0`", report)
    # The ResNet has other seeds than the mean; late fusion has one run of the same.
    differences = cells(report, "Differences")
    assert (
        set(differences) == {"late fusion, three budgets − mean for Bi-LSTM"}
        and differences["late fusion, three budgets − mean for Bi-LSTM"][-1] == "1"
    )
    assert cells(report, "Cost")["late fusion, three budgets"][1] == "6"  # iterations of its three members

    trained.clear()
    assert study("late_fusion-seed1-data0", "mean-seed1-data0") == (report, table) and trained == []
