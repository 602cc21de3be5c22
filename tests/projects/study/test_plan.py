"""The study's table and its configs say the same, and no model gets more than another."""

import pytest

from imrsf_d2.engine.configuration import load_config
from projects.study.plan import (
    BASELINE,
    BASELINE_LONGER,
    DATA,
    LONGER,
    MODELS,
    PROPOSED,
    PROPOSED_LONGER,
    choose_runs,
    planned_runs,
)
from tests.test_configs import REPOSITORY, flatten

CONFIGS = REPOSITORY / "projects/study/configs"
TASKS = ("dfc2023_instance", "dfc2023_semantic", "quadruplets_lulc")


def differing(first, second):
    first, second = (dict(flatten(load_config(path))) for path in (first, second))
    assert set(first) == set(second)
    return {key for key in first if first[key] != second[key]}


@pytest.mark.parametrize("scale", DATA, ids="{} scale".format)
def test_there_is_a_config_for_every_model_and_none_else(scale):
    assert {path.stem for path in (CONFIGS / scale).iterdir()} == {model.name for model in (*MODELS, *LONGER)}


@pytest.mark.parametrize("scale", DATA, ids="{} scale".format)
@pytest.mark.parametrize("model", (*MODELS, *LONGER), ids=lambda model: model.name)
def test_a_model_differs_from_the_proposed_in_its_named_keys_alone(scale, model):
    files = [CONFIGS / scale / f"{name}.yaml" for name in (model.name, "proposed")]
    assert differing(*files) == set(model.changes)


@pytest.mark.parametrize("scale", DATA, ids="{} scale".format)
def test_the_longer_trainings_are_twice_as_long(scale):
    shares = set()
    for model, longer in ((PROPOSED, PROPOSED_LONGER), (BASELINE, BASELINE_LONGER)):
        solver, more = (load_config(CONFIGS / scale / f"{name}.yaml").SOLVER for name in (model.name, longer.name))
        assert more.MAX_ITER == 2 * solver.MAX_ITER
        shares |= {tuple(step / s.MAX_ITER for step in s.STEPS) for s in (solver, more)}
    assert len(shares) == 1


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("model", [model for model in MODELS if model != PROPOSED], ids=lambda model: model.name)
def test_the_papers_experiments_differ_from_its_model_in_the_same_keys(task, model):
    assert differing(REPOSITORY / f"configs/ablations/{task}/{model.name}.yaml", REPOSITORY / f"configs/{task}.yaml") == set(
        model.changes
    )


def test_the_baseline_is_multivit():
    cfg = load_config(REPOSITORY / "configs/ablations/dfc2023_instance/multivit.yaml")
    imrsf = cfg.MODEL.IMRSF
    assert (imrsf.GATHER, imrsf.READOUT, imrsf.MASKED_ATTENTION, imrsf.ABSENT) == ("none", "modalities", False, "zeros")
    assert not cfg.INPUT.MODALITY_DROPOUT.ENABLED


@pytest.mark.parametrize("scale", DATA, ids="{} scale".format)
def test_the_data_are_what_the_configs_crop(scale):
    cfg = load_config(CONFIGS / scale / "proposed.yaml")
    assert list(cfg.INPUT.CROP.SIZE) == [DATA[scale]["size"]] * 2


def test_every_model_runs_once_before_any_runs_again():
    runs = planned_runs(MODELS)
    assert [run.model for run in runs[: len(MODELS)]] == list(MODELS)
    assert [run.name for run in runs[len(MODELS) :]] == [
        "proposed-seed2",
        "multivit-seed2",
        "proposed-seed3",
        "multivit-seed3",
    ]
    assert len(PROPOSED.seeds) == len(BASELINE.seeds) == 3


def test_runs_are_chosen_by_model_or_by_name():
    runs = planned_runs(MODELS)
    assert [run.name for run in choose_runs(["multivit", "without_lstm-seed1"], runs)] == [
        "multivit-seed1",
        "without_lstm-seed1",
        "multivit-seed2",
        "multivit-seed3",
    ]
    assert choose_runs([], runs) == runs
    with pytest.raises(ValueError, match="--only names 'proposed-seed9', expected .*proposed-seed1"):
        choose_runs(["proposed-seed9"], runs)
