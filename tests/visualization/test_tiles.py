import itertools

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog
from detectron2.structures import Boxes, Instances
from matplotlib.image import imread
from torch import nn

from imrsf_d2.data.labels import semantic_truth
from imrsf_d2.data.loaders import build_train_loader
from imrsf_d2.engine.configuration import load_config
from imrsf_d2.modalities import ModalitySet
from imrsf_d2.visualization import (
    choose_tiles,
    draw_overview,
    draw_subset,
    draw_test_sheets,
    draw_training_sheets,
    predict_tiles,
)
from imrsf_d2.visualization.figures import _short
from imrsf_d2.visualization.sheets import SHEET_ROWS
from imrsf_d2.visualization.targets import InstanceReader, LabelMap, NoSensor, Objects
from imrsf_d2.visualization.tiles import training_tiles
from tests.tiny import NUM_TRAIN, NUM_VAL, OVERRIDES, PRETRAINING, REPOSITORY, SIZE


class Oracle(nn.Module):
    """Knows the truth of either task, and what it was given."""

    def __init__(self, dataset):
        super().__init__()
        self.truth = {sample["image_id"]: sample for sample in DatasetCatalog.get(dataset)}
        self.seen = []

    def forward(self, inputs):
        assert not self.training
        self.seen.append(inputs[0]["modalities"])
        sample = self.truth[inputs[0]["image_id"]]
        labels = torch.from_numpy(semantic_truth(sample).astype(np.int64))
        masks = torch.from_numpy(InstanceReader().of_dataset(sample).masks)
        result = Instances((sample["height"], sample["width"]))
        result.pred_masks, result.scores = masks.float(), torch.ones(len(masks))
        result.pred_boxes = Boxes(torch.zeros(len(masks), 4))
        return [{"sem_seg": nn.functional.one_hot(labels, 2).permute(2, 0, 1), "instances": result}]


@pytest.fixture(params=["instance", "semantic"])
def cfg(request, tiny_root, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tiny_root))
    return load_config(REPOSITORY / f"configs/demo/dfc2023_{request.param}.yaml", OVERRIDES)


def content(target):
    return target.labels if isinstance(target, LabelMap) else target.masks


@pytest.mark.parametrize(
    "counts, number, chosen",
    [
        ([0, 5, 1, 9, 3], 1, [1]),  # by count: 0, 1, 3, 5, 9; three quarters up is 5
        ([0, 5, 1, 9, 3], 2, [4, 3]),
        ([0, 5, 1, 9, 3], 4, [2, 4, 1, 3]),
        ([2], 3, [0]),
        ([], 3, []),
    ],
)
def test_chosen_tiles_lie_from_the_middle_to_the_crowded_end(counts, number, chosen):
    assert choose_tiles([{"annotations": [None] * n} for n in counts], number) == chosen


@pytest.mark.parametrize("size, number, chosen", [(9, 1, [4]), (9, 3, [0, 4, 8]), (9, 2, [0, 8]), (2, 5, [0, 1])])
def test_tiles_without_annotations_are_spread_over_the_dataset(size, number, chosen):
    assert choose_tiles([{"sem_seg_file_name": "x.tif"}] * size, number) == chosen


@pytest.mark.parametrize("annotations", [[None], []], ids=["annotated", "not"])
def test_as_many_tiles_are_chosen_as_there_are(annotations):
    for size, number in itertools.product(range(1, 25), range(1, 27)):
        chosen = choose_tiles([{"annotations": annotations}] * size, number)
        assert len(set(chosen)) == len(chosen) == min(size, number)


def test_training_tiles_are_the_draws_of_the_training(cfg):
    tiles = list(itertools.islice(training_tiles(cfg), 4))
    fed = list(itertools.chain.from_iterable(itertools.islice(build_train_loader(cfg), 2)))
    for number, (tile, sample) in enumerate(zip(tiles, fed, strict=True)):
        assert np.array_equal(tile.image, sample["image"].numpy())
        truth = sample["sem_seg"] if isinstance(tile.truth, LabelMap) else sample["instances"].gt_masks
        assert np.array_equal(content(tile.truth), truth.numpy())
        assert tile.name.endswith(f"\ndraw {number}") and tile.prediction is None


def test_views_of_training_samples_are_drawn_one_after_the_other(tiny_root, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tiny_root))
    views = "['complete', 'incomplete']"
    cfg = load_config(REPOSITORY / "configs/demo/dfc2023_instance.yaml", [*OVERRIDES, "INPUT.MODALITY_DROPOUT.VIEWS", views])
    first, second = itertools.islice(training_tiles(cfg), 2)
    assert first.name.endswith("draw 0, view 1") and second.name == first.name.replace("view 1", "view 2")
    having = [tile.image[-3:].any(axis=(1, 2)).sum() for tile in (first, second)]
    assert having[0] > having[1] > 0


def test_samples_of_a_pretraining_are_shown_alone_whatever_they_are_labeled_for(tiny_root, tmp_path, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tiny_root))
    config = REPOSITORY / "configs/demo/dfc2023_instance.yaml"
    supervised = load_config(config, OVERRIDES)
    samples = [
        {key: value for key, value in sample.items() if key != "annotations"}
        for sample in DatasetCatalog.get(supervised.DATASETS.TRAIN[0])
    ]
    monkeypatch.setitem(DatasetCatalog.data, "of_no_task", lambda: samples)
    cfg = load_config(config, [*OVERRIDES, *PRETRAINING, "DATASETS.TRAIN", "('of_no_task',)"])
    assert all(tile.truth is None for tile in itertools.islice(training_tiles(cfg), 3))
    width = {}
    for name, each in (("alone", cfg), ("labeled", supervised)):
        (path,) = draw_training_sheets(each, tmp_path, 2)
        width[name] = imread(path).shape[1]
    assert width["labeled"] / width["alone"] == pytest.approx(4 / 3, rel=0.1)  # panels: three sensors, and the truth


def test_pictures_are_computed_in_the_precision_of_the_scores(cfg):
    dataset = cfg.DATASETS.TEST[0]

    class Model(Oracle):
        def forward(self, inputs):
            self.precision = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu")
            return super().forward(inputs)

    model, mixed = Model(dataset), cfg.clone()
    predict_tiles(cfg, model, dataset, [0], ("sar",))
    assert model.precision is False
    mixed.defrost()
    mixed.SOLVER.AMP.ENABLED, mixed.SOLVER.AMP.PRECISION = True, "bf16"
    predict_tiles(mixed, model, dataset, [0], ("sar",))
    assert model.precision == torch.bfloat16


def test_predictions_stand_beside_the_truth_they_are_to_match(cfg):
    dataset = cfg.DATASETS.TEST[0]
    model = Oracle(dataset)
    tiles = predict_tiles(cfg, model, dataset, [1, 0], ("sar", "dsm"))
    assert model.seen == [("sar", "dsm")] * 2 and model.training
    modalities = ModalitySet.from_config(cfg)
    for tile, position in zip(tiles, [1, 0], strict=True):
        assert tile.image.shape == (8, SIZE, SIZE) and not tile.image[modalities.validity("rgb")].any()
        assert np.array_equal(content(tile.truth), content(tile.prediction)) and content(tile.truth).any()
        assert DatasetCatalog.get(dataset)[position]["file_name"].endswith(f"{tile.name}.tif")
        assert isinstance(tile.truth, LabelMap if "semantic" in dataset else Objects)
    assert predict_tiles(cfg, None, dataset, [0], ("rgb",))[0].prediction is None


def test_a_tile_without_any_of_the_sensors_is_hatched_and_not_predicted(cfg, tmp_path, monkeypatch):
    dataset, modalities = cfg.DATASETS.TEST[0], ModalitySet.from_config(cfg)
    samples = [
        sample if place else {**sample, "modalities": {**sample["modalities"], "sar": None}}
        for place, sample in enumerate(DatasetCatalog.get(dataset))
    ]
    monkeypatch.setitem(DatasetCatalog.data, dataset, lambda: samples)
    model, written = Oracle(dataset), []
    without, having = predict_tiles(cfg, model, dataset, [0, 1], ("sar",))
    assert without.prediction == NoSensor() and model.seen == [("sar",)]
    assert np.array_equal(content(having.truth), content(having.prediction))
    assert predict_tiles(cfg, None, dataset, [0], ("sar",))[0].prediction is None
    monkeypatch.setattr("imrsf_d2.visualization.targets.draw_absent", lambda axis, size, why: written.append((size, why)))
    draw_subset(tmp_path / "subset.png", [without, having], modalities, ("sar",), "title")
    draw_overview(tmp_path / "overview.png", {("sar",): [without, having]}, modalities, {}, "title")
    assert written == [((SIZE, SIZE), "no sensor")] * 2


def test_pictures_have_a_column_for_all_there_is_to_see(cfg, tmp_path):
    dataset, modalities = cfg.DATASETS.TEST[0], ModalitySet.from_config(cfg)
    subset = ("sar", "dsm")
    tiles = predict_tiles(cfg, Oracle(dataset), dataset, [0, 1], subset)
    draw_subset(tmp_path / "both.png", tiles, modalities, subset, "title")
    draw_subset(tmp_path / "inputs.png", predict_tiles(cfg, None, dataset, [0, 1], subset), modalities, subset, "title")
    draw_overview(tmp_path / "overview.png", {subset: tiles, ("dsm",): tiles}, modalities, {subset: "AP 1"}, "title")
    width = {path.stem: imread(path).shape[1] for path in tmp_path.iterdir()}
    assert width["overview"] < width["inputs"] < width["both"]


def test_sheets_of_training_samples(cfg, tmp_path):
    paths = list(draw_training_sheets(cfg, tmp_path, SHEET_ROWS + 1))
    assert [path.name for path in paths] == ["train_1.png", "train_2.png"]
    tall, low = (imread(path) for path in paths)
    assert tall.shape[0] > 5 * low.shape[0] and tall.shape[1] == pytest.approx(low.shape[1], rel=0.1)
    assert SHEET_ROWS + 1 > NUM_TRAIN  # the stream has no end


def test_sheets_of_test_samples(cfg, tmp_path):
    dataset = cfg.DATASETS.TEST[0]
    model = Oracle(dataset)
    paths = list(draw_test_sheets(cfg, model, [["dsm", "sar"], ["rgb"]], tmp_path, NUM_VAL + 5))
    assert [path.relative_to(tmp_path / dataset).name for path in paths] == ["sar+dsm_1.png", "rgb_1.png", "overview_1.png"]
    assert model.seen == [("sar", "dsm")] * NUM_VAL + [("rgb",)] * NUM_VAL


def test_long_names_keep_their_end():
    assert _short("a_very_long_name\ndraw 3", 8) == "…ng_name\ndraw 3"
