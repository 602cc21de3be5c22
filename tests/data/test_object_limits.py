"""A test set with more objects in an image than the model can find is said with what limits it."""

import pytest
from detectron2.config import CfgNode

from imrsf_d2.data.object_limits import check_object_numbers, object_limits

QUERIES, DETECTIONS = "MODEL.MASK_FORMER.NUM_OBJECT_QUERIES", "TEST.DETECTIONS_PER_IMAGE"


@pytest.mark.parametrize(
    "architecture, queries, detections, images, limits",
    [
        ("MaskFormer", 3, 3, 1, f"3 ({QUERIES}) and 3 ({DETECTIONS})"),
        ("MaskFormer", 2, 1, 2, f"2 ({QUERIES}) and 1 ({DETECTIONS})"),
        ("MaskFormer", 3, 9, 1, f"3 ({QUERIES})"),
        ("GeneralizedRCNN", 1, 3, 1, f"3 ({DETECTIONS})"),  # has no queries
        ("MaskFormer", 4, 4, 0, None),
    ],
)
def test_images_with_more_objects_than_can_be_found(caplog, architecture, queries, detections, images, limits):
    model = {"META_ARCHITECTURE": architecture, "MASK_FORMER": {"NUM_OBJECT_QUERIES": queries}}
    cfg = CfgNode({"MODEL": model, "TEST": {"DETECTIONS_PER_IMAGE": detections}})
    samples = [{"annotations": [{}] * number + [{"iscrowd": 1}] * 5} for number in (4, 2, 0)] + [{}]
    check_object_numbers("mine_val", object_limits(cfg, is_test=True), samples)
    messages = [
        f"{images} of the 4 images of mine_val hold more objects or segments (up to 4) than the model can find in one: {limits}. What is beyond "
        "that counts as missed. Cut smaller tiles, or raise what limits it."
    ]
    assert caplog.messages == messages * bool(images)
