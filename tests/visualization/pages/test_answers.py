import itertools

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import Instances

from imrsf_d2.data.labels import semantic_truth
from imrsf_d2.data.panoptic import classes_of_segments, read_segments
from imrsf_d2.engine.configuration import load_config
from imrsf_d2.evaluation import PanopticEvaluator
from imrsf_d2.evaluation.instance_evaluator import InstanceEvaluator
from imrsf_d2.evaluation.masks import annotation_to_rle, rle_to_mask
from imrsf_d2.visualization.pages.answers import LEAST_SCORE, MOST_OBJECTS, LabelMaps, Objects, Segments
from tests.panoptic_files import write_panoptic_folder
from tests.tiny import DEMO_CONFIGS, OVERRIDES
from tests.visualization.pages.test_encoding import filled, read


@pytest.fixture
def dataset(tiny_root, monkeypatch, request):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tiny_root))
    return load_config(DEMO_CONFIGS[request.param], OVERRIDES).DATASETS.TEST[0]


@pytest.mark.parametrize("dataset", ["instance"], indirect=True)
def test_objects_are_right_where_the_evaluation_counts_them_so(dataset, rng):
    """Shifted true masks, some of them twice: right, wrong and repeated ones, with scores above and below the least one."""
    evaluator, answers, right = InstanceEvaluator(dataset), Objects(MetadataCatalog.get(dataset)), []
    for sample in DatasetCatalog.get(dataset):
        size = sample["height"], sample["width"]
        truth = [rle_to_mask(annotation_to_rle(a, *size)) for a in sample["annotations"]]
        found = [np.roll(mask, rng.integers(0, 5), axis=1) for mask in [*truth, *truth[:2]]]
        output = Instances(size)
        output.pred_masks = torch.from_numpy(np.array(found)).float()
        output.scores = torch.from_numpy(rng.random(len(found)))
        output.pred_classes = torch.zeros(len(found), dtype=torch.int64)
        evaluator.process([sample], [{"instances": output}])
        items = answers.of_output({"instances": output}, sample, 1)["items"]
        assert [item["s"] for item in items] == sorted((item["s"] for item in items), reverse=True)
        assert len(items) == int((output.scores >= LEAST_SCORE).sum())
        order = output.scores.argsort(descending=True).tolist()
        for item, place in zip(items, order):
            assert np.array_equal(filled(item["d"], size), found[place])
        right += [(sample["image_id"], item["s"]) for item in items if item["m"] >= 0]
        matched = [item["m"] for item in items if item["m"] >= 0]
        assert len(set(matched)) == len(matched)
        shown = answers.of_dataset(sample, 1)["items"]
        assert all(np.array_equal(filled(item["d"], size), mask) for item, mask in zip(shown, truth, strict=True))
    evaluator.evaluate()
    images = evaluator.per_image()
    sure = images.right & (images.confidence >= LEAST_SCORE)
    expected = [(images.image_ids[i], round(score, 4)) for i, score in zip(images.image[sure], images.confidence[sure])]
    assert sorted(right) == sorted(expected) and 0 < len(right) < len(images.right)


@pytest.mark.parametrize("dataset", ["instance"], indirect=True)
def test_crowds_and_annotations_without_a_pixel_do_not_count(dataset):
    answers = Objects(MetadataCatalog.get(dataset))
    sample = next(sample for sample in DatasetCatalog.get(dataset) if sample["annotations"])
    size = sample["height"], sample["width"]
    crowd = sample["annotations"][0]
    other = {**crowd, "segmentation": [[1.0, 1.0, 9.0, 1.0, 9.0, 9.0, 1.0, 9.0]]}
    nothing = {**other, "segmentation": {"size": list(size), "counts": [size[0] * size[1]]}}
    sample = {**sample, "annotations": [{**crowd, "iscrowd": 1}, other, nothing]}
    assert [item.get("crowd", False) for item in answers.of_dataset(sample, 1)["items"]] == [True, False, True]
    output = Instances(size)
    truth = [rle_to_mask(annotation_to_rle(annotation, *size)) for annotation in (crowd, other, crowd)]
    output.pred_masks = torch.from_numpy(np.array(truth)).float()
    output.scores, output.pred_classes = torch.tensor([0.9, 0.8, 0.7]), torch.zeros(3, dtype=torch.int64)
    assert [item["m"] for item in answers.of_output({"instances": output}, sample, 1)["items"]] == [None, 1, None]


@pytest.mark.parametrize("dataset", ["lulc"], indirect=True)
def test_a_label_map_comes_with_its_score_and_the_share_that_is_right(dataset, rng):
    answers, (sample, *_) = LabelMaps(MetadataCatalog.get(dataset)), DatasetCatalog.get(dataset)
    truth = semantic_truth(sample)
    scores = torch.from_numpy(rng.random((len(answers.classes), *truth.shape)))
    answer = answers.of_output({"sem_seg": scores}, sample, 1)
    labels = scores.argmax(dim=0).numpy()
    assert np.array_equal(read(answer["png"])[1], labels)
    known = truth < len(answers.classes)
    assert answer["right"] == pytest.approx((labels == truth)[known].mean(), abs=1e-4)
    side = answer["block"]
    shares = (scores / scores.sum(dim=0)).amax(dim=0).numpy()
    means = shares.reshape(truth.shape[0] // side, side, -1, side).mean(axis=(1, 3))
    assert np.abs(read(answer["score"])[1] / 100 - means).max() <= 0.006
    assert np.array_equal(read(answers.of_dataset(sample, 1)["png"])[1], np.where(known, truth, 255))


def test_segments_are_right_wrong_and_missed_as_the_panoptic_quality_counts_them(tmp_path, write_raster, rng):
    """Shifted segments of changed classes, on tiles with a crowd and unlabeled pixels."""
    path = write_panoptic_folder(
        tmp_path, write_raster, change=lambda coco: coco["annotations"][0]["segments_info"][2].update(iscrowd=1)
    )
    (name,) = load_config("demo/panoptic", ["DATASETS.TRAIN", "()", "DATASETS.TEST", f"('{path}:val',)"]).DATASETS.TEST
    answers, seen = Segments(MetadataCatalog.get(name)), set()
    for sample, shift in itertools.product(DatasetCatalog.get(name), range(-3, 6)):
        ids, segments = read_segments(sample)
        found = np.roll(ids, shift, axis=1)
        changed = [{**one, "category_id": int(rng.choice([one["category_id"], 2]))} for one in segments]
        output = {"panoptic_seg": (torch.from_numpy(found), changed)}
        evaluator = PanopticEvaluator(name)
        evaluator.process([sample], [output])
        (own,) = evaluator._matches.values()
        truth, items = answers.of_dataset(sample, 1)["items"], answers.of_output(output, sample, 1)["items"]
        for item, segment in zip(items, changed, strict=True):
            assert np.array_equal(filled(item["d"], ids.shape), found == segment["id"])
            assert item["c"] == segment["category_id"] and item["thing"] == (item["c"] == 2)
        matches = [item["m"] for item in items]
        hits = [m for m in matches if m is not None and m >= 0]
        missed = [i for i, item in enumerate(truth) if i not in hits and not item.get("crowd")]
        assert (len(hits), matches.count(-1), len(missed)) == (own.right.sum(), own.spurious.sum(), own.missed.sum())
        seen |= {min(m, 0) if m is not None else None for m in matches} | ({"missed"} if missed else set())
        classes = read(answers.of_dataset(sample, 1)["png"])[1]
        assert np.array_equal(classes, classes_of_segments(ids, segments)) and (classes == 255).any()
    assert seen == {0, -1, None, "missed"}


@pytest.mark.parametrize("dataset", ["instance"], indirect=True)
def test_of_many_objects_those_with_the_highest_scores_are_kept_and_the_others_counted(dataset, rng):
    sample = DatasetCatalog.get(dataset)[0]
    output = Instances((sample["height"], sample["width"]))
    output.scores = torch.from_numpy(rng.permutation(np.linspace(0, 1, 200)))
    output.pred_masks = torch.ones(200, sample["height"], sample["width"])
    output.pred_classes = torch.zeros(200, dtype=torch.int64)
    answer = Objects(MetadataCatalog.get(dataset)).of_output({"instances": output}, sample, 1)
    assert len(answer["items"]) == MOST_OBJECTS and min(item["s"] for item in answer["items"]) > 0.5
    assert answer["more"] == int((output.scores >= LEAST_SCORE).sum()) - MOST_OBJECTS
