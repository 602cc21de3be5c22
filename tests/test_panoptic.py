"""Panoptic segmentation from synthetic tiles to statistics, a model, the scores of subsets and pictures, with `--data` alone."""

import json
import math

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import register_coco_panoptic
from detectron2.evaluation import inference_on_dataset

from imrsf_d2.commands import predict, statistics, subsets, train, visualize
from imrsf_d2.data.loaders import build_test_loader
from imrsf_d2.data.panoptic import read_segments
from imrsf_d2.engine.configuration import load_config
from imrsf_d2.evaluation import PanopticEvaluator, build_evaluator, sweep_subsets
from imrsf_d2.synthetic.layouts import write_layout
from imrsf_d2.visualization.targets import target_reader
from tests.browser import page_data
from tests.oracle import Oracle
from tests.panoptic_files import CLASSES, write_panoptic_folder
from tests.tiny import OVERRIDES, REPOSITORY

CONFIG = REPOSITORY / "configs/demo/panoptic.yaml"
BUILDING = 7


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four training and six validation tiles, with statistics."""
    output = tmp_path_factory.mktemp("panoptic")
    write_layout("panoptic", output, num_train=4, num_val=6, size=64, seed=1, num_workers=1)
    assert statistics.main(["--data", str(output), "--write"]) == 0
    return output


@pytest.fixture
def cfg(folder):
    names = [f"('{folder}/dataset.yaml:{split}',)" for split in ("train", "val")]
    return load_config(CONFIG, [*OVERRIDES, "DATASETS.TRAIN", names[0], "DATASETS.TEST", names[1]])


def test_a_perfect_prediction_scores_100_and_one_sensor_with_gaps_less(cfg):
    (dataset,) = cfg.DATASETS.TEST
    scores = inference_on_dataset(Oracle(cfg, dataset), build_test_loader(cfg, dataset), build_evaluator(cfg, dataset))
    known = {name: score for name, score in scores["panoptic_seg"].items() if not math.isnan(score)}
    assert known == dict.fromkeys(known, 100.0) and {"PQ", "SQ_th", "RQ_st", "PQ-building", "PQ-water"} <= known.keys()
    # Where the eye sees nothing, the oracle says nothing: clouds cost, and tiles without the sensor cost all.
    rows = sweep_subsets(cfg, Oracle(cfg, dataset, eye="s2"), dataset, [["s2", "dem"], ["dem"]])
    with_eye, without = (row["results"]["panoptic_seg"]["PQ"] for row in rows)
    assert 0 == without < with_eye < 100


def test_objects_and_stuff_are_drawn_as_training_and_the_dataset_have_them(cfg):
    (name,) = cfg.DATASETS.TEST
    sample = max(DatasetCatalog.get(name), key=lambda sample: len(sample["segments_info"]))
    truth = target_reader(name).of_dataset(sample)
    buildings = [one for one in sample["segments_info"] if one["isthing"]]
    assert len(truth.things) == len(buildings) > 1
    np.testing.assert_array_equal(truth.things.any(axis=0), truth.labels.labels == BUILDING)
    ids, segments = Oracle(cfg, name).segments(sample, np.array(True))["panoptic_seg"]
    predicted = target_reader(name).of_output({"panoptic_seg": (ids, segments)})
    np.testing.assert_array_equal(predicted.labels.labels, truth.labels.labels)


@pytest.mark.slow
def test_from_tiles_to_the_scores_of_subsets(folder, tmp_path, capsys):
    run, sweep = tmp_path / "run", tmp_path / "sweep"
    options = [
        "--data",
        str(folder),
        "--config-file",
        "demo/panoptic",
        *OVERRIDES,
        "SOLVER.MAX_ITER",
        "2",
        "SOLVER.STEPS",
        "()",
    ]
    assert train.main([*options, "OUTPUT_DIR", str(run)]) == 0
    weights = ["MODEL.WEIGHTS", str(run / "model_final.pth")]
    thresholds = ["MODEL.MASK_FORMER.TEST.OBJECT_MASK_THRESHOLD", "0.0", "MODEL.MASK_FORMER.TEST.OVERLAP_THRESHOLD", "0.0"]
    config = ["--data", str(folder), "--config-file", str(run / "config.yaml")]
    chosen = ["--subsets", "s1+s2+dem+dnw,s2", "--resamples", "10", "--output", str(sweep)]
    assert subsets.main([*config, *chosen, *weights, *thresholds]) == 0
    rows = json.loads((sweep / "modalities.json").read_text())["rows"]
    assert {"PQ", "SQ", "RQ", "PQ_th", "PQ_st", "PQ-building"} <= rows[0]["results"]["panoptic_seg"].keys()
    report = (sweep / "modalities.md").read_text()
    assert "panoptic quality" in report and "95% interval" in report and (sweep / "classes.png").is_file()
    page = page_data(sweep / "report.html")
    assert page["kind"] == "segments" and page["metric"] == "PQ" and len(page["tiles"]) == 6
    assert all(set(tile["predictions"]) == {"s1+s2+dem+dnw", "s2"} for tile in page["tiles"])
    pictures = ["--split", "test", "--output", str(tmp_path / "look"), "--subset", "s2", "--number", "1"]
    assert visualize.main([*config, *pictures, *weights, *thresholds]) == 0
    assert list((tmp_path / "look").rglob("s2_1.png"))
    capsys.readouterr()
    scene = [
        "--config-file",
        str(run / "config.yaml"),
        "--modality",
        "dem=dem.tif",
        "--output",
        str(tmp_path / "map.tif"),
        *weights,
    ]
    assert predict.main(scene) == 2
    assert "PANOPTIC_ON is True, but scenes become label maps or objects" in capsys.readouterr().err


def test_a_config_alone_tells_the_model_what_things_are(cfg, tmp_path):
    """Where the dataset is not read, as for arrays, and so is not registered."""
    moved = cfg.clone()
    moved.defrost()
    moved.DATASETS.TRAIN, moved.DATASETS.TEST = (f"{tmp_path}/elsewhere/dataset.yaml:train",), ()
    (tmp_path / "config.yaml").write_text(moved.dump())
    load_config(tmp_path / "config.yaml", need_data=False)
    assert MetadataCatalog.get(moved.DATASETS.TRAIN[0]).thing_dataset_id_to_contiguous_id == {BUILDING: BUILDING}


def test_a_model_without_the_output_and_predictions_that_do_not_fit_are_named(cfg):
    (dataset,) = cfg.DATASETS.TEST
    evaluator = build_evaluator(cfg, dataset)
    (sample,) = next(iter(build_test_loader(cfg, dataset)))
    ids = torch.zeros(64, 64, dtype=torch.int32)
    for output, message in (
        ({"sem_seg": ids}, r"outputs \['sem_seg'\], expected a panoptic segmentation .*PANOPTIC_ON True"),
        ({"panoptic_seg": (ids[1:], [])}, r"is \(63, 64\) px, its labels are \(64, 64\) px"),
        ({"panoptic_seg": (ids, [{"id": 1, "category_id": 8}])}, "predicts the class 8, but .* has 8"),
    ):
        with pytest.raises(ValueError, match=message):
            evaluator.process([sample], [output])


def test_what_several_processes_scored_is_merged_without_duplicates(cfg, monkeypatch):
    (dataset,) = cfg.DATASETS.TEST
    samples = [batch[0] for batch in build_test_loader(cfg, dataset)]
    oracle, half, other = Oracle(cfg, dataset), build_evaluator(cfg, dataset), build_evaluator(cfg, dataset)
    nothing = {"panoptic_seg": (torch.zeros(64, 64, dtype=torch.int32), [])}
    for sample in samples[:4]:
        half.process([sample], oracle([sample]))
    for sample in samples[3:]:  # the fourth twice, as samplers that pad do
        other.process([sample], oracle([sample]) if sample is samples[3] else [nothing])
    whole = build_evaluator(cfg, dataset)
    for number, sample in enumerate(samples):
        whole.process([sample], oracle([sample]) if number < 4 else [nothing])
    wanted = whole.evaluate()
    monkeypatch.setattr("detectron2.utils.comm.gather", lambda matches: [matches, other._matches])
    np.testing.assert_equal(half.evaluate(), wanted)
    assert half.per_image().image_ids == tuple(sample["image_id"] for sample in samples)


def test_a_dataset_that_detectron2_registered_is_scored_too(tmp_path, write_raster):
    write_panoptic_folder(tmp_path, write_raster)
    for tile in ("1", "2"):
        (tmp_path / f"{tile}.jpg").touch()
    classes = [label["NAME"] for label in CLASSES]
    things, stuff = {3: 2}, {1: 0, 2: 1}
    metadata = {"thing_classes": classes, "stuff_classes": classes}
    metadata |= {"thing_dataset_id_to_contiguous_id": things, "stuff_dataset_id_to_contiguous_id": stuff}
    name = f"ships_{tmp_path.name}"
    register_coco_panoptic(name, metadata, str(tmp_path), str(tmp_path / "png"), str(tmp_path / "val.json"))
    evaluator = PanopticEvaluator(name)
    for sample in DatasetCatalog.get(name):
        ids, segments = read_segments(sample)
        evaluator.process([{"image_id": sample["image_id"]}], [{"panoptic_seg": (torch.from_numpy(ids), segments)}])
    assert evaluator.evaluate()["panoptic_seg"]["PQ"] == 100
