import json

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog
from detectron2.modeling import build_model

from imrsf_d2.engine.configuration import load_config
from imrsf_d2.evaluation.importance import importance_maps
from imrsf_d2.modalities import ModalitySet, subset_label
from imrsf_d2.modeling.tokens import keep_modalities
from imrsf_d2.visualization.pages import tiles
from imrsf_d2.visualization.pages.predicting import predict_with_subsets
from tests.oracle import Oracle
from tests.tiny import DEMO_CONFIGS, NUM_VAL, OVERRIDES, REPOSITORY


@pytest.fixture
def cfg(tiny_root, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tiny_root))
    return load_config(DEMO_CONFIGS["semantic"], OVERRIDES)


def test_predictions_and_weights_are_those_of_the_model_given_the_subset_alone(cfg):
    """The reference sees one subset at a time: other sensors are not even read."""
    model = build_model(cfg).eval()
    samples = DatasetCatalog.get(cfg.DATASETS.TEST[0])[:1]
    names = ModalitySet.from_config(cfg).names
    subsets = [names, names[:2], names[2:]]
    (tile,) = predict_with_subsets(cfg, model, samples, subsets)
    for subset in subsets:
        alone = [{**samples[0], "modalities": {n: p if n in subset else None for n, p in samples[0]["modalities"].items()}}]
        (expected,) = importance_maps(cfg, model, alone)
        found = tile.listened[subset]
        assert found.patch_px == expected.patch_size
        for name, beta in zip(names, found.beta):
            assert np.allclose(beta, expected.beta[name], atol=1e-5, equal_nan=True)
        (reference,) = predict_with_subsets(cfg, model, alone, [subset])
        assert torch.allclose(tile.outputs[subset]["sem_seg"], reference.outputs[subset]["sem_seg"], atol=1e-4)


@pytest.mark.parametrize("pyramid, inner", [("fpn", "bottom_up"), ("vitdet", "net")])
def test_a_backbone_below_a_pyramid_is_listened_to_as_well(tiny_root, monkeypatch, pyramid, inner):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tiny_root))
    config = REPOSITORY / f"configs/quick/dfc2023_mask_rcnn_{pyramid}.yaml"
    cfg = load_config(config, ["MODEL.IMRSF.EMBED_DIM", "32", "DATALOADER.NUM_WORKERS", "0", "MODEL.DEVICE", "cpu"])
    model = build_model(cfg).eval()
    samples = DatasetCatalog.get(cfg.DATASETS.TEST[0])[:1]
    modalities = ModalitySet.from_config(cfg)
    subsets = [modalities.names, modalities.names[1:]]
    (tile,) = predict_with_subsets(cfg, model, samples, subsets)
    image = (torch.from_numpy(tile.image) - model.pixel_mean) / model.pixel_std
    for subset in subsets:
        output = getattr(model.backbone, inner).encode(keep_modalities(image[None], modalities, subset))
        expected = torch.where(output.present, output.importance, torch.nan).unflatten(2, output.grid)[0]
        assert np.allclose(tile.listened[subset].beta, expected, atol=1e-5, equal_nan=True)


def test_a_tile_without_any_of_the_sensors_has_no_prediction(cfg):
    dataset = cfg.DATASETS.TEST[0]
    samples = [dict(sample) for sample in DatasetCatalog.get(dataset)]
    samples[0]["modalities"] = {**samples[0]["modalities"], "dsm": None}
    found = tiles.encode_tiles(cfg, Oracle(cfg, dataset), dataset, samples, [("sar",), ("dsm",)])
    (without,) = [tile for tile in found["tiles"] if tile["id"] == samples[0]["image_id"]]
    assert without["predictions"]["dsm"] is None and without["predictions"]["sar"]["right"] == 1
    assert without["sensors"]["dsm"] is None and without["backdrops"] == ["rgb", "sar"]


def test_work_and_size_are_bounded(cfg, monkeypatch):
    dataset = cfg.DATASETS.TEST[0]
    samples = DatasetCatalog.get(dataset) * 1000
    model = Oracle(cfg, dataset)
    found = tiles.encode_tiles(cfg, model, dataset, samples, [("sar",)], most=3)
    assert len(found["tiles"]) == len(model.seen) == 3 and found["of"] == 1000 * NUM_VAL
    monkeypatch.setattr(tiles, "MOST_CHARACTERS", len(json.dumps(found["tiles"][0])) + 1)
    found = tiles.encode_tiles(cfg, model, dataset, samples, [("sar",)], most=3)
    assert len(found["tiles"]) == 1 and found["too_large"] == 2 and len(model.seen) == 3 + 2


def test_a_task_that_is_not_known_has_no_tiles(cfg, monkeypatch):
    dataset = cfg.DATASETS.TEST[0]
    monkeypatch.setattr(tiles, "ANSWERS", {})
    found = tiles.encode_tiles(cfg, None, dataset, DatasetCatalog.get(dataset), [("sar",)])
    assert found["kind"] is None and found["tiles"] == []


def test_tiles_are_kept_for_the_same_sweep_and_its_subsets_only(cfg, tmp_path):
    dataset = cfg.DATASETS.TEST[0]
    samples = DatasetCatalog.get(dataset)
    (tmp_path / "sweep.json").write_text("{}")
    assert tiles.kept_tiles(tmp_path, [("sar",)], 2) is None
    tiles.keep_tiles(tmp_path, cfg, Oracle(cfg, dataset), dataset, samples, [("sar",), ("sar", "rgb")], 2)
    kept = tiles.kept_tiles(tmp_path, [("sar",)], 2)
    assert kept["subsets"] == ["sar", subset_label(("sar", "rgb"))] and len(kept["tiles"]) == 2
    assert tiles.kept_tiles(tmp_path, [("sar",), ("dsm",)], 2) is None and tiles.kept_tiles(tmp_path, [("sar",)], 3) is None
    written = json.loads((tmp_path / tiles.FILE).read_text())
    for changed in ({**written, "version": 0}, {"tiles": []}, []):  # of an older version, or of none
        (tmp_path / tiles.FILE).write_text(json.dumps(changed))
        assert tiles.kept_tiles(tmp_path, [("sar",)], 2) is None
    (tmp_path / tiles.FILE).write_text(json.dumps(written))
    (tmp_path / "sweep.json").write_text('{"weights": "others"}')
    assert tiles.kept_tiles(tmp_path, [("sar",)], 2) is None
