"""The score of any collection of images, against COCO's and the confusion matrix' own on a dataset really so made."""

import contextlib
import copy
import io
import sys

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from imrsf_d2.evaluation.confusion import semantic_scores
from imrsf_d2.evaluation.instance_evaluator import InstanceEvaluator, coco_eval
from imrsf_d2.evaluation.matching import match_instances
from imrsf_d2.evaluation.per_image import InstanceImages, SemanticImages, load_images, save_images
from tests.evaluation.test_instance_evaluator import crowded, dataset, perfect, random_predictions  # noqa: F401

COLLECTIONS = np.array([[1, 1, 1, 1, 1, 1], [2, 0, 1, 3, 0, 0], [0, 6, 0, 0, 0, 0], [1, 0, 2, 0, 1, 2]])


def distinct(truth, found):
    """The same with no two equal scores: COCO orders those by their place in the file, which copies change."""
    scores = np.random.default_rng(5).permutation(len(found.dataset["annotations"])) / 1000
    for annotation, score in zip(found.dataset["annotations"], scores):
        annotation["score"] = float(score)
    return truth, found


def repeated(coco, counts):
    """A COCO dataset in which image i is there `counts[i]` times, as images of their own."""
    images, annotations = [], []
    for image, count in zip(coco.dataset["images"], counts):
        for _ in range(count):
            images.append({**image, "id": len(images) + 1})
            for annotation in coco.imgToAnns[image["id"]]:
                annotations.append({**copy.deepcopy(annotation), "id": len(annotations) + 1, "image_id": len(images)})
    result = COCO()
    result.dataset = {**coco.dataset, "images": images, "annotations": annotations}
    with contextlib.redirect_stdout(io.StringIO()):
        result.createIndex()
    return result


def matched(truth, found, task="segm", max_detections=100):
    return match_instances(coco_eval(truth, found, task, max_detections), tuple(range(1, 7)))


def coco_ap50(truth, found, task, max_detections):
    evaluation = COCOeval(truth, found, task)
    evaluation.params.maxDets = [max_detections]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][0, :, :, 0, -1]
    return 100 * precision[precision > -1].mean()


@pytest.mark.parametrize("task", ["segm", "bbox"])
@pytest.mark.parametrize("max_detections", [11, 100])  # COCO's others are 1 and 10
def test_a_collection_scores_like_a_coco_dataset_with_copies_of_the_images(task, max_detections):
    """Two categories, crowds, objects of all sizes."""
    images = matched(*distinct(*crowded()), task, max_detections)
    expected = [
        coco_ap50(*(repeated(coco, counts) for coco in distinct(*crowded())), task, max_detections) for counts in COLLECTIONS
    ]
    assert len(set(np.round(expected, 6))) == len(expected) and min(expected) > 5
    assert images.scores(COLLECTIONS) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("scorer", ["faster-coco-eval", "pycocotools"])
@pytest.mark.parametrize("task", ["segm", "bbox"])
@pytest.mark.parametrize("max_detections", [11, 100])  # COCO's others are 1 and 10
def test_every_match_is_the_one_of_pycocotools(scorer, task, max_detections, monkeypatch):
    """With crowds, ties of scores, and objects and detections twice over, whose overlaps are equal."""
    truth, found = crowded()
    for coco in (truth, found):
        coco.dataset["annotations"] += [
            {**copy.deepcopy(annotation), "id": 1000 + annotation["id"]} for annotation in coco.dataset["annotations"][::3]
        ]
        coco.createIndex()
    if scorer == "pycocotools":
        monkeypatch.setitem(sys.modules, "faster_coco_eval", None)
    evaluation = coco_eval(*copy.deepcopy((truth, found)), task, max_detections)
    reference = COCOeval(truth, found, task)
    reference.params.maxDets, thresholds = [max_detections], [0.1, 0.5, 0.9, 1.0]
    reference.params.iouThrs = np.array(thresholds)
    reference.params.areaRng, reference.params.areaRngLbl = [[0, 1e10]], ["all"]
    reference.evaluate()
    for place, min_iou in enumerate(thresholds):
        images = match_instances(evaluation, tuple("abcdef"), min_iou)
        assert images.image_ids == tuple("abcdef") and 0 < images.right.sum() < len(images.right)
        for number, match in enumerate(reference.evalImgs):
            category, image = divmod(number, 6)
            own = (images.image == image) & (images.category == category)
            counted = match["dtIgnore"][place] == 0
            assert images.objects[image, category] == np.count_nonzero(match["gtIgnore"] == 0)
            assert images.confidence[own].tolist() == np.array(match["dtScores"])[counted].tolist()
            assert images.right[own].tolist() == (match["dtMatches"][place][counted] > 0).tolist()


def test_equal_scores_are_listed_as_coco_lists_them():
    images = matched(*crowded())  # scores are tenths
    assert images.scores(np.ones((1, 6), int))[0] == pytest.approx(coco_ap50(*crowded(), "segm", 100), abs=1e-9)


@pytest.mark.parametrize("predictions", [perfect, random_predictions], ids=lambda f: f.__name__)
def test_all_images_once_score_what_the_evaluator_says(dataset, predictions):  # noqa: F811
    evaluator = InstanceEvaluator(dataset)
    for image_id, found in predictions().items():
        evaluator.process([{"image_id": image_id}], [{"instances": found}])
    expected = evaluator.evaluate()["segm"]["AP50"]
    images = evaluator.per_image()
    assert images.image_ids == (1, 2, 3)
    assert images.scores(np.ones((1, 3), int))[0] == pytest.approx(expected, abs=1e-9)
    assert evaluator.evaluate()["segm"]["AP50"] == expected  # nothing was spoiled


def test_nothing_predicted_scores_0_and_nothing_to_find_has_no_score(dataset):  # noqa: F811
    evaluator = InstanceEvaluator(dataset)
    evaluator.evaluate()
    images = evaluator.per_image()
    scores = images.scores(np.array([[1, 1, 1], [0, 0, 3]]))  # image 3 has no object
    assert scores[0] == 0 and np.isnan(scores[1])


def test_many_collections_are_scored_in_parts(monkeypatch):
    images = matched(*crowded())
    counts = np.random.default_rng(0).integers(0, 3, (23, 6))
    whole = images.scores(counts)
    monkeypatch.setattr("imrsf_d2.evaluation.per_image.MAX_NUMBERS", 300)  # five collections at a time
    assert np.array_equal(images.scores(counts), whole, equal_nan=True)


def random_confusion(images=6, classes=3):
    confusion = np.random.default_rng(0).integers(0, 50, (images, classes, classes))
    confusion[:3, 2] = 0  # the first images do not have class 2
    return confusion


def test_label_maps_score_like_the_sum_of_the_copies():
    images = SemanticImages(tuple("abcdef"), random_confusion())
    expected = [
        semantic_scores(sum(n * own for n, own in zip(counts, images.confusion)), ["x", "y", "z"])["mIoU"]
        for counts in [*COLLECTIONS, [1, 1, 1, 0, 0, 0]]
    ]
    got = images.scores(np.vstack([COLLECTIONS, [[1, 1, 1, 0, 0, 0]], np.zeros((1, 6), int)]))
    assert got[:-1] == pytest.approx(expected, abs=1e-9)
    assert np.isnan(got[-1])


@pytest.mark.parametrize(
    "images",
    [
        SemanticImages((3, "b"), random_confusion(2)),
        InstanceImages(
            (1, 2), np.array([[3], [0]]), np.array([0, 1]), np.array([0, 0]), np.array([0.5, 0.25]), np.array([True, False])
        ),
    ],
    ids=lambda images: type(images).__name__,
)
def test_what_is_written_is_read_again(images, tmp_path):
    save_images(tmp_path / "images.npz", images)
    again = load_images(tmp_path / "images.npz")
    assert type(again) is type(images) and again.image_ids == images.image_ids
    for name, values in vars(images).items():
        if name != "image_ids":
            assert np.array_equal(getattr(again, name), values) and getattr(again, name).dtype == values.dtype
    assert [path.name for path in tmp_path.iterdir()] == ["images.npz"]
