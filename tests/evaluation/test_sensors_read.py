"""A file that holds nothing is a missing sensor: found when it is read, counted, and scored apart."""

import json
import shutil

import numpy as np
import pytest
import rasterio
from detectron2.data import DatasetCatalog, MetadataCatalog

from imrsf_d2.engine.configuration import load_config
from imrsf_d2.engine.trainer import Trainer
from imrsf_d2.evaluation.coverage import Coverage
from imrsf_d2.evaluation.record import SweepRecord
from imrsf_d2.evaluation.sensors_read import SensorsRead
from imrsf_d2.evaluation.summary import summarize
from imrsf_d2.evaluation.sweep import sweep_subsets
from imrsf_d2.evaluation.sweep_data import sweep_json
from imrsf_d2.evaluation.sweep_report import sweep_markdown
from imrsf_d2.modalities import ModalitySet
from tests.markdown import read_tables
from tests.oracle import Oracle
from tests.tiny import DEMO_CONFIGS, OVERRIDES


@pytest.fixture
def make(tiny_root, tmp_path, monkeypatch):
    """A config on a copy of the tiny data in which the SAR files of some validation tiles hold no valid pixel."""

    def copy(task, *tiles, opts=()):
        root = tmp_path / "datasets"
        shutil.copytree(tiny_root / "dfc2023", root / "dfc2023")
        monkeypatch.setenv("DETECTRON2_DATASETS", str(root))
        cfg = load_config(DEMO_CONFIGS[task], [*OVERRIDES, "OUTPUT_DIR", str(tmp_path / "out"), *opts])
        samples = DatasetCatalog.get(cfg.DATASETS.TEST[0])
        for tile in tiles:
            with rasterio.open(samples[tile]["modalities"]["sar"], "r+") as file:
                file.write(np.full((1, file.height, file.width), np.nan, np.float32))
        return cfg, samples

    return copy


def test_what_was_read_is_told_by_sensor():
    read = SensorsRead()
    read.process([{"image_id": "b", "modalities": ("sar",)}, {"image_id": 7, "modalities": ()}], None)
    read.process([{"image_id": 9, "modalities": ("sar", "rgb")}, {"image_id": "of another mapper"}], None)
    assert read.evaluate() == {}
    assert read.images_with(["rgb", "sar"], [7, 9, "b"]) == {"rgb": [9], "sar": [9, "b"]}
    read.reset()
    read.process([{"image_id": 1, "modalities": ()}], None)
    assert read.images_with(["sar"], [1]) == {"sar": []}


def test_a_file_without_data_is_no_longer_had():
    modalities = ModalitySet.from_config(load_config(DEMO_CONFIGS["instance"], OVERRIDES))
    samples = [
        {"image_id": number, "file_name": f"{number}.tif", "modalities": {"sar": sar, "rgb": "x"}}
        for number, sar in enumerate(["x", "x", None, "x"])
    ]
    coverage = Coverage.of_samples("set", samples, modalities)
    read = coverage.with_data({"sar": [0], "dsm": []})
    assert read.has.tolist() == [[True, True, False], [False, True, False], [False, True, False], [False, True, False]]
    assert read.empty == {"sar": 2} and coverage.empty == {}  # the third has no file, no tile a DSM, RGB was not read
    assert coverage.with_data({"sar": []}).existing == ("rgb",)
    turned = read.ordered([3, 0])
    assert turned.has[:, 0].tolist() == [False, True] and turned.empty == {"sar": 2}


@pytest.mark.parametrize("subsets_per_pass", [0, 1])
def test_a_sweep_counts_them_as_missing(make, tmp_path, caplog, subsets_per_pass):
    cfg, samples = make("semantic", 0)
    (dataset,) = cfg.DATASETS.TEST
    record = SweepRecord(tmp_path / "sweep")
    rows = sweep_subsets(cfg, Oracle(cfg, dataset, "sar"), dataset, record=record, subsets_per_pass=subsets_per_pass)
    subsets = [tuple(row["modalities"]) for row in rows]
    assert record.sensors(("sar", "dsm")) == {
        "sar": [samples[1]["image_id"]],
        "dsm": [sample["image_id"] for sample in samples],
    }
    read = {name: image_ids for subset in subsets for name, image_ids in record.sensors(subset).items()}
    coverage = Coverage.of_samples(dataset, samples, ModalitySet.from_config(cfg)).with_data(read)
    summary = summarize(
        coverage.existing,
        rows,
        {subset: record.images(subset) for subset in subsets},
        MetadataCatalog.get(dataset).stuff_classes,
        0,
        coverage=coverage,
    )
    assert summary.having == {"sar": 1, "rgb": 2, "dsm": 2} and summary.empty == {"sar": 1}
    assert summary.scores[("sar",)].value < 80 and summary.covered.scores[("sar",)].value == pytest.approx(100)
    assert f"Files of {dataset!r} without a valid pixel: 1 of 'sar' (2 tiles)" in caplog.text
    tiles = read_tables(sweep_markdown(rows, summary, {}, []))[1]
    assert tiles[1:] == [["SAR", "1", "1"], ["RGB", "2", "0"], ["DSM", "2", "0"], ["SAR + RGB + DSM", "1", ""]]
    assert json.loads(sweep_json(dataset, "w.pth", rows, summary))["summary"]["empty"] == {"sar": 1}


@pytest.mark.parametrize("given, blind", [("[]", 0), ("['sar']", 2), ("['sar', 'dsm']", 1), ("['rgb']", 0)])
def test_an_evaluation_says_how_many_tiles_the_model_sees_nothing_of(make, monkeypatch, caplog, given, blind):
    cfg, (first, second) = make("instance", 0, opts=["INPUT.TEST_MODALITIES", given])
    (dataset,) = cfg.DATASETS.TEST
    second = {**second, "modalities": {**second["modalities"], "sar": None}}
    first = {**first, "modalities": {**first["modalities"], "dsm": None}}
    monkeypatch.setitem(DatasetCatalog.data, dataset, lambda: [first, second])
    assert Trainer.test(cfg, Oracle(cfg, dataset))["segm"]["AP"] == pytest.approx(100)  # the scores are as ever
    said = [record.message for record in caplog.records if "no valid pixel" in record.message]
    assert len(said) == (blind > 0)
    if blind:
        image_ids = [first["image_id"], second["image_id"]][:blind]
        sensors = {"['sar']": "SAR", "['sar', 'dsm']": "SAR + DSM"}[given]
        assert said[0].startswith(
            f"{blind} of 2 tiles of {dataset!r} have no data of {sensors} (no file, or no valid pixel): "
            f"image {', '.join(map(repr, image_ids))}. They count in these scores"
        )
