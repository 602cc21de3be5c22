"""A folder with a dataset.yaml becomes dataset dicts and metadata, from each of the three forms of its splits."""

import json
import re

import numpy as np
import pytest
import yaml
from detectron2.data import DatasetCatalog, MetadataCatalog

from imrsf_d2.data.dataset_yaml import read_dataset_file
from imrsf_d2.data.datasets.folder import load_folder, register_folder
from imrsf_d2.data.labels import semantic_truth
from imrsf_d2.utils.errors import InputError, MissingFileError
from tests.raster_files import annotation

MODALITIES = [{"NAME": "s1", "FILES": "S1/{tile}_S1.tif"}, {"NAME": "dem", "FILES": "DEM/{tile}.tif"}]
MASK = np.array([[0, 255, 0], [7, 0, 255]], dtype=np.uint8)  # 7 is not labeled
SEMANTIC = {
    "TASK": "semantic",
    "MODALITIES": MODALITIES,
    "LABELS": "labels/{tile}.tif",
    "CLASSES": [
        {"NAME": "background", "CODES": [0], "COLOR": [9, 9, 9]},
        {"NAME": "building", "CODES": [255], "COLOR": [200, 30, 40]},
    ],
    "UNLABELED": [7],
    "SPLITS": {"train": "train.txt", "val": ["c"]},
}


@pytest.fixture
def write(tmp_path, write_raster):
    """Three tiles with 0/255 masks, of which `b` lacks the DEM; writes a dataset.yaml over SEMANTIC."""
    for tile in ("a", "sub/b", "c"):
        write_raster(tmp_path / f"S1/{tile}_S1.tif", np.ones((2, 3), dtype=np.float32))
        write_raster(tmp_path / f"labels/{tile}.tif", MASK)
        if tile != "sub/b":
            write_raster(tmp_path / f"DEM/{tile}.tif", np.ones((2, 3), dtype=np.int16))
    (tmp_path / "train.txt").write_text("# the first two\na\n\nsub/b  # north\n")

    def write(**changes):
        path = tmp_path / "dataset.yaml"
        path.write_text(yaml.safe_dump({key: value for key, value in (SEMANTIC | changes).items() if value is not None}))
        return read_dataset_file(path)

    return write


def test_a_list_of_tiles(write, tmp_path):
    a, b = load_folder(write(), "train")
    assert (a["image_id"], b["image_id"]) == ("a", "sub/b") and (a["height"], a["width"]) == (2, 3)
    assert a["modalities"] == {"s1": f"{tmp_path}/S1/a_S1.tif", "dem": f"{tmp_path}/DEM/a.tif"}
    assert b["modalities"] == {"s1": f"{tmp_path}/S1/sub/b_S1.tif", "dem": None} and b["file_name"] == b["modalities"]["s1"]
    np.testing.assert_array_equal(semantic_truth(b), [[0, 1, 0], [255, 0, 1]])
    (c,) = load_folder(write(), "val")
    assert c["image_id"] == "c"


def test_a_csv_of_paths(write, tmp_path):
    (tmp_path / "train.csv").write_text(
        "dem, s1, labels\nDEM/a.tif, S1/a_S1.tif, labels/a.tif\n, S1/sub/b_S1.tif, labels/c.tif\n"
    )
    modalities = [{"NAME": entry["NAME"]} for entry in MODALITIES]
    a, b = load_folder(write(MODALITIES=modalities, LABELS=None, SPLITS={"train": "train.csv"}), "train")
    assert a["image_id"] == "S1/a_S1" and a["modalities"] == {
        "s1": f"{tmp_path}/S1/a_S1.tif",
        "dem": f"{tmp_path}/DEM/a.tif",
    }
    assert b["modalities"]["dem"] is None and b["sem_seg_file_name"] == f"{tmp_path}/labels/c.tif"


def test_a_csv_may_leave_some_paths_to_the_names_of_the_tiles(write, tmp_path):
    (tmp_path / "train.csv").write_text("tile,dem\na,\nc,DEM/a.tif\n")
    a, c = load_folder(write(SPLITS={"train": "train.csv"}), "train")
    assert a["modalities"] == {"s1": f"{tmp_path}/S1/a_S1.tif", "dem": None}  # an empty cell, although the file is there
    assert c["modalities"] == {"s1": f"{tmp_path}/S1/c_S1.tif", "dem": f"{tmp_path}/DEM/a.tif"}
    assert c["sem_seg_file_name"] == f"{tmp_path}/labels/c.tif"


@pytest.fixture
def coco(tmp_path):
    images = [
        {"id": 5, "file_name": "sub/b.png", "height": 4, "width": 4},
        {"id": 9, "file_name": "a.png", "height": 4, "width": 4},
    ]
    square = [[0, 0, 2, 0, 2, 2, 0, 2]]
    annotations = [annotation(number, 9, square, category_id=number) for number in (3, 4, 8)]
    categories = [{"id": 3, "name": "house"}, {"id": 4, "name": "hut"}, {"id": 8, "name": "shed"}]
    (tmp_path / "train.json").write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": categories})
    )
    return {
        "LABELS": None,
        "UNLABELED": None,
        "SPLITS": {"train": "train.json"},
        "CLASSES": [{"NAME": "home", "CODES": [3, 8]}, {"NAME": "hut", "CODES": [4]}],
    }


def test_a_coco_file(write, tmp_path, coco):
    file = write(TASK="instance", **coco)
    b, a = load_folder(file, "train")
    assert (a["image_id"], a["height"]) == (9, 4) and a["modalities"]["dem"] == f"{tmp_path}/DEM/a.tif"
    assert [found["category_id"] for found in a["annotations"]] == [0, 1, 0]  # two categories are one class
    assert b["annotations"] == [] and b["modalities"]["dem"] is None
    register_folder(f"{file.path}:train")
    metadata = MetadataCatalog.get(f"{file.path}:train")
    assert metadata.thing_dataset_id_to_contiguous_id == {3: 0, 8: 0, 4: 1} and metadata.thing_classes == ["home", "hut"]
    assert metadata.json_file == f"{tmp_path}/train.json" and metadata.evaluator_type == "imrsf_instance"


def test_a_coco_file_rasterized(write, coco):
    file = write(**coco)
    _, a = load_folder(file, "train")
    expected = np.zeros((4, 4))
    expected[:2, :2] = 2
    np.testing.assert_array_equal(semantic_truth(a, num_classes=len(file.class_names)), expected)


def test_registered_once_and_again_when_the_file_changes(write, tmp_path, monkeypatch):
    name = "dataset.yaml:val"
    write()
    monkeypatch.chdir(tmp_path)
    register_folder(name)
    metadata, load = MetadataCatalog.get(name), DatasetCatalog[name]
    assert metadata.stuff_classes == ["background", "building"] and metadata.stuff_colors[1] == (200, 30, 40)
    assert (metadata.ignore_label, metadata.evaluator_type, metadata.split) == (255, "imrsf_semantic", "val")
    assert [sample["image_id"] for sample in DatasetCatalog.get(name)] == ["c"]
    register_folder(name)
    assert DatasetCatalog[name] is load  # what was loaded before a run is still known
    write(CLASSES=[{"NAME": "ground", "CODES": [0]}, {"NAME": "roof", "CODES": [255]}])
    register_folder(name)
    assert MetadataCatalog.get(name).stuff_classes == ["ground", "roof"]
    with pytest.raises(InputError, match="no split 'test', expected one of train, val"):
        register_folder("dataset.yaml:test")


@pytest.mark.parametrize(
    "splits, text, message",
    [
        ({"train": ["a", "c"], "val": ["c"]}, None, "the splits 'train' and 'val' share 1 tiles: 'c'"),
        ({"train": ["a", "a"]}, None, "lists the tile 'a' 2 times"),
        ({"train": "list.txt"}, "# nothing\n", "list.txt lists no tiles"),
        (
            {"train": "list.csv"},
            "tile,dsm\n",
            "list.csv has the unknown column 'dsm', expected some of tile, s1, dem, labels",
        ),
        ({"train": "list.csv"}, "tile,s1,s1\n", "list.csv has the column 's1' twice"),
        ({"train": "list.csv"}, "s1,labels\n", "list.csv has the columns s1, labels, expected 'dem' among them"),
        ({"train": "list.csv"}, "s1,dem\n", "list.csv has the columns s1, dem, expected 'labels' among them"),
        ({"train": "list.csv"}, "tile,s1\na\n", "list.csv, line 2 has more or fewer cells"),
        ({"train": "list.csv"}, "tile,s1\n,S1/a_S1.tif\n", "list.csv, line 2 has no name of a tile"),
        ({"train": "list.csv"}, "s1,dem,labels\n,,labels/a.tif\n", "list.csv, line 2 has no path of any sensor"),
        ({"train": "list.csv"}, "tile,s1\na,x.tif\n", "list.csv, line 2 names '.*x.tif', but there is no such file"),
        ({"train": ["a", "x"]}, None, "1 of the 2 tiles .*train have no label raster: 'x'; looked for .*labels/x.tif"),
    ],
)
def test_a_mistake_is_named(write, tmp_path, splits, text, message):
    if text is not None:
        (tmp_path / splits["train"]).write_text(text)
    with pytest.raises((InputError, MissingFileError), match=message):
        load_folder(write(SPLITS=splits), "train")


def test_a_sensor_that_no_tile_has_is_named_with_where_it_was_looked_for(write, caplog):
    (sample,) = load_folder(write(MODALITIES=[MODALITIES[0], {"NAME": "dem", "FILES": "dme/{tile}.tif"}]), "val")
    assert sample["modalities"]["dem"] is None
    (message,) = [record.getMessage() for record in caplog.records]
    assert re.match("No tile of .*dataset.yaml:val has a file of 'dem', .* looked for .*/dme/c.tif", message)


def test_a_root_that_is_not_there_is_named(write):
    with pytest.raises(MissingFileError, match="dataset.yaml: ROOT is '/nowhere', but there is no such folder"):
        load_folder(write(ROOT="/nowhere"), "val")


def test_a_tile_without_any_raster_is_named(write, tmp_path):
    (tmp_path / "S1/sub/b_S1.tif").unlink()
    with pytest.raises(
        MissingFileError, match="1 of the 2 tiles .* have no file of any sensor: 'sub/b'; looked for .*S1/sub/b"
    ):
        load_folder(write(), "train")
