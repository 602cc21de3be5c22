"""Whatever the ids of a label file are, a class is scored under its own name, and images by their own labels."""

import contextlib
import io
import json
import logging

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import Instances
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from imrsf_d2.data.datasets.coco import load_coco
from imrsf_d2.evaluation.instance_evaluator import InstanceEvaluator
from imrsf_d2.evaluation.instance_truth import read_truth

SIZE = 64
NAME = "instance_truth_test"
#: category id of the file -> class, in the order they are registered in
CLASSES = {7: "road", 3: "building", 5: "tree"}
#: How far the predictions of each class are moved: the classes' scores lie far apart.
SHIFTS = {"building": 0, "tree": 1, "road": 3}


def box(x, y, side=10):
    return [[x, y, x + side, y, x + side, y + side, x, y + side]]


@pytest.fixture
def register(tmp_path):
    """Writes and registers a label file; gives its path."""
    path = tmp_path / "labels.json"

    def register(annotations, image_ids=(1, 2), categories=CLASSES, classes=CLASSES, load=load_coco, **metadata):
        images = [
            {"id": image_id, "file_name": f"{number}.tif", "height": SIZE, "width": SIZE}
            for number, image_id in enumerate(image_ids)
        ]
        path.write_text(
            json.dumps(
                {
                    "images": images,
                    "categories": [{"id": i, "name": name} for i, name in categories.items()],
                    "annotations": [{"id": number, **annotation} for number, annotation in enumerate(annotations)],
                }
            )
        )
        DatasetCatalog.register(NAME, lambda: load(path, classes))
        MetadataCatalog.get(NAME).set(
            **{
                "json_file": str(path),
                "thing_classes": list(classes.values()),
                "thing_dataset_id_to_contiguous_id": {category: i for i, category in enumerate(classes)},
                **metadata,
            }
        )
        return path

    yield register
    DatasetCatalog.remove(NAME)
    MetadataCatalog.remove(NAME)


def images_only(path, classes):
    """A loader of one's own, which leaves the annotations to the evaluator."""
    return [{"image_id": image["id"]} for image in json.loads(path.read_text())["images"]]


def found(*objects):
    """Predictions of (x, y, class, confidence)."""
    result = Instances(
        (SIZE, SIZE),
        pred_masks=torch.zeros(len(objects), SIZE, SIZE),
        scores=torch.tensor([confidence for *_, confidence in objects]),
        pred_classes=torch.tensor([index for *_, index, _ in objects], dtype=torch.long),
    )
    for mask, (x, y, *_) in zip(result.pred_masks, objects):
        mask[y : y + 10, x : x + 10] = 1
    return result


def evaluated(predictions):
    evaluator = InstanceEvaluator(NAME, distributed=False)
    for image_id, instances in predictions.items():
        evaluator.process([{"image_id": image_id}], [{"instances": instances}])
    return evaluator, evaluator.evaluate()


@pytest.mark.parametrize(
    "file_categories",
    [CLASSES, {7: "road", 5: "tree", 3: "building"}, {1: "unused", **CLASSES}, {**CLASSES, 4: "unused", 9: "too"}],
    ids=["as registered", "in another order", "one that sorts first", "one between"],
)
def test_each_class_has_the_ap_that_pycocotools_gives_its_category_alone(register, file_categories):
    places = [(image, 2 + 20 * n, 2 + 20 * n, name) for image in (1, 2) for n, name in enumerate(SHIFTS)]
    ids, order = {name: category for category, name in CLASSES.items()}, list(CLASSES.values())
    # Numbered from 1: pycocotools takes a match with number 0 for none.
    path = register(
        [
            {
                "id": n,
                "image_id": image,
                "category_id": ids[name],
                "segmentation": box(x, y),
                "bbox": [x, y, 10, 10],
                "area": 100,
                "iscrowd": 0,
            }
            for n, (image, x, y, name) in enumerate(places, start=1)
        ],
        categories=file_categories,
    )
    evaluator, results = evaluated(
        {
            image: found(
                *(
                    (x + SHIFTS[name], y, order.index(name), 0.5 + 0.1 * n)
                    for n, (i, x, y, name) in enumerate(places)
                    if i == image
                )
            )
            for image in (1, 2)
        }
    )
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(path))
        guessed = truth.loadRes(
            [
                {"image_id": image, "category_id": ids[name], "bbox": [x + SHIFTS[name], y, 10, 10], "score": 0.5 + 0.1 * n}
                for n, (image, x, y, name) in enumerate(places)
            ]
        )
        for name in SHIFTS:
            reference = COCOeval(truth, guessed, "bbox")
            reference.params.catIds = [ids[name]]
            reference.evaluate()
            reference.accumulate()
            reference.summarize()
            for task in ("segm", "bbox"):
                assert results[task][f"AP-{name}"] == pytest.approx(100 * reference.stats[0])
    # By hand: moved by 0, 1 and 3 of 10 px the overlaps are 1, 9/11 and 7/13: above 10, 7 and 1 of the ten thresholds.
    assert [results["segm"][f"AP-{name}"] for name in SHIFTS] == pytest.approx([100, 70, 10])
    assert results["segm"]["AP"] == pytest.approx(60)
    assert evaluator.per_image().objects.tolist() == [[1, 1, 1], [1, 1, 1]]


def test_categories_that_are_one_class_are_scored_as_one(register):
    """Detectron2 allows several ids of a file to be one class; predictions go by the first."""
    register(
        [{"image_id": 1, "category_id": category, "segmentation": box(x, 5)} for category, x in [(3, 5), (4, 30)]],
        categories={3: "house", 4: "shed"},
        classes={3: "building"},
        load=images_only,
        thing_dataset_id_to_contiguous_id={3: 0, 4: 0},
    )
    results = evaluated({1: found((5, 5, 0, 0.9), (30, 5, 0, 0.8))})[1]
    assert results["segm"]["AP"] == pytest.approx(100)


@pytest.mark.parametrize(
    "image_ids",
    [
        (0, 1),
        ("tile_1", "tile_2"),
        ("1", "2"),
        (1, "b"),
        (-1, -2),
        (1.5, 2.5),
        (10**21 + 1, 10**21 + 2),
        ("b", "a"),
        (2**63, -(2**63)),
    ],
    ids=lambda ids: f"{ids[0]} {ids[1]}",
)
def test_images_may_have_any_id(register, image_ids):
    """Each image has a building, another place each: swapped images would score 0."""
    register(
        [
            {"image_id": image_id, "category_id": 3, "segmentation": box(5 + 20 * n, 5)}
            for n, image_id in enumerate(image_ids)
        ],
        image_ids,
    )
    samples = DatasetCatalog.get(NAME)
    assert {sample["image_id"] for sample in samples} == set(image_ids)
    evaluator, results = evaluated({i: found((5 + 20 * n, 5, 1, 0.9)) for n, i in enumerate(image_ids)})
    assert results["segm"]["AP"] == results["bbox"]["AP"] == pytest.approx(100)
    images = evaluator.per_image()
    assert set(images.image_ids) == set(image_ids) and images.scores(np.array([[1, 1], [2, 0]])) == pytest.approx(100)
    missed, results = evaluated({image_ids[0]: found((5, 5, 1, 0.9))})
    assert missed.per_image().right.tolist() == [True]
    assert images.image_ids[missed.per_image().image[0]] == image_ids[0]


def test_the_results_file_keeps_the_ids_of_the_dataset(register, tmp_path):
    register([{"image_id": "t", "category_id": 3, "segmentation": box(5, 5)}], image_ids=["t"])
    evaluator = InstanceEvaluator(NAME, distributed=False, output_dir=str(tmp_path / "out"))
    evaluator.process([{"image_id": "t"}], [{"instances": found((5, 5, 1, 0.9))}])
    evaluator.evaluate()
    (result,) = json.loads((tmp_path / "out" / "coco_instances_results.json").read_text())
    assert (result["image_id"], result["category_id"], result["bbox"]) == ("t", 3, [5, 5, 10, 10])


def test_annotations_that_mark_nothing_are_no_objects_to_find(register, caplog):
    register([{"image_id": 1, "category_id": 3, "segmentation": box(x, 5)} for x in (5, 99, 70)], load=images_only)
    with caplog.at_level(logging.WARNING, logger="imrsf_d2"):
        for _ in range(2):
            assert evaluated({1: found((5, 5, 1, 0.9))})[1]["segm"]["AP"] == pytest.approx(100)
    assert len(caplog.records) == 1
    assert "of the 3 annotations of the split, 2 have no pixel in their image, e.g. the one with id 1" in caplog.text


def test_annotations_of_other_categories_are_left_out_and_said(register, caplog):
    register(
        [{"image_id": 1, "category_id": category, "segmentation": box(5, 5)} for category in (3, 8, 8)], load=images_only
    )
    with caplog.at_level(logging.WARNING, logger="imrsf_d2"):
        assert evaluated({1: found((5, 5, 1, 0.9))})[1]["segm"]["AP"] == pytest.approx(100)
    assert "2 have the categories [8]" in caplog.text and "thing_dataset_id_to_contiguous_id {7: 0, " in caplog.text


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        (
            {"segmentation": box(99, 5)},
            "none of the 1 annotations of the split can be scored: 1 have no pixel in their image",
        ),
        ({"category_id": 0}, r"none of the 1 annotations of the split can be scored: 1 have the categories \[0\]"),
        ({"category_id": "3"}, r"can be scored: 1 have the categories \['3'\]"),
    ],
    ids=["outside", "unknown", "text"],
)
def test_a_split_of_which_nothing_can_be_scored_is_refused(register, annotation, message):
    register([{"image_id": 1, "category_id": 3, "segmentation": box(5, 5), **annotation}], load=images_only)
    with pytest.raises(ValueError, match=message):
        read_truth(NAME)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (
            {"thing_dataset_id_to_contiguous_id": {7: 0, 3: 1}},
            r"is \{7: 0, 3: 1\}, expected the category ids of the 3 thing_classes \(road, building, tree\) with their positions",
        ),
        ({"thing_dataset_id_to_contiguous_id": {7: 1, 3: 2, 5: 3}}, "with their positions 0 to 2"),
        (
            {"thing_dataset_id_to_contiguous_id": {3: 0, 5: 1, 7: 2}},
            "category 7 has name 'road', expected 'tree' as registered",
        ),
    ],
    ids=["a class without an id", "counted from 1", "in another order"],
)
def test_classes_that_are_not_those_of_the_file_are_refused(register, metadata, message):
    register([], **metadata)
    with pytest.raises(ValueError, match=message):
        InstanceEvaluator(NAME)


def test_a_loader_that_numbers_the_classes_in_another_order_than_the_metadata_is_refused(register):
    """The names in the file, of another language, tell nothing."""
    register(
        [{"image_id": 1, "category_id": category, "segmentation": box(5, 5)} for category in (7, 7, 3)],
        categories={7: "Straße", 3: "Gebäude", 5: "Baum"},
        thing_dataset_id_to_contiguous_id={3: 0, 5: 1, 7: 2},
    )
    with pytest.raises(
        ValueError,
        match="samples .* thing_classes: road 2, building 1, tree 0; its file, with .*{3: 0, 5: 1, 7: 2}, has: road 1, building 0, tree 2",
    ):
        InstanceEvaluator(NAME)


def test_a_prediction_of_another_size_or_image_is_refused(register):
    """COCO's overlap of masks of different sizes is -1: all would be false, without a word."""
    register([])
    evaluator = InstanceEvaluator(NAME)
    other = Instances((32, 64), pred_masks=torch.ones(1, 32, 64), scores=torch.ones(1), pred_classes=torch.zeros(1).long())
    with pytest.raises(ValueError, match=r"image 1 of .* is 32 x 64 px \(height x width\), its labels are 64 x 64 px"):
        evaluator.process([{"image_id": 1}], [{"instances": other}])
    with pytest.raises(
        ValueError, match="predictions for the image '1', expected one of the 2 images of 'instance_truth_test'"
    ):
        evaluator.process([{"image_id": "1"}], [{"instances": found()}])


def test_without_a_file_the_annotations_of_the_dicts_are_the_truth(register):
    annotations = [
        {"image_id": image, "category_id": category, "segmentation": box(2 + 5 * n, 7)}
        for n, (image, category) in enumerate([(1, 7), (1, 5), (2, 3), (2, 3)])
    ]
    annotations[2]["iscrowd"] = 1
    path = register(annotations)
    from_file = read_truth(NAME)
    DatasetCatalog.remove(NAME)
    MetadataCatalog.remove(NAME)
    register(annotations, json_file=None)
    path.rename(path.with_name("elsewhere.json"))
    samples = load_coco(path.with_name("elsewhere.json"), CLASSES)
    DatasetCatalog.pop(NAME)
    DatasetCatalog.register(NAME, lambda: samples)
    from_dicts = read_truth(NAME)
    assert from_dicts.image_ids == from_file.image_ids and from_dicts.category_of_class == from_file.category_of_class
    for kind in ("images", "annotations"):
        wanted, got = (truth.coco.dataset[kind] for truth in (from_file, from_dicts))
        assert len(got) == len(wanted) > 0
        assert [{key: row[key] for key in one} for one, row in zip(got, wanted)] == got
