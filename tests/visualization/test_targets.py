import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import Boxes, Instances
from matplotlib.figure import Figure

from imrsf_d2.visualization.palettes import Palette
from imrsf_d2.visualization.targets import InstanceReader, LabelMap, Objects, target_reader
from tests.visualization.canvas import color, render

SIZE = 4
COLORS = [(10, 20, 30), (200, 30, 40)]


@pytest.fixture
def register():
    """Gives a dataset of no samples a name; takes its metadata."""
    names = []

    def register_one(name, **metadata):
        DatasetCatalog.register(name, list)
        MetadataCatalog.get(name).set(**metadata)
        names.append(name)
        return name

    yield register_one
    for name in names:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


@pytest.fixture
def semantic(register):
    return target_reader(
        register(
            "land", evaluator_type="imrsf_semantic", stuff_classes=["sea", "land"], stuff_colors=COLORS, ignore_label=255
        )
    )


def found(scores):
    instances = Instances((SIZE, SIZE))
    instances.pred_masks = torch.stack([torch.full((SIZE, SIZE), float(i)) for i in range(len(scores))])
    instances.scores, instances.pred_boxes = torch.tensor(scores), Boxes(torch.zeros(len(scores), 4))
    return {"instances": instances}


def test_label_maps_are_drawn_in_the_datasets_colors_and_what_is_unlabeled_is_hatched(semantic):
    labels = torch.tensor([[0, 0, 1, 1]] * 3 + [[0, 0, 255, 255]])
    target = semantic.of_training({"sem_seg": labels})
    entries = set()
    screen = render(lambda axis: entries.update(target.draw(axis, np.zeros((SIZE, SIZE, 3)))), SIZE, SIZE)
    assert color(screen[1, 0]) == COLORS[0] and color(screen[1, 3]) == COLORS[1]
    unlabeled = screen[3, 2:].reshape(-1, 3)
    assert (unlabeled == 255).all(axis=1).any() and (unlabeled.max(axis=1) < 250).any()
    assert sorted(entry.name for entry in entries) == ["land", "not labeled", "sea"]


def test_the_best_class_of_each_pixel_is_predicted(semantic):
    scores = torch.zeros(2, SIZE, SIZE)
    scores[1, :, 2:] = 1
    assert np.array_equal(semantic.of_output({"sem_seg": scores}).labels, [[0, 0, 1, 1]] * SIZE)


def test_the_truth_of_a_dataset_without_label_files_comes_from_its_annotations(semantic):
    square = {"segmentation": [[1, 1, 3, 1, 3, 3, 1, 3]], "category_id": 0}
    labels = semantic.of_dataset({"annotations": [square], "height": SIZE, "width": SIZE}).labels
    assert labels[1:3, 1:3].all() and labels.sum() == 4


def test_an_ignored_class_within_the_palette_is_no_class():
    target = LabelMap(np.array([[0, 1], [1, 7]]), Palette(("a", "b")), ignore_label=0)
    axis = Figure().add_subplot()
    assert [entry.name for entry in sorted(target.draw(axis, np.zeros((2, 2, 3))))] == ["b", "not labeled"]


def test_only_what_a_model_is_sure_of_is_drawn():
    target = InstanceReader().of_output(found([0.4, 0.5, 0.9]))
    assert target.scores == pytest.approx((0.5, 0.9)) and target.masks.tolist() == [[[True] * SIZE] * SIZE] * 2


@pytest.mark.parametrize("number, caption", [(0, "0 objects"), (1, "1 object"), (2, "2 objects")])
def test_objects_are_counted(number, caption):
    axis = Figure().add_subplot()
    sample = {
        "height": SIZE,
        "width": SIZE,
        "annotations": [{"segmentation": [[0, 0, 2, 0, 2, 2, 0, 2]], "category_id": 0}] * number,
    }
    assert InstanceReader().of_dataset(sample).draw(axis, np.zeros((SIZE, SIZE, 3))) == set()
    assert axis.get_xlabel() == caption


def test_truth_and_prediction_differ_in_color():
    masks = np.zeros((1, 8, 8), dtype=bool)
    masks[0, 2:6, 2:6] = True
    screens = [
        render(lambda axis, s=scores: Objects(masks, s).draw(axis, np.zeros((8, 8, 3))), 8, 8).reshape(-1, 3)
        for scores in (None, (0.9,))
    ]
    brightest = [screen[screen.sum(axis=1).argmax()] for screen in screens]
    assert brightest[0].argmax() == 1 and brightest[1].argmax() == 0  # green, orange


def test_no_task_no_picture(register):
    with pytest.raises(ValueError, match="'nowhere', which is not registered; imrsf_d2 registers .*dfc2023"):
        target_reader("nowhere")
    with pytest.raises(ValueError, match="evaluator_type 'coco', expected one of"):
        target_reader(register("elsewhere", evaluator_type="coco"))
    with pytest.raises(ValueError, match="'nameless' has no stuff_classes"):
        target_reader(register("nameless", evaluator_type="imrsf_semantic"))


def test_a_config_whose_parts_are_of_different_tasks_is_named(semantic):
    with pytest.raises(ValueError, match="no 'sem_seg'.* see INPUT.DATASET_MAPPER_NAME"):
        semantic.of_training({"instances": None})
    with pytest.raises(ValueError, match="the model's output has .* no 'instances'.* see MODEL.MASK_FORMER.TEST"):
        InstanceReader().of_output({"sem_seg": None})
