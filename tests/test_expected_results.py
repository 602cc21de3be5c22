"""A regression in accuracy fails a test: short training runs whose score must lie in a band."""

import importlib.util

import pytest

from imrsf_d2.engine.configuration import load_config
from imrsf_d2.evaluation.trivial import trivial_results
from tests.tiny import DEMO_CONFIG, OVERRIDES, REPOSITORY
from tests.tools.test_train_net import load_tool

#: config -> layout of its data
QUICK = {"dfc2023_instance": "dfc2023", "dfc2023_semantic": "dfc2023", "quadruplets_lulc": "quadruplets"}
BAND = "[['segm', 'AP50', {}, {}]]"


@pytest.fixture(scope="module")
def quick_root(tmp_path_factory):
    """What the bands were measured on: see the comment in configs/base/quick.yaml."""
    path = REPOSITORY / "datasets/make_synthetic.py"
    spec = importlib.util.spec_from_file_location("make_synthetic", path)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    root = tmp_path_factory.mktemp("quick")
    for layout in set(QUICK.values()):
        assert (
            tool.main(
                [
                    "--layout",
                    layout,
                    "--output",
                    str(root / layout),
                    "--num-train",
                    "200",
                    "--num-val",
                    "40",
                    "--size",
                    "64",
                    "--seed",
                    "0",
                ]
            )
            == 0
        )
    return root


@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK)
def test_a_short_training_scores_as_expected(name, quick_root, tmp_path, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(quick_root))
    config = REPOSITORY / f"configs/quick/{name}.yaml"
    assert load_tool("train_net").main(["--config-file", str(config), "OUTPUT_DIR", str(tmp_path)]) == 0
    assert "Results verification passed." in (tmp_path / "log.txt").read_text()

    cfg = load_config(config)
    ((task, metric, expected, tolerance),) = cfg.TEST.EXPECTED_RESULTS
    blind = trivial_results(cfg.DATASETS.TEST[0])[1][task][metric]
    assert expected - tolerance > blind + 10, "the band says nothing"


@pytest.mark.parametrize("arguments", [[], ["--eval-only"]], ids=["training", "evaluation"])
def test_a_score_outside_its_band_fails_the_command(arguments, tiny_root, tmp_path, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tiny_root))

    def run(band, *options):
        return load_tool("train_net").main(
            [
                "--config-file",
                str(DEMO_CONFIG),
                *options,
                *OVERRIDES,
                "SOLVER.MAX_ITER",
                "1",
                "SOLVER.STEPS",
                "()",
                "OUTPUT_DIR",
                str(tmp_path),
                "MODEL.WEIGHTS",
                str(tmp_path / "model_final.pth") if options else "",
                "TEST.EXPECTED_RESULTS",
                band,
            ]
        )

    assert run(BAND.format(50, 50)) == 0  # any score
    with pytest.raises(SystemExit) as stopped:
        run(BAND.format(150, 49), *arguments)  # none
    assert stopped.value.code not in (None, 0)
