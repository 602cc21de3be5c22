"""detectron2 and Mask2Former as their repositories are, imrsf_d2 from its wheel; `make test-stock` builds them."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from detectron2.data.datasets.builtin_meta import COCO_CATEGORIES
from PIL import Image

FOLDER = Path(os.environ.get("IMRSF_STOCK", "absent")).resolve()
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="needs the builds of `make test-stock`")

CONFIG = """
_BASE_: {folder}/Mask2Former/configs/coco/instance-segmentation/maskformer2_R50_bs16_50ep.yaml
MODEL:
  WEIGHTS: ""
  DEVICE: cpu
  BACKBONE: {{NAME: build_imrsf_vit_backbone}}
  IMRSF:
    MODALITIES: [{{NAME: rgb, CHANNELS: 3, MEAN: [123.7, 116.3, 103.5], STD: [58.4, 57.1, 57.4]}}]
    EMBED_DIM: 32
    NUM_HEADS: 2
    DEPTH: 2
    OUT_LAYERS: [0, 0, 1, 1]
  SEM_SEG_HEAD: {{TRANSFORMER_ENC_LAYERS: 1, CONVS_DIM: 32, MASK_DIM: 32}}
  MASK_FORMER: {{HIDDEN_DIM: 32, NHEADS: 2, DEC_LAYERS: 2, DIM_FEEDFORWARD: 32, NUM_OBJECT_QUERIES: 5, TRAIN_NUM_POINTS: 64}}
INPUT: {{IMAGE_SIZE: 64, MIN_SIZE_TEST: 0}}
SOLVER: {{IMS_PER_BATCH: 2, MAX_ITER: 2, STEPS: [1], AMP: {{ENABLED: false}}}}
TEST: {{EVAL_PERIOD: 0, DETECTIONS_PER_IMAGE: 5}}
DATALOADER: {{NUM_WORKERS: 0}}
"""


def run(folder, *command):
    environment = {
        "PYTHONPATH": str(FOLDER / "Mask2Former"),
        "DETECTRON2_ENV_MODULE": "imrsf_d2.plugin",
        "DETECTRON2_DATASETS": str(folder / "data"),
    }
    result = subprocess.run(
        [FOLDER / "venv/bin/python", "-W", "ignore", *command],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture
def folder(tmp_path):
    """Tiny images under the names of COCO, which Mask2Former's script knows."""
    rng = np.random.default_rng(0)
    (tmp_path / "data/coco/annotations").mkdir(parents=True)
    for split in ("train2017", "val2017"):
        categories = [{"id": entry["id"], "name": entry["name"]} for entry in COCO_CATEGORIES if entry["isthing"]]
        content = {"images": [], "annotations": [], "categories": categories}
        (tmp_path / "data/coco" / split).mkdir()
        for i in range(1, 5):
            image = rng.integers(1, 256, (70, 90, 3), dtype=np.uint8)
            Image.fromarray(image).save(tmp_path / f"data/coco/{split}/{i}.png")
            content["images"].append({"id": i, "file_name": f"{i}.png", "height": 70, "width": 90})
            polygon = [[10, 10, 70, 10, 70, 50, 10, 50]]
            box = {"bbox": [10, 10, 60, 40], "area": 2400, "iscrowd": 0, "segmentation": polygon}
            content["annotations"].append({"id": i, "image_id": i, "category_id": 1, **box})
        (tmp_path / f"data/coco/annotations/instances_{split}.json").write_text(json.dumps(content))
    (tmp_path / "mine.yaml").write_text(CONFIG.format(folder=FOLDER))
    return tmp_path


def test_the_doctor_names_both_sources(folder):
    report = run(folder, "-m", "imrsf_d2.cli", "doctor")
    for package in ("detectron2", "mask2former"):
        assert f"(source in {FOLDER}" in next(line for line in report.splitlines() if line.startswith(package))
    assert "COCO evaluation  detectron2" in report


@pytest.mark.parametrize("mapper", ["coco_instance_lsj", "mask_former_instance"])
def test_the_script_of_mask2former_trains_and_evaluates_as_it_is(folder, mapper):
    script = [str(FOLDER / "Mask2Former/train_net.py"), "--config-file", "mine.yaml", "--num-gpus", "1"]
    options = ["INPUT.DATASET_MAPPER_NAME", mapper, "OUTPUT_DIR", "output"]
    run(folder, *script, *options)
    metrics = [json.loads(line) for line in (folder / "output/metrics.json").read_text().splitlines()]
    assert 0 <= metrics[-1]["segm/AP"] <= 100
    again = run(folder, *script, "--eval-only", *options, "MODEL.WEIGHTS", "output/model_final.pth")
    assert "copypaste: Task: segm" in again
