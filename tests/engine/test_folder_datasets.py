"""A config takes what it lacks from the dataset.yaml that it names, and a finished run keeps what it was trained on."""

import pytest
import yaml
from detectron2.data import DatasetCatalog

from imrsf_d2.engine.configuration import load_config
from imrsf_d2.engine.folder_datasets import check_measured
from imrsf_d2.engine.scene_predictor import class_names
from imrsf_d2.utils.errors import InputError, MissingFileError

MODALITIES = [
    {"NAME": "s1", "CHANNELS": 2, "MEAN": [-11.0, -18.0], "STD": [4.0, 5.0], "FILES": "S1/{tile}.tif"},
    {"NAME": "dem", "MEAN": [480.0], "STD": [210.0], "FILES": "DEM/{tile}.tif"},
]
CLASSES = [{"NAME": "dry", "COLOR": [1, 2, 3]}, {"NAME": "wet", "COLOR": [4, 5, 6]}, {"NAME": "ice", "COLOR": [7, 8, 9]}]


@pytest.fixture
def write(tmp_path):
    """Writes tmp_path/NAME/dataset.yaml and returns KEY VALUE pairs that name it."""

    def write(name="mine", **changes):
        content = {
            "TASK": "semantic",
            "MODALITIES": MODALITIES,
            "LABELS": "labels/{tile}.tif",
            "CLASSES": CLASSES,
            "TILE_SIZE": [48, 512],
            "SPLITS": {"train": ["a"], "val": ["b"]},
        }
        path = tmp_path / name / "dataset.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump(content | changes))
        return ["DATASETS.TRAIN", f"('{path}:train',)", "DATASETS.TEST", f"('{path}:val',)"]

    return write


def test_a_config_without_modalities_takes_those_of_the_dataset(write):
    cfg = load_config("semantic", write())
    assert [m["NAME"] for m in cfg.MODEL.IMRSF.MODALITIES] == ["s1", "dem"] and cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES == 3
    assert cfg.MODEL.PIXEL_MEAN == [-11.0, -18.0, 480.0, 0, 0]
    assert list(cfg.INPUT.CROP.SIZE) == [48, 256]  # no larger than the tiles, no larger than the config's
    assert all(name in DatasetCatalog for name in (*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST))


def test_overrides_win(write):
    opts = ["INPUT.CROP.SIZE", "[64, 64]", "MODEL.IMRSF.MODALITIES", "[{'NAME': 'dem', 'MEAN': [1.0], 'STD': [2.0]}]"]
    cfg = load_config("semantic", [*write(), *opts])
    assert list(cfg.INPUT.CROP.SIZE) == [64, 64] and [m["NAME"] for m in cfg.MODEL.IMRSF.MODALITIES] == ["dem"]
    assert cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES == 3


@pytest.mark.parametrize(
    "key, text, value",
    [("SOLVER.WEIGHT_DECAY", "0", 0.0), ("DATALOADER.TRAIN_SHARE", "1", 1.0), ("OUTPUT_DIR", "20261126", "20261126")],
)
def test_overrides_are_understood_as_without_a_dataset(write, key, text, value):
    cfg = load_config("semantic", [*write(), key, text])
    for part in key.split("."):
        cfg = cfg[part]
    assert cfg == value and type(cfg) is type(value)


def test_a_config_with_modalities_keeps_them(write, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(load_config("semantic", write()).dump())
    other = write("other", MODALITIES=[MODALITIES[1] | {"MEAN": [0.0]}], TILE_SIZE=[16, 16])
    cfg = load_config(config, other)
    assert [(m["NAME"], m["MEAN"]) for m in cfg.MODEL.IMRSF.MODALITIES] == [("s1", [-11.0, -18.0]), ("dem", [480.0])]
    assert list(cfg.INPUT.CROP.SIZE) == [48, 256] and cfg.DATASETS.TEST[0].endswith("other/dataset.yaml:val")


def test_a_finished_run_maps_scenes_without_its_dataset(write, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(load_config("semantic", write()).dump())
    (tmp_path / "mine").rename(tmp_path / "moved")
    with pytest.raises(MissingFileError, match="no dataset file .*mine/dataset.yaml.*was moved"):
        load_config(config)
    classes = class_names(load_config(config, need_data=False))
    assert classes.names == ("dry", "wet", "ice") and classes.colors == ((1, 2, 3), (4, 5, 6), (7, 8, 9))


def test_a_model_is_not_scored_on_classes_in_another_order(write, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(load_config("semantic", write()).dump())
    other = write("other", CLASSES=CLASSES[::-1])
    with pytest.raises(InputError, match="'.*other/dataset.yaml:train' are ice, wet, dry, expected .* dry, wet, ice"):
        load_config(config, other)
    cfg = load_config(config, [*other, "DATASETS.CLASSES", "[]"])
    assert [label["NAME"] for label in cfg.DATASETS.CLASSES] == ["ice", "wet", "dry"]


def test_training_needs_statistics(write, tmp_path):
    opts = write(
        MODALITIES=[MODALITIES[0], {"NAME": "dem", "FILES": "{tile}"}, {"NAME": "dnw", "CLASSES": 9, "FILES": "{tile}"}]
    )
    with pytest.raises(InputError, match=rf"^'dem' of .*compute_statistics.py --data {tmp_path}/mine --write"):
        check_measured(load_config("semantic", opts))
    (tmp_path / "mine/statistics.yaml").write_text("dem: {MEAN: [480.0], STD: [210.0]}")
    cfg = load_config("semantic", opts)
    check_measured(cfg)
    assert cfg.MODEL.IMRSF.MODALITIES[1] == {"NAME": "dem", "MEAN": [480.0], "STD": [210.0]}
