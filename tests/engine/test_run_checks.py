"""What keeps a test set from being scored comes up before the training run; its labels are read once for all of it."""

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.engine import DefaultTrainer

from imrsf_d2.engine import trainer
from imrsf_d2.engine.running import check_run
from imrsf_d2.engine.trainer import Trainer
from tests.tiny import DEMO_CONFIG, OVERRIDES, PRETRAINING
from tests.tools.test_train_net import load_tool


def test_a_model_without_instances_does_not_begin_to_train(tiny_config):
    opts = ("MODEL.MASK_FORMER.TEST.INSTANCE_ON", "False")
    with pytest.raises(
        ValueError, match="MODEL.MASK_FORMER.TEST.INSTANCE_ON is False, expected True: the dataset 'dfc2023_track2_val'"
    ):
        check_run(tiny_config(*opts), eval_only=False)
    check_run(tiny_config(*PRETRAINING, *opts), eval_only=False)  # which is not scored


def test_labels_of_other_images_come_up_before_the_training(tiny_config):
    DatasetCatalog.register(
        "mine",
        lambda: [{**sample, "image_id": f"{sample['image_id']}"} for sample in DatasetCatalog.get("dfc2023_track2_val")],
    )
    MetadataCatalog.get("mine").set(
        **{key: value for key, value in MetadataCatalog.get("dfc2023_track2_val").as_dict().items() if key != "name"}
    )
    try:
        with pytest.raises(ValueError, match="2 images of the split are not in the annotation file, e.g. id '.*'"):
            check_run(tiny_config("DATASETS.TEST", "('mine',)"), eval_only=False)
    finally:
        DatasetCatalog.remove("mine")
        MetadataCatalog.remove("mine")


def test_a_training_with_an_evaluation_parses_the_labels_once(tiny_root, tmp_path, monkeypatch):
    root = tmp_path / "copy"  # which no other test has read
    track = root / "dfc2023/track2"
    track.mkdir(parents=True)
    (track / "train").symlink_to(tiny_root / "dfc2023/track2/train")
    labels = track / "buildings_only_train.json"
    labels.write_bytes((tiny_root / "dfc2023/track2/buildings_only_train.json").read_bytes())
    monkeypatch.setenv("DETECTRON2_DATASETS", str(root))
    opened, original = [], open
    monkeypatch.setattr("builtins.open", lambda file, *args, **kw: opened.append(file) or original(file, *args, **kw))
    assert (
        load_tool("train_net").main(
            ["--config-file", str(DEMO_CONFIG), *OVERRIDES, "SOLVER.MAX_ITER", "1", "OUTPUT_DIR", str(tmp_path / "run")]
        )
        == 0
    )
    assert "AP50" in (tmp_path / "run" / "log.txt").read_text()
    assert [file for file in opened if str(file) == str(labels)] == [str(labels)]


def test_scores_are_expected_of_some_dataset(tiny_config):
    with pytest.raises(
        ValueError, match=r"EXPECTED_RESULTS is \[\['segm', 'AP50', 60.0, 9.0\]\], but DATASETS.TEST is empty"
    ):
        check_run(
            tiny_config("DATASETS.TEST", "()", "TEST.EXPECTED_RESULTS", "[['segm', 'AP50', 60.0, 9.0]]"), eval_only=False
        )


def test_an_evaluation_of_some_sensors_says_which(tiny_config, monkeypatch):
    said = []
    monkeypatch.setattr(trainer.logger, "info", lambda text, *values: said.append(text % values))
    monkeypatch.setattr(DefaultTrainer, "test", classmethod(lambda *_: {}))
    Trainer.test(tiny_config(), None)
    assert said == []
    Trainer.test(tiny_config("INPUT.TEST_MODALITIES", "['rgb', 'dsm']"), None)
    assert said == ["Evaluated with rgb, dsm alone (INPUT.TEST_MODALITIES)"]
