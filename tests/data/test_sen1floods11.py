"""Sen1Floods11 as it is downloaded: what is found, and what is wrong with a copy."""

import logging
import shutil

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from imrsf_d2.data.class_colors import class_color
from imrsf_d2.data.datasets.sen1floods11 import load_sen1floods11
from imrsf_d2.data.labels import semantic_truth
from imrsf_d2.data.mappers import build_mapper
from imrsf_d2.engine.configuration import load_config
from tests.sen1floods11_files import CHIPS, GAPS, WITHOUT_S2, write_sen1floods11_files


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """Only to be read."""
    return write_sen1floods11_files(tmp_path_factory.mktemp("sen1floods11"), size=32)


@pytest.fixture
def root(release, tmp_path):
    return shutil.copytree(release, tmp_path / "copy")


def list_file(root, split):
    return root / "splits/flood_handlabeled" / f"flood_{split}_data.csv"


def test_chips_are_found_with_both_sensors_and_labels(root):
    first, second, *_ = load_sen1floods11(root, "train")
    folder = root / "data/flood_events/HandLabeled"
    assert first["modalities"] == {
        "s1": str(folder / "S1Hand" / f"{GAPS}_S1Hand.tif"),
        "s2": str(folder / "S2Hand" / f"{GAPS}_S2Hand.tif"),
    }
    assert second["image_id"] == WITHOUT_S2 and second["modalities"]["s2"] is None
    assert (first["height"], first["width"], first["event"]) == (32, 32, "Ghana")
    assert [sample["image_id"] for sample in load_sen1floods11(root, "val")] == list(CHIPS["valid"])
    assert {sample["event"] for sample in load_sen1floods11(root, "bolivia")} == {"Bolivia"}


def test_a_copy_of_the_whole_bucket_has_them_in_v1_1(root):
    (root / "v1.1").mkdir()
    for name in ("data", "splits"):
        (root / name).rename(root / "v1.1" / name)
    assert len(load_sen1floods11(root, "test")) == 1


def test_minus_one_is_not_labeled_and_no_data_of_both_sensors_is_invalid(root):
    sample = load_sen1floods11(root, "train")[0]
    truth = semantic_truth(sample, 2)
    assert (truth[:8] == 255).all() and set(np.unique(truth[8:])) == {0, 1}
    mapper = build_mapper(load_config("sen1floods11_semantic", ["INPUT.CROP.ENABLED", "False"]), is_train=False)
    image = mapper(sample)["image"].numpy()
    assert image.shape == (17, 32, 32)  # 2 + 13 bands and the validity of both
    s1, s2 = image[15], image[16]
    assert not s1[:, -4:].any() and s1[:, :-4].all() and not s2[:8].any() and s2[8:].all()
    assert image[1, :, :-4].max() < 0 < image[2:15, 8:].min()  # dB as they come


def test_what_a_copy_lacks_of_the_release_is_said(root, caplog):
    with caplog.at_level(logging.WARNING, "imrsf_d2.data.datasets.sen1floods11"):
        load_sen1floods11(root, "train")
    assert "chips listed: 4, in the release: 252" in caplog.text
    assert f"1 of 4 chips have no S2Hand (s2), the release has all: '{WITHOUT_S2}'" in caplog.text


def test_the_four_names_are_registered(root, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(root.parent))
    root.rename(root.parent / "sen1floods11")
    counts = {split: len(DatasetCatalog.get(f"sen1floods11_{split}")) for split in ("train", "val", "test", "bolivia")}
    assert counts == {"train": 4, "val": 2, "test": 1, "bolivia": 2}
    metadata = MetadataCatalog.get("sen1floods11_test")
    assert metadata.stuff_classes == ["land", "water"] and metadata.stuff_colors[1] == class_color("water", 1)


def lose(path):
    def change(root):
        (root / "data/flood_events/HandLabeled" / path).unlink()

    return change


def write(split, text):
    def change(root):
        list_file(root, split).write_text(text)

    return change


@pytest.mark.parametrize(
    "change, error, message",
    [
        (lambda root: list_file(root, "train").unlink(), FileNotFoundError, r"no list of chips at .*flood_train_data\.csv"),
        (lose("LabelHand/USA_86502_LabelHand.tif"), FileNotFoundError, "1 of the 4 chips .* have no labels: 'USA_86502'"),
        (
            lose(f"S1Hand/{WITHOUT_S2}_S1Hand.tif"),
            FileNotFoundError,
            f"have no image: '{WITHOUT_S2}'; looked in .*S1Hand, .*S2Hand",
        ),
        (write("train", "\n"), ValueError, "lists no chips"),
        (
            write("train", "USA_86502_S1Hand.tif,x\n\nUSA_86502\n"),
            ValueError,
            r"line 3 of .* begins with 'USA_86502', expected",
        ),
        (write("train", 2 * "USA_86502_S1Hand.tif,USA_86502_LabelHand.tif\n"), ValueError, "lists chips twice: 'USA_86502'"),
        (write("test", "USA_86502_S1Hand.tif,USA_86502_LabelHand.tif\n"), ValueError, "share 1 chips: 'USA_86502'"),
    ],
)
def test_what_is_wrong_is_named(root, change, error, message):
    change(root)
    with pytest.raises(error, match=message):
        load_sen1floods11(root, "train")


def test_an_unknown_split_is_named(root):
    with pytest.raises(ValueError, match=r"split is 'valid', expected one of \('train', 'val', 'test', 'bolivia'\)"):
        load_sen1floods11(root, "valid")
