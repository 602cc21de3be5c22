from detectron2.data import MetadataCatalog
from torch import nn

from imrsf_d2.engine.descriptions import describe_classes, describe_model, describe_scores


def test_a_model_is_described_by_its_parts():
    model = nn.ModuleDict({"backbone": nn.Linear(1000, 1000, bias=False), "head": nn.Linear(500, 1000, bias=False)})
    assert describe_model(model) == "ModuleDict, 1.5 M parameters (backbone 1 M, head 0.5 M)"
    model["backbone"].requires_grad_(False)
    assert describe_model(model).endswith("), 1 M of them frozen")


def test_many_classes_are_cut_short():
    MetadataCatalog.get("descriptions_few").set(stuff_classes=["water", "forest"])
    MetadataCatalog.get("descriptions_many").set(thing_classes=[f"class {number}" for number in range(12)])
    try:
        assert describe_classes("descriptions_few") == "water, forest (2)"
        assert describe_classes("descriptions_many").endswith("class 8, class 9 and 2 more (12)")
    finally:
        for name in ("descriptions_few", "descriptions_many"):
            MetadataCatalog.remove(name)


def test_scores_are_a_line_for_each_task_without_single_classes():
    scores = {"segm": {"AP": 12.346, "APl": float("nan"), "AP-building": 12.3}, "bbox": {"AP": 1.0}}
    assert list(describe_scores(scores)) == ["segm (percent): AP 12.35", "bbox (percent): AP 1.00"]
    assert list(describe_scores({"val": scores, "test": {"sem_seg": {"mIoU": 50.0}}})) == [
        "val, segm (percent): AP 12.35",
        "val, bbox (percent): AP 1.00",
        "test, sem_seg (percent): mIoU 50.00",
    ]
