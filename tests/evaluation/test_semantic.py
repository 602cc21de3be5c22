"""mIoU: by hand, against detectron2's evaluator, and 100 for a perfect prediction whatever occurs."""

import json
import logging
import math
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import SemSegEvaluator

from imrsf_d2.evaluation.confusion import confusion_matrix, semantic_scores
from imrsf_d2.evaluation.semantic_evaluator import SemanticEvaluator
from imrsf_d2.evaluation.trivial import trivial_results
from tests.raster_files import write_raster_file

NAME = "semantic_evaluator_test"
CLASSES = ["field", "forest", "lake", "road"]


@pytest.fixture
def tiles(tmp_path):
    """Three tiles on disk, with unlabeled pixels, in which the fourth class never occurs; registered as NAME."""
    generator = np.random.default_rng(0)
    labels = generator.choice([0, 1, 2, 255], (3, 20, 30), p=[0.5, 0.3, 0.1, 0.1]).astype(np.uint8)
    samples = []
    for number, array in enumerate(labels):
        path = write_raster_file(tmp_path / f"{number}.tif", array)
        samples.append(
            {
                "file_name": f"image{number}.tif",
                "height": 20,
                "width": 30,
                "image_id": number,
                "sem_seg_file_name": str(path),
                "modalities": {},
            }
        )
    DatasetCatalog.register(NAME, lambda: samples)
    MetadataCatalog.get(NAME).set(stuff_classes=CLASSES, ignore_label=255, evaluator_type="imrsf_semantic")
    yield samples, labels
    DatasetCatalog.remove(NAME)
    MetadataCatalog.remove(NAME)


def one_hot(labels, num_classes=4):
    """Scores [K, H, W] that predict a label map; unlabeled pixels get class 0."""
    known = torch.from_numpy(np.where(labels == 255, 0, labels).astype(np.int64))
    return torch.nn.functional.one_hot(known, num_classes).permute(2, 0, 1).float()


def score(samples, predictions, **options):
    evaluator = SemanticEvaluator(NAME, **options)
    for sample, prediction in zip(samples, predictions):
        evaluator.process([sample], [{"sem_seg": one_hot(prediction)}])
    return evaluator.evaluate()["sem_seg"]


def test_two_by_three_pixels_by_hand():
    truth = np.array([[0, 0, 1], [1, 1, 255]])
    prediction = np.array([[0, 1, 1], [1, 2, 2]])
    confusion = confusion_matrix(truth, prediction, 3, 255)
    assert confusion.tolist() == [[1, 1, 0], [0, 2, 1], [0, 0, 0]]
    scores = semantic_scores(confusion, ["a", "b", "c"])
    # a: 1 of 2; b: 2 right, 1 missed, 1 too many; c does not occur, and the unlabeled pixel counts nowhere.
    assert scores["IoU-a"] == pytest.approx(50) and scores["IoU-b"] == pytest.approx(50) and math.isnan(scores["IoU-c"])
    assert scores["mIoU"] == pytest.approx(50) and scores["fwIoU"] == pytest.approx(50)
    assert scores["mACC"] == pytest.approx(100 * (1 / 2 + 2 / 3) / 2) and scores["pACC"] == pytest.approx(60)


def test_a_perfect_prediction_scores_exactly_100(tiles):
    samples, labels = tiles
    scores = score(samples, labels)
    assert [scores[key] for key in ("mIoU", "fwIoU", "mACC", "pACC")] == [100.0] * 4
    assert [scores[f"IoU-{name}"] for name in CLASSES[:3]] == [100.0] * 3 and math.isnan(scores["IoU-road"])


def test_scores_are_those_of_detectron2(tiles):
    samples, labels = tiles
    generator = np.random.default_rng(1)
    predictions = [
        np.where(generator.random(array.shape) < 0.6, array, generator.integers(0, 4, array.shape)) for array in labels
    ]
    reference = SemSegEvaluator(NAME, distributed=False, sem_seg_loading_fn=_load)
    reference.reset()
    for sample, prediction in zip(samples, predictions):
        reference.process([sample], [{"sem_seg": one_hot(prediction)}])
    theirs = reference.evaluate()["sem_seg"]
    ours = score(samples, predictions)
    for key in ("mIoU", "fwIoU", "mACC", "pACC", "IoU-field", "IoU-forest", "IoU-lake"):
        assert ours[key] == pytest.approx(theirs[key], abs=1e-9), key
    assert ours["mIoU"] < 60


def _load(path, dtype=int):
    with rasterio.open(path) as file:
        return file.read(1).astype(dtype)


def test_per_class_scores_are_logged_and_the_confusion_is_kept(tiles, tmp_path, caplog):
    samples, labels = tiles
    with caplog.at_level(logging.DEBUG, logger="imrsf_d2"):
        score(samples, labels, output_dir=str(tmp_path / "out"))
    assert "forest" in caplog.text and "100.00" in caplog.text
    written = json.loads((tmp_path / "out/confusion.json").read_text())
    assert written["classes"] == CLASSES
    assert [sum(row) for row in written["confusion"]] == [int((labels == c).sum()) for c in range(4)]


def test_another_number_of_classes_names_the_key(tiles):
    samples, labels = tiles
    with pytest.raises(ValueError, match=r"predicts 7 classes, but 'semantic_evaluator_test' has 4 \(field.*NUM_CLASSES"):
        SemanticEvaluator(NAME).process(samples[:1], [{"sem_seg": one_hot(labels[0], 7)}])


def test_a_model_without_label_maps_names_the_key(tiles):
    samples, _ = tiles
    with pytest.raises(ValueError, match=r"outputs \['instances'\], expected a label map .*TEST\.SEMANTIC_ON True"):
        SemanticEvaluator(NAME).process(samples[:1], [{"instances": None}])


def test_nothing_labeled_is_an_error(tiles):
    samples, _ = tiles
    for sample in samples:
        write_raster_file(Path(sample["sem_seg_file_name"]), np.full((20, 30), 255, np.uint8))
    with pytest.raises(ValueError, match="no pixel of 'semantic_evaluator_test' is labeled"):
        score(samples, np.zeros((3, 20, 30), np.uint8))
    with pytest.raises(ValueError, match="no pixel of 'semantic_evaluator_test' is labeled"):
        trivial_results(NAME)


@pytest.mark.parametrize(
    "wrong, hint", [(255, "look like masks of 0/255.* write the classes as 0 to 3"), (0, "mIoU 100. TEST")]
)
def test_a_truth_of_one_class_is_refused_unless_that_is_allowed(tiles, wrong, hint):
    samples, labels = tiles
    masks = np.where(labels == 1, wrong, 0).astype(np.uint8)
    for sample, mask in zip(samples, masks):
        write_raster_file(Path(sample["sem_seg_file_name"]), mask)
    with pytest.raises(ValueError, match=f"all labeled pixels of '{NAME}' are of the class 'field', .*{hint}"):
        score(samples, np.zeros_like(labels))
    assert score(samples, np.zeros_like(labels), allow_single_class=True)["mIoU"] == 100


def test_classes_that_become_known_when_the_dataset_is_loaded_are_scored():
    def load():
        MetadataCatalog.get("late").set(stuff_classes=["a", "b"], ignore_label=255, evaluator_type="imrsf_semantic")
        return [{"image_id": 1, "height": 2, "width": 2, "annotations": []}]

    DatasetCatalog.register("late", load)
    try:
        assert SemanticEvaluator("late", allow_single_class=True)._classes == ["a", "b"]
    finally:
        DatasetCatalog.remove("late")
        MetadataCatalog.remove("late")


def test_classes_out_of_range_are_refused():
    with pytest.raises(ValueError, match="the ground truth has classes from 0 to 9, expected 0 to 2"):
        confusion_matrix(np.array([0, 9]), np.array([0, 0]), 3, 255)
    with pytest.raises(ValueError, match=r"the ground truth has the shape \(2,\), the prediction \(3,\)"):
        confusion_matrix(np.zeros(2), np.zeros(3), 3, 255)


def test_the_trivial_prediction_is_the_best_constant(tiles):
    samples, labels = tiles
    what, results = trivial_results(NAME)
    constants = [score(samples, np.full_like(labels, c))["mIoU"] for c in range(4)]
    assert what == "'field' everywhere" and constants.index(max(constants)) == 0
    assert results["sem_seg"]["mIoU"] == pytest.approx(max(constants))
