import json
import math

import pytest
from detectron2.data import DatasetCatalog

from imrsf_d2.engine.configuration import load_config
from imrsf_d2.evaluation.sweep import sweep_subsets
from imrsf_d2.modalities import ModalitySet
from tests.oracle import Oracle
from tests.tiny import DEMO_CONFIG, NUM_VAL, OVERRIDES

DATASET = "dfc2023_track2_val"


@pytest.fixture
def cfg(tiny_root, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tiny_root))
    return load_config(DEMO_CONFIG, OVERRIDES)


def test_all_subsets_are_evaluated_with_exactly_their_modalities(cfg, tmp_path):
    model = Oracle(cfg, DATASET, eye="dsm")
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


def test_scores_that_are_not_defined_are_null_for_other_programs(cfg, tmp_path):
    (row,) = sweep_subsets(cfg, Oracle(cfg, DATASET, eye="dsm"), DATASET, subsets=[["dsm"]], output_dir=str(tmp_path))
    undefined = {key for key, score in row["results"]["segm"].items() if math.isnan(score)}

    def refuse(number):
        raise AssertionError(f"{number} is not JSON")

    written = json.loads((tmp_path / "modalities.json").read_text(), parse_constant=refuse)
    assert undefined == {key for key, score in written["rows"][0]["results"]["segm"].items() if score is None} != set()


def test_the_labels_are_read_once_whatever_the_number_of_subsets(cfg, monkeypatch):
    model, read = Oracle(cfg, DATASET), []
    get = DatasetCatalog.get
    monkeypatch.setattr(DatasetCatalog, "get", lambda name: read.append(name) or get(name))
    sweep_subsets(cfg, model, DATASET)
    assert read == [DATASET] * 2  # for the loaders, and for the evaluator


def test_chosen_subsets_come_in_config_order(cfg):
    rows = sweep_subsets(cfg, Oracle(cfg, DATASET, eye="dsm"), DATASET, subsets=[["dsm", "sar"], ["rgb"]])
    assert [row["modalities"] for row in rows] == [["sar", "dsm"], ["rgb"]]


def test_an_unknown_modality_is_named(cfg):
    with pytest.raises(ValueError, match="unknown modality 'lidar'"):
        sweep_subsets(cfg, Oracle(cfg, DATASET, eye="dsm"), DATASET, subsets=[["lidar"]])
