"""The quadruplet layout: what is found, what is missing, and what is wrong with it."""

import json

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from imrsf_d2.data.datasets.quadruplets import load_quadruplets, register_quadruplets
from imrsf_d2.data.quadruplet_layout import LABELS, SENSORS, city_of, split_file

TILES = {"train": ["Lyon_0000_0001", "Saint_Malo_0002_0003"], "val": ["Perth_0000_0000"]}


@pytest.fixture
def root(tmp_path, write_raster):
    for split, tiles in TILES.items():
        split_file(tmp_path, split).parent.mkdir(exist_ok=True)
        split_file(tmp_path, split).write_text("# tiles\n" + "\n".join(tiles) + "\n\n")
        for tile in tiles:
            for folder in (*SENSORS, LABELS):
                write_raster(tmp_path / folder / f"{tile}.tif", np.ones((6, 8), np.uint8))
    return tmp_path


def test_tiles_are_found_with_their_sensors_and_labels(root):
    (root / "s2" / "Saint_Malo_0002_0003.tif").unlink()
    first, second = load_quadruplets(root, "train")
    assert first["modalities"] == {name: str(root / name / "Lyon_0000_0001.tif") for name in SENSORS}
    assert second["modalities"]["s2"] is None and second["city"] == "Saint_Malo"
    assert first["sem_seg_file_name"] == str(root / "labels" / "Lyon_0000_0001.tif")
    assert (first["height"], first["width"], first["image_id"]) == (6, 8, "Lyon_0000_0001")
    assert [sample["city"] for sample in load_quadruplets(root, "val")] == ["Perth"]


def test_a_registered_set_knows_its_seven_classes(root):
    register_quadruplets("quadruplets_test", root, "val")
    try:
        assert len(DatasetCatalog.get("quadruplets_test")) == 1
        metadata = MetadataCatalog.get("quadruplets_test")
        assert metadata.stuff_classes == ["urban fabric", "green urban", "roads", "cropland", "pastures", "trees", "water"]
        assert len(set(metadata.stuff_colors)) == 7 and metadata.evaluator_type == "imrsf_semantic"
    finally:
        DatasetCatalog.remove("quadruplets_test")
        MetadataCatalog.remove("quadruplets_test")


@pytest.fixture
def register(root):
    """Registers the validation tiles under a name, with or without a merge table; returns the metadata."""

    def run(**options):
        register_quadruplets("quadruplets_test", root, "val", **options)
        return MetadataCatalog.get("quadruplets_test")

    yield run
    DatasetCatalog.remove("quadruplets_test")
    MetadataCatalog.remove("quadruplets_test")


def mark(root, classes):
    (root / "prepared.json").write_text(json.dumps({"complete": True, "parameters": {"classes": classes}}))


def test_classes_are_those_that_the_tiles_were_made_with(root, register):
    mark(root, ["sea", "land", "water"])
    metadata = register()
    assert metadata.stuff_classes == ["sea", "land", "water"]
    assert len(set(metadata.stuff_colors)) == 3 and metadata.stuff_colors[0] == (65, 155, 223)


def test_tiles_made_after_the_registration_bring_their_classes(root, register):
    metadata = register()
    assert len(metadata.stuff_classes) == 7
    mark(root, ["sea", "land"])
    DatasetCatalog.get("quadruplets_test")
    assert metadata.stuff_classes == ["sea", "land"] and len(metadata.stuff_colors) == 2


def test_a_table_that_the_tiles_were_not_made_with_is_an_error(root, register, tmp_path):
    mark(root, ["sea", "land"])
    (tmp_path / "table.csv").write_text("code,class\n1,land\n2,sea\n")
    register(merge_table=tmp_path / "table.csv")
    with pytest.raises(
        ValueError,
        match=r"'quadruplets_test' was registered with the classes land, sea of .*table\.csv, but the "
        "tiles in .* were made with sea, land",
    ):
        DatasetCatalog.get("quadruplets_test")


@pytest.mark.parametrize("text", ["", "[1]", "{}", '{"parameters": {"classes": []}}', '{"parameters": {"classes": [1]}}'])
def test_an_unreadable_record_is_an_error_of_loading_alone(root, register, text):
    (root / "prepared.json").write_text(text)
    assert len(register().stuff_classes) == 7
    with pytest.raises(ValueError, match=r"prepared\.json (names no classes|has the classes)"):
        DatasetCatalog.get("quadruplets_test")


def remove(path):
    def change(root):
        (root / path).unlink()

    return change


def write(split, text):
    def change(root):
        split_file(root, split).write_text(text)

    return change


@pytest.mark.parametrize(
    "change, error, message",
    [
        (remove("splits/train.txt"), FileNotFoundError, r"no list of tiles at .*splits/train\.txt.*prepare_quadruplets\.py"),
        (
            remove("labels/Lyon_0000_0001.tif"),
            FileNotFoundError,
            r"1 of the 2 tiles that .*train\.txt lists have no labels: "
            r"'Lyon_0000_0001'; looked in .*labels\.",
        ),
        (write("train", "# nothing\n"), ValueError, r"train\.txt lists no tiles"),
        (write("train", "Lyon_0000_0001\nLyon_0000_0001\n"), ValueError, "lists 'Lyon_0000_0001' twice"),
        (
            write("train", "Lyon.tif\n"),
            ValueError,
            r"the tile name 'Lyon\.tif' is not of the form \{City\}_\{row\}_\{column\}",
        ),
        (write("val", "Lyon_0009_0009\n"), ValueError, r"train\.txt and .*val\.txt share the city 'Lyon'"),
    ],
)
def test_what_is_wrong_is_named(root, change, error, message):
    change(root)
    with pytest.raises(error, match=message):
        load_quadruplets(root, "train")


def test_a_tile_without_any_sensor_is_an_error(root):
    for name in SENSORS:
        (root / name / "Perth_0000_0000.tif").unlink()
    with pytest.raises(FileNotFoundError, match="no raster of any sensor: 'Perth_0000_0000'; looked in .*s1, .*dnw"):
        load_quadruplets(root, "val")


def test_an_unknown_split_is_named(root):
    with pytest.raises(ValueError, match=r"split is 'test', expected one of \('train', 'val'\)"):
        load_quadruplets(root, "test")


@pytest.mark.parametrize("tile, city", [("Lyon_0000_0001", "Lyon"), ("Saint_Malo_3_14", "Saint_Malo")])
def test_the_city_is_all_before_row_and_column(tile, city):
    assert city_of(tile) == city
