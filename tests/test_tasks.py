"""Every task from files to scores: on synthetic data, and on what the preparation tools make of ugly files."""

import itertools
import math

import numpy as np
import pytest
import rasterio
import torch
from detectron2.data import DatasetCatalog
from detectron2.evaluation import inference_on_dataset

from imrsf_d2.data.loaders import build_test_loader, build_train_loader
from imrsf_d2.engine.configuration import load_config
from imrsf_d2.evaluation import build_evaluator
from imrsf_d2.preparation.dfc2023.prepare import prepare_dfc2023
from imrsf_d2.preparation.quadruplets.prepare import prepare_quadruplets
from imrsf_d2.synthetic.building_tiles import write_dfc2023
from tests.oracle import Oracle
from tests.preparation.quadruplets.scene_files import write_city
from tests.tiny import DEMO_CONFIGS, OVERRIDES, REPOSITORY, SIZE
from tests.tools.test_train_net import load_tool


@pytest.fixture(scope="module")
def prepared_root(tmp_path_factory):
    """A DETECTRON2_DATASETS folder made by the preparation tools: crops, and tiles of two ugly cities."""
    raw, root = tmp_path_factory.mktemp("raw"), tmp_path_factory.mktemp("prepared")
    write_dfc2023(
        raw / "dfc2023",
        num_train=1,
        num_val=1,
        size=2 * SIZE,
        seed=1,
        num_workers=1,
        train_cities=["Berlin"],
        val_cities=["Rio"],
    )
    (raw / "dfc2023/track2/train/dsm").rename(raw / "dfc2023/track2/train/height")
    prepare_dfc2023(raw / "dfc2023", root / "dfc2023", tile_size=SIZE, num_workers=1)
    write_city(raw / "scenes", "Aix_en_Provence")
    write_city(raw / "scenes", "Nice", left=340_000.0, seed=1, ending=".shp")
    (raw / "scenes/Nice/DNW.TIF").unlink()
    prepare_quadruplets(raw / "scenes", root / "quadruplets", tile_size=SIZE, val_cities=["Nice"], num_workers=1)
    return root


@pytest.fixture(params=["synthetic", "prepared"])
def root(request, tiny_root, monkeypatch):
    """Where the data are; DETECTRON2_DATASETS says so too."""
    path = tiny_root if request.param == "synthetic" else request.getfixturevalue("prepared_root")
    monkeypatch.setenv("DETECTRON2_DATASETS", str(path))
    return path


@pytest.mark.parametrize("task", DEMO_CONFIGS)
def test_it_trains_and_evaluates(root, task, tmp_path):
    assert (
        load_tool("train_net").main(
            ["--config-file", str(DEMO_CONFIGS[task]), *OVERRIDES, "SOLVER.MAX_ITER", "2", "OUTPUT_DIR", str(tmp_path)]
        )
        == 0
    )
    assert ("AP50" if task == "instance" else "mIoU") in (tmp_path / "log.txt").read_text()
    assert (tmp_path / "model_final.pth").is_file()


@pytest.mark.parametrize(
    "name, pretraining",
    [
        ("dfc2023_instance_g", "dfc2023_g"),
        ("dfc2023_semantic_gc", "dfc2023_gc"),
        ("quadruplets_lulc_partial", "quadruplets_gc"),
    ],
)
def test_it_is_finetuned_from_what_its_pretraining_leaves(tiny_root, monkeypatch, tmp_path, name, pretraining):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tiny_root))
    once = [*OVERRIDES, "MODEL.DEVICE", "cpu", "SOLVER.MAX_ITER", "1", "SOLVER.STEPS", "()", "DATASETS.TEST", "()"]
    smaller = [
        "MODEL.IMRSF.PRETRAIN.VISIBLE_TOKENS",
        "20",
        "MODEL.IMRSF.PRETRAIN.DECODER_DIM",
        "16",
        "MODEL.IMRSF.PRETRAIN.PICTURES.PERIOD",
        "0",
    ]
    train = load_tool("train_net").main
    for config, opts in (
        (f"pretrain/{pretraining}", smaller),
        (f"finetune/{name}", ["MODEL.WEIGHTS", str(tmp_path / "pretrain/model_final.pth")]),
    ):
        assert (
            train(
                [
                    "--config-file",
                    str(REPOSITORY / f"configs/{config}.yaml"),
                    *once,
                    *opts,
                    "OUTPUT_DIR",
                    str(tmp_path / config.partition("/")[0]),
                ]
            )
            == 0
        )
    before, after = (torch.load(tmp_path / folder / "model_final.pth")["model"] for folder in ("pretrain", "finetune"))
    encoder = {key for key in after if key.startswith("backbone.") and not key.startswith("backbone.pyramid.")}
    assert encoder == {key for key in before if key.startswith("backbone.")}
    changed = [not torch.equal(after[key], before[key]) for key in encoder]
    assert not any(changed) if name.endswith("partial") else any(changed)
    if not name.endswith("partial"):  # one step of at most a tenth of the rate, and hardly any of it in the warm-up
        assert all(torch.allclose(after[key], before[key], atol=1e-4) for key in encoder)


@pytest.mark.parametrize("task", DEMO_CONFIGS)
def test_perfect_predictions_score_exactly_100(root, task):
    cfg = load_config(DEMO_CONFIGS[task], OVERRIDES)
    (dataset,) = cfg.DATASETS.TEST
    results = inference_on_dataset(Oracle(cfg, dataset), build_test_loader(cfg, dataset), build_evaluator(cfg, dataset))
    for scores in results.values():
        known = {name: score for name, score in scores.items() if not math.isnan(score)}
        threshold = known.pop("F1max-threshold", 1.0)  # a score of a prediction, not one of the evaluation
        assert known and known == dict.fromkeys(known, 100.0) and threshold == 1.0
    assert results["segm"]["AP50"] == 100 if task == "instance" else results["sem_seg"]["mIoU"] == 100


@pytest.mark.parametrize(
    "task, changes, message",
    [
        ("semantic", ["MODEL.SEM_SEG_HEAD.NUM_CLASSES", "1"], r"NUM_CLASSES is 1, expected 2, .*\(background, building\)"),
        (
            "lulc",
            ["INPUT.DATASET_MAPPER_NAME", "imrsf_instance"],
            "is 'imrsf_instance', expected 'imrsf_semantic' for the dataset",
        ),
        ("instance", ["MODEL.SEM_SEG_HEAD.NUM_CLASSES", "7"], r"NUM_CLASSES is 7, expected 1, .*\(building\)"),
    ],
)
def test_a_task_that_is_not_the_datasets_is_refused(tiny_root, monkeypatch, task, changes, message):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tiny_root))
    with pytest.raises(ValueError, match=message):
        build_train_loader(load_config(DEMO_CONFIGS[task], [*OVERRIDES, *changes]))


def test_training_labels_are_what_the_files_hold(root):
    cfg = load_config(DEMO_CONFIGS["lulc"], [*OVERRIDES, "SOLVER.IMS_PER_BATCH", "1"])
    by_name = {sample["file_name"]: sample for sample in DatasetCatalog.get(cfg.DATASETS.TRAIN[0])}
    for (sample,) in itertools.islice(build_train_loader(cfg), 6):
        with rasterio.open(by_name[sample["file_name"]]["sem_seg_file_name"]) as file:
            labels = file.read(1)
        symmetries = [np.rot90(side, turns) for side in (labels, labels[:, ::-1]) for turns in range(4)]
        assert any(np.array_equal(sample["sem_seg"].numpy(), symmetry) for symmetry in symmetries)
