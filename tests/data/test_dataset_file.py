"""A dataset.yaml is read as it was meant, or refused with the file, the key, what was found and what was expected."""

import dataclasses
import re

import pytest
import yaml

from imrsf_d2.data.dataset_file import DatasetClass, short_name
from imrsf_d2.data.dataset_yaml import KEYS, read_dataset_file, write_dataset_file
from imrsf_d2.utils.errors import InputError, MissingFileError
from tests.tiny import REPOSITORY

SEMANTIC = {
    "TASK": "semantic",
    "MODALITIES": [
        {"NAME": "s1", "CHANNELS": 2, "MEAN": [-11.0, -18.0], "STD": [4.0, 5.0], "FILES": "S1/{tile}.tif"},
        {"NAME": "dem", "FILES": "DEM/{tile}.tif"},
    ],
    "LABELS": "labels/{tile}.tif",
    "CLASSES": [{"NAME": "water", "COLOR": [65, 155, 223], "CODES": [7, -1]}, {"NAME": "trees"}],
    "UNLABELED": [0, 255],
    "TILE_SIZE": [48, 64],
    "SPLITS": {"train": "train.txt", "val": ["c", "sub/d"]},
}


@pytest.fixture
def write(tmp_path):
    """Writes a dataset.yaml, with the keys of SEMANTIC replaced or, if None, left out."""

    def write(text=None, **changes):
        (tmp_path / "train.txt").write_text("a\nb\n")
        path = tmp_path / "dataset.yaml"
        content = {key: value for key, value in (SEMANTIC | changes).items() if value is not None}
        path.write_text(yaml.safe_dump(content, sort_keys=False) if text is None else text)
        return path

    return write


def test_what_is_written_is_read(write, tmp_path):
    file = read_dataset_file(write())
    assert file.path == tmp_path / "dataset.yaml" and file.root == tmp_path and file.task == "semantic"
    assert file.entries == [{"NAME": "s1", "CHANNELS": 2, "MEAN": [-11.0, -18.0], "STD": [4.0, 5.0]}, {"NAME": "dem"}]
    assert file.files == {"s1": "S1/{tile}.tif", "dem": "DEM/{tile}.tif"} and file.labels == "labels/{tile}.tif"
    assert file.classes == (DatasetClass("water", (65, 155, 223), (7, -1)), DatasetClass("trees", None, (1,)))
    assert file.unlabeled == (0, 255) and file.tile_size == (48, 64) and file.unmeasured == ["dem"]
    assert file.splits == {"train": "train.txt", "val": ("c", "sub/d")}


def test_a_written_file_reads_back_the_same(write, tmp_path):
    file = dataclasses.replace(read_dataset_file(write()), root=tmp_path / "elsewhere")
    write_dataset_file(file)
    assert read_dataset_file(file.path) == file
    assert "  - {NAME: dem, FILES: 'DEM/{tile}.tif'}\n" in file.path.read_text()  # one line each: it is for reading


def test_paths_begin_at_root_and_lists_are_found_beside_the_file(write, tmp_path):
    file = read_dataset_file(write(ROOT="../data"))
    assert file.root == tmp_path.parent / "data" and file.find("train.txt") == tmp_path / "train.txt"
    assert read_dataset_file(write(ROOT="/data")).root.as_posix() == "/data"


def test_statistics_beside_the_file_count(write, tmp_path):
    path = write()
    (tmp_path / "statistics.yaml").write_text("dem: {MEAN: [480.0], STD: [210.0]}")
    file = read_dataset_file(path)
    assert file.entries[1] == {"NAME": "dem", "MEAN": [480.0], "STD": [210.0]} and file.unmeasured == []
    assert file.modality_set["dem"].mean == (480.0,) and file.modality_set["s1"].std == (4.0, 5.0)


@pytest.mark.parametrize(
    "text, message",
    [
        ("s1: {MEAN: [1, 2], STD: [1, 2]}", r"dataset.yaml has MEAN and STD of 's1', and so has .*statistics.yaml"),
        ("dsm: {MEAN: [1], STD: [1]}", r"statistics.yaml: the name of a modality is 'dsm', expected one of \['s1', 'dem'\]"),
        ("dem: {MEAN: [1]}", r"statistics.yaml: 'dem' is .*expected \{MEAN"),
        ("dem: {MEAN: [1, 2], STD: [1, 2]}", "statistics.yaml: modality 'dem': MEAN is a list of length 2, expected 1"),
    ],
)
def test_statistics_that_cannot_be_meant(write, tmp_path, text, message):
    path = write()
    (tmp_path / "statistics.yaml").write_text(text)
    with pytest.raises(InputError, match=message):
        read_dataset_file(path)


def test_a_class_of_coco_files_is_the_category_after_its_index(write, tmp_path):
    (tmp_path / "train.json").write_text("{}")
    coco = {"LABELS": None, "UNLABELED": None, "SPLITS": {"train": "train.json"}, "CLASSES": [{"NAME": "a"}, {"NAME": "b"}]}
    file = read_dataset_file(write(TASK="instance", **coco))
    assert [label.codes for label in file.classes] == [(1,), (2,)] and file.class_names == ("a", "b")
    assert read_dataset_file(write(TASK="semantic", **coco)).class_names == ("background", "a", "b")


def test_classes_of_a_table(write, tmp_path):
    file = read_dataset_file(write(CLASSES="terramesh", UNLABELED=[255, 0]))
    assert file.classes[0] == DatasetClass("Water", (65, 155, 223), (1,)) and file.unlabeled == (255, 0, 8)
    (tmp_path / "mine.csv").write_text("code,class,color\n10,wet,#0000ff\n20,dry,\n-1,,\n")
    file = read_dataset_file(write(CLASSES="mine.csv", UNLABELED=None))
    assert file.classes == (DatasetClass("wet", (0, 0, 255), (10,)), DatasetClass("dry", None, (20,)))
    assert file.unlabeled == (-1,)
    with pytest.raises(MissingFileError, match="dataset.yaml: CLASSES: there is no class table nothing"):
        read_dataset_file(write(CLASSES="nothing"))


@pytest.mark.parametrize(
    "name, short",
    [
        ("dfc2023_track2_val", "dfc2023_track2_val"),
        ("/data/mine/dataset.yaml:val", "mine_val"),
        ("/data/mine/winter.yaml:val", "mine_winter_val"),
        ("/dataset.yaml:val", "val"),
    ],
)
def test_what_folders_of_results_are_called(name, short):
    assert short_name(name) == short


ONE = [{"NAME": "s1", "FILES": "{tile}.tif"}]


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"SPLIT": {}}, "dataset.yaml has the unknown key 'SPLIT', expected some of TASK, ROOT"),
        ({"TASK": None}, "dataset.yaml has no TASK"),
        ({"TASK": "depth"}, "TASK is 'depth', expected one of instance, semantic, panoptic, pretrain"),
        ({"ROOT": 3}, "ROOT is 3, expected a folder"),
        ({"MODALITIES": {}}, "MODALITIES is {}, expected a list"),
        ({"MODALITIES": ["s1"]}, "MODALITIES is 's1', expected a mapping"),
        ({"MODALITIES": ONE * 2}, "MODALITIES has 's1' 2 times"),
        ({"MODALITIES": [{"NAME": "s1", "FILE": "a"}]}, "dataset.yaml: MODALITIES: entry .* has the unknown key 'FILE'"),
        ({"MODALITIES": [{"NAME": "s1"}]}, "MODALITIES: 's1' has no FILES"),
        ({"MODALITIES": [{"NAME": "s1", "CHANNELS": 0}]}, "dataset.yaml: MODALITIES: modality 's1': CHANNELS is 0"),
        ({"MODALITIES": [{"NAME": "s1", "MEAN": [1.0]}]}, "'s1' has only one of MEAN and STD"),
        ({"MODALITIES": [{"NAME": "s1", "FILES": "s1.tif"}]}, "'s1': FILES is 's1.tif', expected a path with {tile}"),
        ({"MODALITIES": [{"NAME": "s1", "FILES": "{tile}_{x}"}]}, "expected {tile} alone: nothing is put in .* {x}"),
        ({"LABELS": None}, "dataset.yaml has no LABELS"),
        ({"LABELS": 3}, "LABELS is 3, expected a path"),
        ({"TASK": "pretrain"}, "LABELS is .* together with TASK: pretrain"),
        ({"TASK": "pretrain", "LABELS": None}, "CLASSES together with TASK: pretrain"),
        ({"CLASSES": None}, "CLASSES is None, expected a list"),
        ({"CLASSES": ["water"]}, "CLASSES is 'water', expected a mapping"),
        ({"CLASSES": [{"NAME": False}]}, r"CLASSES: NAME is False, expected a text"),
        ({"CLASSES": [{"NAME": "a", "COLOUR": [1, 2, 3]}]}, "has the unknown key 'COLOUR', expected some of NAME, COLOR"),
        ({"CLASSES": [{"NAME": "a", "COLOR": [1, 2, 256]}]}, r"'a': COLOR is \[1, 2, 256\], expected \[red"),
        ({"CLASSES": [{"NAME": "a", "CODES": 3}]}, "'a': CODES is 3, expected a list of whole numbers"),
        ({"CLASSES": [{"NAME": "a", "CODES": [1.5]}]}, r"'a': CODES is \[1.5\], expected a list of whole numbers"),
        ({"CLASSES": [{"NAME": "a", "CODES": []}]}, r"'a': CODES is \[\], expected one number or more"),
        ({"CLASSES": [{"NAME": "a", "CODES": [1]}] * 2}, "CLASSES has 'a' 2 times"),
        ({"CLASSES": [{"NAME": "a", "CODES": [1]}, {"NAME": "b"}]}, "the code 1 belongs to 'a' and to 'b'"),
        ({"CLASSES": [{"NAME": "a"}]}, "the code 0 belongs to 'a' and to UNLABELED"),
        ({"UNLABELED": 255}, "UNLABELED is 255, expected a list of whole numbers"),
        ({"TILE_SIZE": 256}, r"TILE_SIZE is 256, expected \[height, width\]"),
        ({"SPLITS": {}}, "SPLITS is {}, expected e.g."),
        ({"SPLITS": {"a:b": ["x"]}}, "SPLITS is 'a:b', expected a short name"),
        ({"SPLITS": {"train": [1]}}, r"SPLITS: 'train' is 1, expected names \(numbers in quotes\)"),
        ({"SPLITS": {"train": []}}, r"SPLITS: 'train' is \[\], expected the names of tiles"),
        ({"SPLITS": {"train": {}}}, "SPLITS: 'train' is {}, expected a file, or a list"),
        ({"TASK": "instance"}, "SPLITS: 'train' is no COCO file"),
        ({"SPLITS": {"train": "a.json", "val": ["c"]}}, r"SPLITS: \['train'\] are COCO files and the others are not"),
        ({"SPLITS": {"train": "a.json"}}, "LABELS is .* together with COCO splits"),
        ({"SPLITS": {"train": "a.json"}, "LABELS": None}, "UNLABELED is .* expected none"),
    ],
    ids=lambda value: str(value)[:60] if isinstance(value, dict) else "",
)
def test_a_mistake_is_named(write, changes, message):
    with pytest.raises(InputError, match=message):
        read_dataset_file(write(**changes))


def test_a_key_given_twice_is_named(write):
    with pytest.raises(InputError, match="dataset.yaml cannot be read as YAML: the key 'TASK' is given twice"):
        read_dataset_file(write("TASK: semantic\nTASK: instance\n"))
    with pytest.raises(InputError, match="dataset.yaml cannot be read as YAML"):
        read_dataset_file(write("TASK: ["))
    with pytest.raises(InputError, match="the file is None, expected keys and values"):
        read_dataset_file(write(""))


def test_missing_files_are_named(write, tmp_path):
    with pytest.raises(MissingFileError, match="no dataset file .*moved/dataset.yaml.*--data DIR"):
        read_dataset_file(tmp_path / "moved" / "dataset.yaml")
    with pytest.raises(MissingFileError, match="SPLITS: 'test' is 'test.txt', but there is no such file in "):
        read_dataset_file(write(SPLITS={"train": "train.txt", "test": "test.txt"}))


def test_the_examples_of_the_page_are_datasets(tmp_path):
    page = (REPOSITORY / "datasets/README.md").read_text()
    examples = re.findall(r"```yaml\n(TASK: .*?)```", page, re.S)
    assert len(examples) == 4
    for split in ("train", "val"):
        for ending in ("txt", "csv", "json"):
            (tmp_path / f"{split}.{ending}").touch()
    for example in examples:
        (tmp_path / "dataset.yaml").write_text(example)
        assert set(read_dataset_file(tmp_path / "dataset.yaml").splits) == {"train", "val"}
    keys = re.findall(r"^\| `([A-Z_]+)` \|", page, re.M)
    assert [key for key in keys if key in KEYS] == list(KEYS)  # the table has all of them
