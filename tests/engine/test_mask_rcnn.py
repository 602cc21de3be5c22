"""Mask R-CNN on our backbone, through the same commands as Mask2Former."""

import json

import numpy as np
import pytest
import torch
import yaml
from detectron2.modeling import build_model
from rasterio.transform import Affine

from imrsf_d2.data.dataset_checks import check_task
from imrsf_d2.data.loaders import build_train_loader
from imrsf_d2.engine.checkpointer import Checkpointer
from imrsf_d2.engine.configuration import load_config
from imrsf_d2.engine.optimizer import parameter_groups
from imrsf_d2.engine.predictor import Predictor
from imrsf_d2.engine.scene_predictor import build_scene_predictor
from imrsf_d2.evaluation import build_evaluator
from tests.modeling.test_pyramid_backbones import CONFIGS, SMALL
from tests.tiny import DEMO_CONFIG, OVERRIDES, PRETRAINING
from tests.tools.test_train_net import load_tool

TINY = [
    *SMALL,
    *("MODEL.IMRSF.NUM_HEADS", "2", "MODEL.ROI_BOX_HEAD.FC_DIM", "16", "MODEL.ROI_MASK_HEAD.CONV_DIM", "8"),
    *(
        "MODEL.RPN.POST_NMS_TOPK_TRAIN",
        "20",
        "MODEL.RPN.POST_NMS_TOPK_TEST",
        "20",
        "MODEL.ROI_HEADS.SCORE_THRESH_TEST",
        "0.0",
    ),
    *("SOLVER.IMS_PER_BATCH", "2", "SOLVER.MAX_ITER", "2", "SOLVER.STEPS", "()", "DATALOADER.NUM_WORKERS", "0"),
]


@pytest.fixture(autouse=True)
def data(tiny_root, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tiny_root))


def test_boxes_of_training_samples_are_those_of_their_masks():
    cfg = load_config(CONFIGS["fpn"], TINY)
    batches = iter(build_train_loader(cfg))
    number = 0
    for sample in (sample for _ in range(4) for sample in next(batches)):
        truth = sample["instances"]
        for mask, box in zip(truth.gt_masks.tensor.numpy(), truth.gt_boxes.tensor.tolist(), strict=True):
            rows, columns = np.nonzero(mask)
            assert box == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            number += 1
    assert number > 4


def test_it_is_trained_swept_and_asked_like_mask2former(tmp_path):
    run, config = tmp_path / "run", str(tmp_path / "run/config.yaml")
    assert load_tool("train_net").main(["--config-file", str(CONFIGS["vitdet"]), *TINY, "OUTPUT_DIR", str(run)]) == 0
    trained = ["MODEL.WEIGHTS", str(run / "model_final.pth")]
    sweep = ["--config-file", config, "--output", str(tmp_path / "sweep"), "--resamples", "0", "--importance", *trained]
    assert load_tool("evaluate_modalities").main(sweep) == 0
    rows = json.loads((tmp_path / "sweep/modalities.json").read_text())["rows"]
    assert len(rows) == 7 and all("AP50" in row["results"]["segm"] for row in rows)
    assert list((tmp_path / "sweep/importance").rglob("*.tif"))

    # One window: what is found in a scene is what is found in its array, each object once.
    cfg = load_config(config, trained)
    rgb = np.random.default_rng(0).integers(1, 255, (3, 64, 64), dtype=np.uint8)
    instances = Predictor(cfg)({"rgb": rgb, "sar": None})["instances"]
    assert instances.pred_masks.shape == (len(instances), 64, 64) and 0 < len(instances) <= cfg.TEST.DETECTIONS_PER_IMAGE
    scenes = build_scene_predictor(cfg, min_score=0.0, window=64, num_workers=0)
    found = list(scenes.predict({"rgb": (rgb, Affine(1, 0, 500000, 0, -1, 5800000), "EPSG:32633")}))
    scores = {round(score, 4) for score in instances.scores.tolist()}
    assert found and {round(feature.score, 4) for feature in found} <= scores
    assert {feature.label for feature in found} == {"building"}


def test_an_encoder_moves_between_the_heads_and_is_tuned_at_its_own_rate(tmp_path):
    size = ["MODEL.IMRSF.DEPTH", "2", "MODEL.IMRSF.OUT_LAYERS", "[0, 0, 1, 1]"]
    pretrained = build_model(load_config(DEMO_CONFIG, [*OVERRIDES, *PRETRAINING]))
    rcnn = build_model(load_config(CONFIGS["fpn"], [*TINY, *size]))
    Checkpointer(pretrained, str(tmp_path)).save("encoder")
    Checkpointer(rcnn).load(str(tmp_path / "encoder.pth"))
    encoder = dict(pretrained.backbone.named_parameters())
    moved = dict(rcnn.backbone.bottom_up.named_parameters())
    assert all(torch.equal(moved[name], value) for name, value in encoder.items()) and len(encoder) > 20
    (slow,) = (
        group
        for group in parameter_groups(rcnn, base_lr=1.0, weight_decay=0.0, backbone_multiplier=0.1)
        if group["lr"] == 0.1
    )
    assert {id(p) for p in slow["params"]} == {id(moved[name]) for name in encoder}

    Checkpointer(rcnn, str(tmp_path)).save("rcnn")
    former = build_model(load_config(DEMO_CONFIG, OVERRIDES))
    Checkpointer(former).load(str(tmp_path / "rcnn.pth"))
    assert all(torch.equal(former.backbone.get_parameter(name), value) for name, value in moved.items())


def test_the_number_of_classes_is_the_datasets(tmp_path):
    content = {"TASK": "instance", "CLASSES": [{"NAME": "house"}, {"NAME": "road"}], "SPLITS": {"train": "all.json"}}
    content["MODALITIES"] = [{"NAME": "sar", "FILES": "{tile}.tif", "MEAN": [0.0], "STD": [1.0]}]
    (tmp_path / "dataset.yaml").write_text(yaml.safe_dump(content))
    (tmp_path / "all.json").write_text("{}")
    name = f"{tmp_path}/dataset.yaml:train"
    cfg = load_config(CONFIGS["fpn"].parents[1] / "mask_rcnn/instance.yaml", ["DATASETS.TRAIN", f"('{name}',)"])
    assert cfg.MODEL.ROI_HEADS.NUM_CLASSES == 2
    check_task(cfg, [name])
    cfg = load_config(CONFIGS["fpn"], ["MODEL.ROI_HEADS.NUM_CLASSES", "3"])
    with pytest.raises(ValueError, match="MODEL.ROI_HEADS.NUM_CLASSES is 3, expected 1, .*dfc2023_track2_train"):
        check_task(cfg, cfg.DATASETS.TRAIN)


@pytest.mark.parametrize(
    "opts, message",
    [
        (
            ["DATASETS.TEST", "('dfc2023_track2_semantic_val',)"],
            "GeneralizedRCNN', which finds objects, .* evaluated on label maps",
        ),
        (["MODEL.MASK_ON", "False"], "MODEL.MASK_ON is False, expected True"),
    ],
)
def test_what_cannot_be_scored_is_refused(opts, message):
    cfg = load_config(CONFIGS["fpn"], opts)
    with pytest.raises(ValueError, match=message):
        build_evaluator(cfg, cfg.DATASETS.TEST[0])
