"""No evaluator lets two images, or two classes, of one name take each other's score."""

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from imrsf_d2.evaluation.instance_evaluator import InstanceEvaluator
from imrsf_d2.evaluation.panoptic_evaluator import PanopticEvaluator
from imrsf_d2.evaluation.semantic_evaluator import SemanticEvaluator
from imrsf_d2.utils.errors import InputError

NAME = "score_keys_test"


@pytest.fixture
def register():
    def register(image_ids, classes):
        sample = {"height": 8, "width": 8, "file_name": "x.tif"}
        DatasetCatalog.register(NAME, lambda: [{"image_id": image_id, **sample} for image_id in image_ids])
        things = {index: index for index in range(len(classes))}
        MetadataCatalog.get(NAME).set(
            stuff_classes=classes, thing_classes=classes, ignore_label=255, thing_dataset_id_to_contiguous_id=things
        )

    yield register
    DatasetCatalog.remove(NAME)
    MetadataCatalog.remove(NAME)


@pytest.mark.parametrize("evaluator", [SemanticEvaluator, PanopticEvaluator, InstanceEvaluator])
@pytest.mark.parametrize(
    "image_ids, classes, message",
    [
        ([0, 1, 0, 0], ["lake", "field"], f"'{NAME}' has the image_id 0 3 times, expected each only once"),
        ([0, "0"], ["lake", "field", "lake"], f"'{NAME}' has the class name 'lake' 2 times, expected each only once"),
        ([0, "0"], ["lake", "field"], None),
    ],
)
def test_two_of_one_name_cannot_take_each_others_score(register, evaluator, image_ids, classes, message):
    register(image_ids, classes)
    if message is None:
        evaluator(NAME)
        return
    with pytest.raises(InputError, match=message):
        evaluator(NAME)
