import json
import shutil

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from pycocotools import mask as coco_mask

from imrsf_d2.data.datasets.dfc2023 import CITIES, TRAIN_CITIES, VAL_CITIES, city_of, load_dfc2023, register_dfc2023
from tests.raster_files import SIZE, TILES, annotation, write_dfc2023_files

# Long and short runs in turn: the compressed form holds differences, of both signs.
RUNS = {"size": [SIZE, SIZE], "counts": [40, 3, 100, 20, 50, 2, SIZE * SIZE - 215]}
COMPRESSED = coco_mask.frPyObjects(RUNS, SIZE, SIZE)["counts"].decode()


@pytest.fixture
def registered(dfc2023):
    names = []

    def register(name, root=dfc2023, split="train"):
        register_dfc2023(name, root, split)
        names.append(name)

    yield register
    for name in names:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


def test_the_split_is_disjoint_and_covers_all_labeled_cities():
    assert not set(TRAIN_CITIES) & set(VAL_CITIES)
    assert len(CITIES) == 11 and set(CITIES) == set(TRAIN_CITIES) | set(VAL_CITIES)


@pytest.mark.parametrize(
    ("name", "city"),
    [
        ("SV_Berlin_52.5_13.4.tif", "Berlin"),
        ("GF2_NewYork_40.71_-73.95.tif", "NewYork"),
        ("GF2_new_york_40_-74.tif", "NewYork"),
        ("SV_New-Delhi_28.6_77.2.tif", "NewDelhi"),
        ("SV_S\u00e3oLuis_-2.5_-44.2.tif", "SaoLuis"),
        ("SV_Rio_-22.9_-43.2.TIF", "Rio"),
        ("GF2_RioDeJaneiro_-22.9_-43.2.tif", "Rio"),
        ("rgb/SV_SanDiego_32.7_-117.1.tif", "SanDiego"),
    ],
)
def test_city_from_the_file_name(name, city):
    assert city_of(name) == city


@pytest.mark.parametrize("name", ["P_0001.tif", "SV_Paris_48.8_2.3.tif", "tile.tif"])
def test_an_unknown_city_is_named_with_the_known_ones(name):
    with pytest.raises(ValueError, match=rf"{name}.*Barcelona, Berlin, .*Sydney"):
        city_of(name)


def test_train_and_val_share_the_file_by_city(dfc2023):
    train, val = load_dfc2023(dfc2023, "train"), load_dfc2023(dfc2023, "val")
    assert [s["image_id"] for s in train] == [10, 11, 12]
    assert [s["city"] for s in train] == ["Berlin", "NewYork", "SaoLuis"]
    assert [s["image_id"] for s in val] == [13, 14] and [s["city"] for s in val] == ["Rio", "Sydney"]
    assert [s["image_id"] for s in load_dfc2023(dfc2023, "all")] == [10, 11, 12, 13, 14]


def test_a_sample_is_what_detectron2_expects(dfc2023):
    sample = load_dfc2023(dfc2023, "train")[0]
    folder = dfc2023 / "track2" / "train"
    assert sample["modalities"] == {m: str(folder / m / TILES[0]) for m in ("rgb", "sar", "dsm")}
    assert sample["file_name"] == sample["modalities"]["rgb"]
    assert (sample["height"], sample["width"], sample["image_id"]) == (SIZE, SIZE, 10)
    assert [a["category_id"] for a in sample["annotations"]] == [0, 0]
    assert all({"bbox", "bbox_mode", "iscrowd"} <= set(a) for a in sample["annotations"])


def test_folders_in_the_labels_do_not_matter(dfc2023, edit_labels):
    edit_labels(
        dfc2023, lambda data: [image.update(file_name=f"train/rgb/{image['file_name']}") for image in data["images"]]
    )
    assert load_dfc2023(dfc2023, "train")[0]["modalities"]["sar"] == str(dfc2023 / "track2" / "train" / "sar" / TILES[0])


def test_images_without_annotations_stay_in(dfc2023):
    assert load_dfc2023(dfc2023, "val")[-1]["annotations"] == []


def test_every_form_of_segmentation_is_kept_intact(dfc2023, edit_labels):
    forms = [
        [[0, 0, 4, 0, 4, 4]],
        [[0, 0, 4, 0, 4, 4], [8, 8, 12, 8, 12, 12]],
        RUNS,
        {"size": [SIZE, SIZE], "counts": COMPRESSED},
    ]
    edit_labels(
        dfc2023,
        lambda data: data.update(annotations=[annotation(i, 10, segmentation) for i, segmentation in enumerate(forms)]),
    )
    assert [a["segmentation"] for a in load_dfc2023(dfc2023, "train")[0]["annotations"]] == forms


def test_the_official_layout_is_accepted_too(tmp_path):
    root = write_dfc2023_files(tmp_path, dsm="height", labels="annotations/buildings_only_train.json")
    assert load_dfc2023(root, "train")[0]["modalities"]["dsm"] == str(root / "track2" / "train" / "height" / TILES[0])


def test_a_missing_raster_is_a_missing_sensor(dfc2023):
    (dfc2023 / "track2" / "train" / "rgb" / TILES[0]).unlink()
    shutil.rmtree(dfc2023 / "track2" / "train" / "dsm")
    first, second, _ = load_dfc2023(dfc2023, "train")
    sar = str(dfc2023 / "track2" / "train" / "sar" / TILES[0])
    assert first["modalities"] == {"rgb": None, "sar": sar, "dsm": None} and first["file_name"] == sar
    assert second["modalities"]["rgb"] is not None


def test_an_image_without_any_raster_is_an_error(dfc2023):
    for modality in ("rgb", "sar", "dsm"):
        (dfc2023 / "track2" / "train" / modality / TILES[1]).unlink()
    with pytest.raises(FileNotFoundError, match=rf"1 of 3 images have no raster.*'{TILES[1]}'; looked in .*rgb, .*sar"):
        load_dfc2023(dfc2023, "train")


def test_a_missing_folder_says_where_it_was_looked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path / "nowhere"))
    with pytest.raises(
        FileNotFoundError,
        match=r"nowhere/dfc2023/track2/train, expected the folders rgb, sar and dsm.*"
        r"\$DETECTRON2_DATASETS is .*nowhere",
    ):
        load_dfc2023(None, "train")


def test_missing_labels_name_both_places(dfc2023):
    (dfc2023 / "track2" / "buildings_only_train.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"track2/buildings_only_train\.json nor .*/annotations/buildings_only"):
        load_dfc2023(dfc2023, "train")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"images": [', r"is not JSON \(.*line 1"),
        ("[]", "has no list 'images', expected a COCO file"),
        ('{"images": []}', "has no list 'annotations'"),
        ('{"images": [], "annotations": []}', "has no list 'categories'"),
        ('{"images": [], "annotations": [], "categories": []}', "has no images, expected at least one"),
        ('{"images": [{"id": 1, "file_name": "a.tif"}], "annotations": [], "categories": []}', "'a.tif' has no 'height'"),
        (
            '{"images": [{"id": 1, "file_name": "a.tif", "height": 8, "width": 8}], "annotations": [{"image_id": 1}], '
            '"categories": []}',
            "an annotation of image 1 has no 'id'",
        ),
        ('{"images": ["a.tif"], "annotations": [], "categories": []}', "has the image 'a.tif', expected an object"),
        (
            '{"images": [{"id": 1, "file_name": "a.tif", "height": 8, "width": 8}], "annotations": [[1]], "categories": []}',
            r"the file has the annotation \[1\], expected an object",
        ),
    ],
    ids=[
        "cut off",
        "a list",
        "no annotations",
        "no categories",
        "no images",
        "no size",
        "no annotation id",
        "an image that is text",
        "an annotation that is a list",
    ],
)
def test_an_unusable_label_file_is_named(dfc2023, content, message):
    (dfc2023 / "track2" / "buildings_only_train.json").write_text(content)
    with pytest.raises(ValueError, match=rf"buildings_only_train\.json.*{message}"):
        load_dfc2023(dfc2023, "train")


def test_repeated_image_ids_are_an_error(dfc2023, edit_labels):
    edit_labels(dfc2023, lambda data: data["images"][1].update(id=10))
    with pytest.raises(ValueError, match=rf"'{TILES[0]}' and '{TILES[1]}' have the same image id 10"):
        load_dfc2023(dfc2023, "train")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": [1]}, rf"image '{TILES[0]}' has id \[1\], expected a number"),
        ({"id": None}, f"image '{TILES[0]}' has id None, expected a number"),
        ({"file_name": None}, "image 10 has file_name None, expected the name of a raster"),
        ({"file_name": ""}, "image 10 has file_name '', expected the name of a raster"),
        ({"height": "32"}, f"image '{TILES[0]}' has height '32', expected a whole number above 0"),
        ({"width": 32.5}, "has width 32.5, expected a whole number above 0"),
        ({"width": 0}, "has width 0, expected a whole number above 0"),
        ({"height": None}, "has height None, expected a whole number above 0"),
        ({"height": True}, "has height True, expected a whole number above 0"),
        ({"height": 2**32}, r"has height and width \(4294967296, 32\), expected at most 4294967295 px in all"),
    ],
)
def test_an_unusable_image_is_named(dfc2023, edit_labels, change, message):
    edit_labels(dfc2023, lambda data: data["images"][0].update(change))
    with pytest.raises(ValueError, match=rf"buildings_only_train\.json: .*{message}"):
        load_dfc2023(dfc2023, "train")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": [1]}, r"annotation \[1\] has id \[1\], expected a number"),
        ({"category_id": [1]}, r"has category_id \[1\], expected one of \[1\]"),
        ({"category_id": "1"}, r"has category_id '1', expected one of \[1\]"),
        ({"image_id": [10]}, r"annotation 1 belongs to image \[10\], expected one of the ids"),
        ({"image_id": {}}, r"annotation 1 belongs to image \{\}, expected one of the ids"),
        ({"iscrowd": None}, "has iscrowd None, expected 0 or 1"),
        ({"segmentation": {"size": [32, 32], "counts": ["5"]}}, "run lengths with '5', expected whole numbers of 0 or more"),
        ({"segmentation": {"size": [32, 32], "counts": [5, -2, 1021]}}, "run lengths with -2, expected whole numbers"),
        ({"segmentation": {"size": [32, 32], "counts": [1023.5, 0.5]}}, "run lengths with 1023.5, expected whole numbers"),
        ({"segmentation": {"size": [32, 32], "counts": 5}}, "run lengths 5, expected a list of numbers"),
        ({"segmentation": {"size": [32, 32], "counts": "\u00e9"}}, "run lengths that cannot be read"),
        ({"segmentation": {"size": "32", "counts": [1024]}}, "an RLE of size 32, expected"),
        ({"segmentation": "0"}, "unusable segmentation: '0', expected polygons"),
        ({"segmentation": [["1", "1", "2", "2", "3", "1"]]}, "expected finite numbers"),
        ({"segmentation": [[1, 1, 2, 2, 3, 10**400]]}, "expected finite numbers"),
        ({"category_id": 7}, rf"annotation 1 of '{TILES[0]}' has category_id 7, expected one of \[1\]"),
        ({"image_id": 99}, "annotation 1 belongs to image 99, expected one of the ids of the file's 5 images"),
        ({"segmentation": []}, r"unusable segmentation: \[\], expected polygons"),
        ({"segmentation": None}, "unusable segmentation: None, expected polygons"),
        ({"segmentation": [[1, 1, 2, 2]]}, r"polygons of \[4\] numbers, expected x, y of three or more points in one"),
        ({"segmentation": [[1, 1, 2, 2, 3]]}, "a polygon of 5 numbers, expected x, y of three or more points"),
        ({"segmentation": [[1, 1, 2, 2, 3, float("nan")]]}, "expected finite numbers"),
        ({"segmentation": {"size": [8, 8], "counts": [64]}}, r"size \[8, 8\], expected \[height, width\] = \[32, 32\]"),
        ({"segmentation": {"size": [32, 32], "counts": [5, 5]}}, "add up to 10, expected height x width = 1024"),
        ({"segmentation": {"size": [32, 32], "counts": "0"}}, "add up to 0, expected height x width = 1024"),
        ({"segmentation": {"size": [32, 32], "counts": COMPRESSED[:-1]}}, "expected height x width = 1024"),
        ({"segmentation": {"size": [32, 32]}}, "add up to 0, expected height x width = 1024"),
    ],
)
def test_an_unusable_annotation_is_named(dfc2023, edit_labels, change, message):
    edit_labels(dfc2023, lambda data: data["annotations"][0].update(change))
    with pytest.raises(ValueError, match=rf"buildings_only_train\.json: .*{message}"):
        load_dfc2023(dfc2023, "train")


def test_an_empty_split_says_what_is_there(tmp_path):
    root = write_dfc2023_files(tmp_path, tiles=TILES[:3])
    with pytest.raises(
        ValueError,
        match="'val' of .* is empty: its cities are Copenhagen, Rio, Sydney, but .*: Berlin 1, NewYork 1, SaoLuis 1",
    ):
        load_dfc2023(root, "val")


def test_an_unknown_split_is_named(dfc2023):
    with pytest.raises(ValueError, match=r"split is 'test', expected one of \('train', 'val', 'all'\)"):
        load_dfc2023(dfc2023, "test")


def test_the_built_in_names_read_the_folder_of_the_moment(dfc2023, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(dfc2023.parent))
    assert len(DatasetCatalog.get("dfc2023_track2_train")) == 3
    assert len(DatasetCatalog.get("dfc2023_track2_val")) == 2
    labels = MetadataCatalog.get("dfc2023_track2_val").json_file
    assert labels == str(dfc2023 / "track2" / "buildings_only_train.json")


def test_a_copy_of_ones_own_can_be_registered_before_it_exists(registered, tmp_path):
    root = tmp_path / "later"
    registered("mine", root=root, split="val")
    write_dfc2023_files(root, labels="annotations/buildings_only_train.json")
    assert len(DatasetCatalog.get("mine")) == 2
    assert json.loads(open(MetadataCatalog.get("mine").json_file).read())["images"]


def test_metadata_is_there_without_reading_anything(registered, tmp_path):
    registered("mine", root=tmp_path / "nowhere")
    metadata = MetadataCatalog.get("mine")
    assert metadata.thing_classes == ["building"] and metadata.thing_dataset_id_to_contiguous_id == {1: 0}
    assert metadata.evaluator_type == "imrsf_instance"
    assert metadata.json_file == str(tmp_path / "nowhere" / "track2" / "buildings_only_train.json")
