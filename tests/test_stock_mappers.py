"""Each of Mask2Former's own mappers feeds a model with our backbone, and what it pads is not data."""

import sys
from types import SimpleNamespace

import mask2former
import numpy as np
import pytest
import torch
from detectron2.data import MetadataCatalog
from detectron2.modeling import build_model
from PIL import Image

from imrsf_d2.engine.configuration import load_config
from tests.tiny import DEMO_CONFIG, OVERRIDES

#: mapper -> height and width of what it makes of 40 x 50 px before it pads: for LSJ, half of 64 px at most
SIZES = {
    "COCOInstanceNewBaselineDatasetMapper": (26, 32),
    "COCOPanopticNewBaselineDatasetMapper": (26, 32),
    "MaskFormerInstanceDatasetMapper": (40, 50),
    "MaskFormerSemanticDatasetMapper": (40, 50),
    "MaskFormerPanopticDatasetMapper": (40, 50),
}
SETTINGS = {
    "MODEL.DEVICE": "cpu",
    "MODEL.IMRSF.MODALITIES": '[{"NAME": "rgb", "CHANNELS": 3, "MEAN": [120, 110, 100], "STD": [60, 60, 60]}]',
    "DATASETS.TRAIN": '("stock_mappers",)',
    "INPUT.PHOTOMETRIC": "[]",
    "INPUT.FORMAT": "RGB",
    "INPUT.IMAGE_SIZE": "64",
    "INPUT.MIN_SCALE": "0.5",
    "INPUT.MAX_SCALE": "0.5",
    "INPUT.MIN_SIZE_TRAIN": "(40,)",
    "INPUT.SIZE_DIVISIBILITY": "64",
    "INPUT.CROP.ENABLED": "False",
    "SEED": "1",
}


@pytest.fixture(scope="module")
def cfg():
    MetadataCatalog.get("stock_mappers").set(ignore_label=255, thing_classes=["building"])
    overrides = [word for setting in SETTINGS.items() for word in setting]
    return load_config(DEMO_CONFIG, [*OVERRIDES, *overrides], need_data=False)


@pytest.fixture(scope="module")
def model(cfg):
    return build_model(cfg)


@pytest.mark.parametrize("name", SIZES)
def test_what_a_stock_mapper_pads_is_not_data(name, cfg, model, tmp_path, monkeypatch):
    # Of the panoptic tools, which have no release, the mappers take one function.
    rgb2id = SimpleNamespace(rgb2id=lambda color: color[..., 0].astype(int))
    monkeypatch.setitem(sys.modules, "panopticapi", SimpleNamespace(utils=rgb2id))
    monkeypatch.setitem(sys.modules, "panopticapi.utils", rgb2id)
    height, width = 40, 50
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    labels = np.zeros((height, width), dtype=np.uint8)
    labels[5:20, 5:30] = 7  # a segment's number
    files = {"file_name": image, "sem_seg_file_name": np.where(labels, 0, 255).astype(np.uint8)}
    files["pan_seg_file_name"] = np.stack([labels] * 3, axis=2)
    wanted = {"Instance": (), "Semantic": ("sem_seg_file_name",), "Panoptic": ("pan_seg_file_name",)}
    record = {"height": height, "width": width, "image_id": 1}
    for key in ("file_name", *next(keys for kind, keys in wanted.items() if kind in name)):
        record[key] = str(tmp_path / f"{key}.png")
        Image.fromarray(files[key]).save(record[key])
    if "Instance" in name:
        polygon = [[5.0, 5.0, 30.0, 5.0, 30.0, 20.0, 5.0, 20.0]]
        record["annotations"] = [{"bbox": [5, 5, 25, 15], "bbox_mode": 1, "category_id": 0, "segmentation": polygon}]
    if "Panoptic" in name:
        record["segments_info"] = [{"id": 7, "category_id": 0, "iscrowd": 0}]

    sample = getattr(mask2former, name)(cfg, True)(record)
    assert sample["image"].shape == (3, 64, 64) and len(sample["instances"])
    seen = []
    hook = model.backbone.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    losses = model.train()([sample])
    hook.remove()
    expected = torch.zeros(64, 64)
    expected[: SIZES[name][0], : SIZES[name][1]] = 1
    assert torch.equal(seen[0][0, 3], expected)
    assert all(loss.isfinite() for loss in losses.values())
