import json

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog
from detectron2.structures import Boxes, Instances
from tests.tiny import DEMO_CONFIG, NUM_VAL, OVERRIDES, SIZE
from torch import nn

from imrsf_d2.engine.configuration import load_config
from imrsf_d2.evaluation.masks import annotation_to_rle, rle_to_mask
from imrsf_d2.evaluation.pictures import choose_tiles, draw_overview, draw_subset, predict_tiles
from imrsf_d2.evaluation.sweep import sweep_subsets
from imrsf_d2.modalities import ModalitySet

DATASET = "dfc2023_track2_val"


class Oracle(nn.Module):
    """Knows every building, but only tells with a height model at hand."""

    def __init__(self, cfg):
        super().__init__()
        self.modalities = ModalitySet.from_config(cfg)
        self.truth = {sample["image_id"]: sample for sample in DatasetCatalog.get(DATASET)}
        self.seen = []

    def forward(self, inputs):
        self.seen.append(inputs[0]["modalities"])
        sample = self.truth[inputs[0]["image_id"]]
        size = sample["height"], sample["width"]
        masks = [rle_to_mask(annotation_to_rle(annotation, *size)) for annotation in sample["annotations"]]
        valid = inputs[0]["image"][self.modalities.validity("dsm")].bool().numpy()
        result = Instances(size)
        result.pred_masks = torch.from_numpy(np.reshape(masks, (-1, *size)) * valid).float()
        result.pred_boxes, result.scores = Boxes(torch.zeros(len(masks), 4)), torch.ones(len(masks))
        result.pred_classes = torch.zeros(len(masks), dtype=torch.int64)
        return [{"instances": result}]


@pytest.fixture
def cfg(tiny_root, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tiny_root))
    return load_config(DEMO_CONFIG, OVERRIDES)


def test_all_subsets_are_evaluated_with_exactly_their_modalities(cfg, tmp_path):
    model = Oracle(cfg)
    rows = sweep_subsets(cfg, model, DATASET, output_dir=str(tmp_path))
    subsets = ModalitySet.from_config(cfg).subsets()
    assert [tuple(row["modalities"]) for row in rows] == subsets
    assert model.seen == [subset for subset in subsets for _ in range(NUM_VAL)]
    assert all(row["images"] == NUM_VAL for row in rows)
    for row in rows:
        assert row["results"]["segm"]["AP"] == pytest.approx(100 if "dsm" in row["modalities"] else 0)
    written = json.loads((tmp_path / "modalities.json").read_text())
    assert [row["modalities"] for row in written["rows"]] == [list(subset) for subset in subsets]
    assert (tmp_path / "rgb+dsm" / "coco_instances_results.json").is_file()


def test_chosen_subsets_come_in_config_order(cfg):
    rows = sweep_subsets(cfg, Oracle(cfg), DATASET, subsets=[["dsm", "sar"], ["rgb"]])
    assert [row["modalities"] for row in rows] == [["sar", "dsm"], ["rgb"]]


def test_an_unknown_modality_is_named(cfg):
    with pytest.raises(ValueError, match="unknown modality 'lidar'"):
        sweep_subsets(cfg, Oracle(cfg), DATASET, subsets=[["lidar"]])


def test_pictures_are_drawn_for_any_subset(cfg, tmp_path):
    modalities = ModalitySet.from_config(cfg)
    by_subset = {subset: predict_tiles(cfg, Oracle(cfg), DATASET, [0, 1], subset)
                 for subset in [("sar", "dsm"), ("rgb",)]}
    for subset, tiles in by_subset.items():
        assert [tile.image.shape for tile in tiles] == [(8, SIZE, SIZE)] * 2
        draw_subset(tmp_path / f"{len(subset)}.png", tiles, modalities, subset, "title")
    draw_overview(tmp_path / "overview.png", by_subset, modalities, {}, "title")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1.png", "2.png", "overview.png"]
    assert all(p.read_bytes().startswith(b"\x89PNG") for p in tmp_path.iterdir())


@pytest.mark.parametrize("counts, number, chosen", [
    ([0, 5, 1, 9, 3], 1, [1]),  # by count: 0, 1, 3, 5, 9; three quarters up is 5
    ([0, 5, 1, 9, 3], 2, [4, 3]),
    ([2], 3, [0]),
])
def test_tiles_for_pictures(counts, number, chosen):
    assert choose_tiles([{"annotations": [None] * n} for n in counts], number) == chosen
