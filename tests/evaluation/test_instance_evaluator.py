"""Known data, known answers: the evaluator against itself, by hand, and against pycocotools called directly."""

import contextlib
import io
import json
import sys

import numpy as np
import pycocotools.mask as mask_util
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import Boxes, Instances
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from imrsf_d2.evaluation.instance_evaluator import InstanceEvaluator, coco_eval

SIZE = 48
SPLIT = (1, 2, 3)  # image 4 belongs to another split
NAME = "evaluator_test"


def disc(x, y, radius):
    rows, columns = np.mgrid[:SIZE, :SIZE]
    return (columns - x) ** 2 + (rows - y) ** 2 <= radius**2


def rectangle(x, y, width, height):
    mask = np.zeros((SIZE, SIZE), bool)
    mask[y : y + height, x : x + width] = True
    return mask


def as_polygon(x, y, width, height):
    return [[x, y, x + width, y, x + width, y + height, x, y + height]]


def as_compressed(mask):
    rle = mask_util.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": rle["size"], "counts": rle["counts"].decode()}


def as_uncompressed(mask):
    flat = mask.flatten(order="F").astype(int)
    changes = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff([0, *changes, flat.size]).tolist()
    return {"size": list(mask.shape), "counts": runs if flat[0] == 0 else [0, *runs]}


#: image id -> (mask, how it is annotated); image 3 has no object
TRUTH = {
    1: [(rectangle(2, 3, 10, 8), as_polygon(2, 3, 10, 8)), (disc(30, 30, 9), as_compressed(disc(30, 30, 9)))],
    2: [
        (disc(12, 20, 7), as_uncompressed(disc(12, 20, 7))),
        (rectangle(0, 0, 5, 5) | rectangle(20, 2, 6, 9), as_polygon(0, 0, 5, 5) + as_polygon(20, 2, 6, 9)),
    ],
    3: [],
    4: [(rectangle(1, 1, 20, 20), as_polygon(1, 1, 20, 20))],
}


@pytest.fixture
def dataset(tmp_path):
    """Registers the images of SPLIT; the JSON has image 4 too, and annotations without box, area and iscrowd."""
    images = [{"id": i, "file_name": f"{i}.tif", "height": SIZE, "width": SIZE} for i in TRUTH]
    annotations = [{"image_id": i, "category_id": 1, "segmentation": form} for i, rows in TRUTH.items() for _, form in rows]
    for number, annotation in enumerate(annotations):  # from 0, which pycocotools alone would count as unmatched
        annotation["id"] = number
    path = tmp_path / "labels.json"
    path.write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "building"}]})
    )
    DatasetCatalog.register(NAME, lambda: [{"image_id": i} for i in SPLIT])
    MetadataCatalog.get(NAME).set(json_file=str(path), thing_classes=["building"], thing_dataset_id_to_contiguous_id={1: 0})
    yield NAME
    DatasetCatalog.remove(NAME)
    MetadataCatalog.remove(NAME)


def instances(masks, scores):
    """Predictions as MaskFormer makes them: float masks, boxes all zero."""
    result = Instances((SIZE, SIZE))
    result.pred_masks = torch.tensor(np.array(masks).reshape(-1, SIZE, SIZE), dtype=torch.float32)
    result.pred_boxes = Boxes(torch.zeros(len(masks), 4))
    result.scores = torch.tensor(scores, dtype=torch.float32)
    result.pred_classes = torch.zeros(len(masks), dtype=torch.int64)
    return result


def evaluate(dataset, predictions, **options):
    evaluator = InstanceEvaluator(dataset, **options)
    evaluator.reset()
    for image_id in SPLIT:
        evaluator.process([{"image_id": image_id}], [{"instances": predictions[image_id]}])
    return evaluator.evaluate()


def perfect():
    return {i: instances([m for m, _ in TRUTH[i]], [0.9] * len(TRUTH[i])) for i in SPLIT}


@pytest.mark.parametrize("task", ["segm", "bbox"])
def test_perfect_predictions_score_100(dataset, task):
    scores = evaluate(dataset, perfect())[task]
    assert (scores["AP"], scores["AP50"], scores["AP75"]) == pytest.approx((100, 100, 100))


@pytest.mark.gpu
def test_masks_on_the_gpu_with_boxes_on_the_cpu_are_scored(dataset):
    predictions = perfect()
    for prediction in predictions.values():  # as MaskFormer leaves them on a GPU
        prediction.pred_masks, prediction.scores = prediction.pred_masks.cuda(), prediction.scores.cuda()
    assert evaluate(dataset, predictions)["segm"]["AP"] == pytest.approx(100)


def test_a_confident_find_in_the_image_without_objects_counts_as_false(dataset):
    predictions = perfect() | {3: instances([rectangle(5, 5, 9, 9)], [1.0])}
    # Precision is 1/2, 2/3, 3/4, 4/5 at the recalls 1/4 .. 1; COCO takes the best to the right of each recall: 4/5.
    assert evaluate(dataset, predictions)["segm"]["AP50"] == pytest.approx(80.0)


def test_a_prediction_without_a_pixel_is_none(dataset):
    predictions = perfect() | {3: instances([np.zeros((SIZE, SIZE), bool)], [1.0])}
    assert evaluate(dataset, predictions)["segm"]["AP"] == pytest.approx(100)


def test_predicting_nothing_scores_0(dataset):
    results = evaluate(dataset, {i: instances([], []) for i in SPLIT})
    for task in ("segm", "bbox"):
        assert (results[task]["AP"], results[task]["AP50"], results[task]["APs"]) == (0, 0, 0)
        assert np.isnan(results[task]["APl"])  # no object is that large


def random_predictions():
    rng = np.random.default_rng(0)
    predictions = {}
    for image_id in SPLIT:
        masks = [np.roll(mask, rng.integers(-2, 3, size=2), axis=(0, 1)) for mask, _ in TRUTH[image_id]]
        masks += [disc(*rng.integers(5, 40, 2), rng.integers(3, 9)) for _ in range(4)]
        predictions[image_id] = instances(masks, rng.random(len(masks)).round(3))
    return predictions


@pytest.mark.parametrize("task", ["segm", "bbox"])
def test_equals_pycocotools_called_directly(dataset, task):
    predictions = random_predictions()
    scores, reference = evaluate(dataset, predictions)[task], pycocotools_stats(predictions, task)
    assert 0 < reference[0] < reference[1] < 1  # the example is neither trivial nor perfect
    assert [scores["AP"], scores["AP50"], scores["AP75"]] == pytest.approx((100 * reference[:3]).tolist())


@pytest.fixture
def larger(monkeypatch):
    """A disc that is small by its area, and of medium size by that of its box."""
    monkeypatch.setitem(TRUTH, 2, [(disc(30, 30, 17), as_compressed(disc(30, 30, 17)))])


def test_sizes_are_those_of_masks(larger, dataset):
    found = [disc(30, 29, 17), disc(17, 17, 17)]
    predictions = {image: instances(found, [0.8, 0.9]) if image == 2 else instances([], []) for image in SPLIT}
    scores, reference = evaluate(dataset, predictions)["segm"], 100 * pycocotools_stats(predictions, "segm")[:6]
    assert 0 < reference[3] < 100 and reference[5] == -100  # no object is large
    named = [scores[name] for name in ("AP", "AP50", "AP75", "APs", "APm")]
    assert named == pytest.approx([value if value >= 0 else np.nan for value in reference[:5]], nan_ok=True)


def pycocotools_stats(predictions, task):
    """The numbers that pycocotools prints, of TRUTH and predictions given to it directly."""
    truth, results = COCO(), []
    truth.dataset = {
        "info": {},
        "images": [{"id": i, "height": SIZE, "width": SIZE} for i in SPLIT],
        "categories": [{"id": 1}],
        "annotations": [],
    }
    for image_id in SPLIT:
        for mask, _ in TRUTH[image_id]:
            rows, columns = np.nonzero(mask)
            truth.dataset["annotations"].append(
                {
                    "id": len(truth.dataset["annotations"]) + 1,
                    "image_id": image_id,
                    "category_id": 1,
                    "iscrowd": 0,
                    "segmentation": as_compressed(mask),
                    "area": int(mask.sum()),
                    "bbox": box(rows, columns),
                }
            )
        found = predictions[image_id]
        for mask, score in zip(found.pred_masks.numpy().astype(bool), found.scores.tolist()):
            result = {"image_id": image_id, "category_id": 1, "score": score}
            result.update({"segmentation": as_compressed(mask)} if task == "segm" else {"bbox": box(*np.nonzero(mask))})
            results.append(result)
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        reference = COCOeval(truth, truth.loadRes(results), task)
        reference.evaluate()
        reference.accumulate()
        reference.summarize()
    return reference.stats


def box(rows, columns):
    return [int(columns.min()), int(rows.min()), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1]


def test_more_than_100_detections_count_where_asked_for(dataset):
    clutter = [disc(x, 40, 2) for x in range(4, 44)] * 3
    predictions = perfect()
    predictions[1] = instances([m for m, _ in TRUTH[1]] + clutter, [0.1] * 2 + [0.9] * len(clutter))
    few, many = (evaluate(dataset, predictions, max_detections=n)["segm"]["AP50"] for n in (100, 200))
    assert few < many


def test_predictions_are_written_with_the_datasets_category_ids(dataset, tmp_path):
    evaluate(dataset, perfect(), output_dir=str(tmp_path / "out"))
    results = json.loads((tmp_path / "out" / "coco_instances_results.json").read_text())
    assert len(results) == 4
    assert results[0]["category_id"] == 1
    assert results[0]["bbox"] == [2, 3, 10, 8]
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["coco_instances_results.json"]


def test_an_image_that_the_labels_lack_is_named(dataset):
    DatasetCatalog.remove(NAME)
    DatasetCatalog.register(NAME, lambda: [{"image_id": 99}])
    with pytest.raises(ValueError, match="1 images of the split are not in the annotation file, e.g. id 99"):
        InstanceEvaluator(dataset)


def test_a_class_that_the_dataset_lacks_is_named(dataset):
    prediction = instances([disc(9, 9, 4)], [0.5])
    prediction.pred_classes += 7
    with pytest.raises(ValueError, match="predicts the class 7, but 'evaluator_test' has 1 .building."):
        InstanceEvaluator(dataset).process([{"image_id": 1}], [{"instances": prediction}])


def test_an_evaluator_may_be_used_again(dataset):
    evaluator = InstanceEvaluator(dataset)
    scores = []
    for predictions in (perfect(), random_predictions(), perfect()):
        evaluator.reset()
        for image_id in SPLIT:
            evaluator.process([{"image_id": image_id}], [{"instances": predictions[image_id]}])
        scores.append(evaluator.evaluate())
    assert scores[1] == evaluate(dataset, random_predictions()) != scores[0]
    for task in ("segm", "bbox"):
        assert scores[2][task] == pytest.approx(scores[0][task], nan_ok=True)


def crowded(classes=2, images=6, objects=25):
    """COCO annotations and predictions of several classes, with crowds, ties of scores and objects of every size."""
    rng = np.random.default_rng(1)
    kinds = []
    for shift in (0, 3):  # predictions lie near the objects
        annotations = []
        state = np.random.default_rng(2)
        for image_id in range(1, images + 1):
            for number in range(objects):
                x, y, w, h = state.integers([0, 0, 2, 2], [300, 300, 150, 150])
                x, y = np.maximum([x, y] + rng.integers(-shift, shift + 1, 2), 0).tolist()
                mask = np.zeros((500, 500), np.uint8, order="F")
                mask[y : y + h, x : x + w] = 1
                rle = mask_util.encode(mask)
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": image_id,
                        "category_id": 1 + number % classes,
                        "bbox": [x, y, int(w), int(h)],
                        "area": float(mask.sum()),
                        "segmentation": rle,
                        "iscrowd": int(not shift and number % 9 == 0),
                        "score": float(rng.integers(1, 9) / 10),
                    }
                )
        coco = COCO()
        coco.dataset = {
            "info": {},
            "images": [{"id": i + 1, "height": 500, "width": 500} for i in range(images)],
            "categories": [{"id": i + 1} for i in range(classes)],
            "annotations": annotations,
        }
        coco.createIndex()
        kinds.append(coco)
    return kinds


@pytest.mark.parametrize("task", ["segm", "bbox"])
@pytest.mark.parametrize("max_detections", [5, 100, 300])
def test_the_fast_scorer_gives_the_numbers_of_the_official_one(task, max_detections, monkeypatch):
    fast = coco_eval(*crowded(), task, max_detections)
    monkeypatch.setitem(sys.modules, "faster_coco_eval", None)
    official = coco_eval(*crowded(), task, max_detections)
    assert type(fast) is not type(official) and isinstance(official, COCOeval)
    assert 0.1 < official.stats[0] < official.stats[1] < 1
    assert fast.stats[:6] == pytest.approx(official.stats[:6], abs=1e-12)
    assert np.allclose(fast.eval["precision"], official.eval["precision"], atol=1e-12)
