"""The pre-training demo's table and its configs say the same, and no start gets more than another."""

import pytest

from imrsf_d2.engine.configuration import load_config
from projects.study.plan import choose_runs, planned_runs
from projects.study.starts import DATA, FROM_G, PARTIAL, PRETRAININGS, SCRATCH, STARTS, G
from tests.projects.study.test_plan import differing
from tests.test_configs import REPOSITORY

CONFIGS = REPOSITORY / "projects/study/configs/pretrain_demo"
RUNS = planned_runs((*PRETRAININGS, *STARTS))


def config(model):
    return CONFIGS / f"{model.name}.yaml"


def test_there_is_a_config_for_every_model_and_none_else():
    assert {path.stem for path in CONFIGS.iterdir()} == {model.name for model in (*PRETRAININGS, *STARTS)}


@pytest.mark.parametrize("start", STARTS, ids=lambda start: start.name)
def test_a_start_differs_from_random_weights_in_its_named_keys_alone(start):
    assert differing(config(start), config(SCRATCH)) == set(start.changes)


@pytest.mark.parametrize("pretraining", PRETRAININGS, ids=lambda model: model.name)
def test_a_pretraining_differs_from_g_in_its_named_keys_alone(pretraining):
    assert differing(config(G), config(pretraining)) - {"OUTPUT_DIR"} == set(pretraining.changes)


@pytest.mark.parametrize("pretraining", PRETRAININGS, ids=lambda model: model.name)
def test_the_encoder_that_is_pretrained_is_the_one_that_is_fine_tuned(pretraining):
    kept = (
        "MODEL.IMRSF.MODALITIES",
        "MODEL.IMRSF.PATCH_SIZE",
        "MODEL.IMRSF.EMBED_DIM",
        "MODEL.IMRSF.DEPTH",
        "MODEL.IMRSF.NUM_HEADS",
        "MODEL.IMRSF.GATHER",
        "DATASETS.TRAIN",
        "INPUT.CROP.SIZE",
    )
    assert not differing(config(pretraining), config(SCRATCH)) & set(kept)


def test_a_tenth_of_the_tiles_is_labeled_and_all_are_pretrained_on():
    shares = [load_config(config(model)).DATALOADER.TRAIN_SHARE for model in (SCRATCH, G)]
    assert shares == [0.1, 1.0] and DATA["num_train"] == 400
    assert list(load_config(config(SCRATCH)).INPUT.CROP.SIZE) == [DATA["size"]] * 2


@pytest.mark.parametrize("pretraining", PRETRAININGS, ids=lambda model: model.name)
def test_about_eight_pictures_of_a_pretraining(pretraining):
    cfg = load_config(config(pretraining))
    assert cfg.SOLVER.MAX_ITER / cfg.MODEL.IMRSF.PRETRAIN.PICTURES.PERIOD == 8


def test_pretrainings_run_before_what_starts_from_them():
    names = [run.name for run in RUNS]
    assert names[:13] == [
        "g-seed1",
        "gc-seed1",
        "g_random-seed1",
        "g_cross-seed1",
        "g_longer-seed1",
        "scratch-seed1",
        "finetune_g-seed1",
        "finetune_gc-seed1",
        "finetune_g_random-seed1",
        "finetune_g_cross-seed1",
        "finetune_g_longer-seed1",
        "finetune_gc_tenth-seed1",
        "partial-seed1",
    ]
    assert len(names) == 25 and [run.name for run in RUNS if run.model == PARTIAL] == ["partial-seed1"]
    assert all(names.index(run.origin.name) < names.index(run.name) for run in RUNS if run.origin)


def test_with_a_run_its_pretraining_is_chosen():
    assert [run.name for run in choose_runs(["finetune_gc-seed2"], RUNS)] == ["gc-seed1", "finetune_gc-seed2"]
    assert [run.name for run in choose_runs(["scratch"], RUNS)] == ["scratch-seed1", "scratch-seed2", "scratch-seed3"]
    assert {run.origin.name for run in RUNS if run.model == FROM_G} == {"g-seed1"}
