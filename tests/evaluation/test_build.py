"""The evaluator of a dataset, and what a model must give for it."""

import pytest

from imrsf_d2.engine.configuration import load_config
from imrsf_d2.evaluation import InstanceEvaluator, SemanticEvaluator, build_evaluator
from tests.tiny import DEMO_CONFIGS, OVERRIDES, PRETRAINING


@pytest.fixture
def build(tiny_root, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tiny_root))

    def build(task, *opts):
        cfg = load_config(DEMO_CONFIGS[task], [*OVERRIDES, *opts])
        return build_evaluator(cfg, cfg.DATASETS.TEST[0])

    return build


@pytest.mark.parametrize(
    ("task", "kind"), [("instance", InstanceEvaluator), ("semantic", SemanticEvaluator), ("lulc", SemanticEvaluator)]
)
def test_each_dataset_gets_its_own(build, task, kind):
    assert type(build(task)) is kind


@pytest.mark.parametrize(
    ("task", "switch", "what"),
    [
        ("instance", "INSTANCE_ON", "instances"),
        ("semantic", "SEMANTIC_ON", "label maps"),
        ("lulc", "SEMANTIC_ON", "label maps"),
    ],
)
def test_a_model_that_does_not_give_what_is_scored_is_refused_by_its_key(build, task, switch, what):
    with pytest.raises(
        ValueError,
        match=rf"MODEL.MASK_FORMER.TEST.{switch} is False, expected True: the dataset '.*' is evaluated on {what}",
    ):
        build(task, f"MODEL.MASK_FORMER.TEST.{switch}", "False")


def test_other_architectures_have_no_such_key(build):
    assert build("instance", *PRETRAINING, "MODEL.MASK_FORMER.TEST.INSTANCE_ON", "False")
