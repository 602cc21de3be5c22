"""Panoptic labels: from a COCO file and its PNGs to dataset dicts, class maps and training targets; what is wrong is named."""

import re

import numpy as np
import pytest
import torch
from detectron2.data import MetadataCatalog

from imrsf_d2.data.check.examination import examine
from imrsf_d2.data.check.plan import plan_of_names
from imrsf_d2.data.dataset_yaml import read_dataset_file, write_dataset_file
from imrsf_d2.data.datasets.folder import load_folder, register_folder
from imrsf_d2.data.geometry import Geometry
from imrsf_d2.data.labels import semantic_truth
from imrsf_d2.data.mappers import build_mapper
from imrsf_d2.data.panoptic import colors_of_ids, ids_of_colors, read_segments
from imrsf_d2.utils.errors import UserError
from tests.panoptic_files import CLASSES, IDS, save_png, write_panoptic_folder

LAND, WATER, SHIP = range(3)
#: What IDS is as classes.
LABELS = np.select([IDS == 3, IDS == 70_000, IDS > 0], [LAND, WATER, SHIP], 255)


@pytest.fixture
def samples(tmp_path, write_raster):
    """Loads a folder, changed as told."""
    return lambda **changes: load_folder(read_dataset_file(write_panoptic_folder(tmp_path, write_raster, **changes)), "val")


def test_ids_are_colors_as_in_the_format():
    ids = np.array([[0, 1, 255], [256, 65_536, 2**24 - 1]])
    colors = colors_of_ids(ids)
    assert colors.dtype == np.uint8 and colors[:, 1, 0].tolist() == [0, 1, 0] and colors[:, 1, 1].tolist() == [0, 0, 1]
    np.testing.assert_array_equal(ids_of_colors(colors), ids)


def test_a_folder_becomes_dicts_and_metadata_as_detectron2_and_mask2former_expect(samples, tmp_path):
    first, second = samples()
    assert (first["pan_seg_file_name"], second["image_id"], second["tile"]) == (f"{tmp_path}/png/1.png", 2, "b")
    assert first["segments_info"][2] == {"id": 256, "category_id": SHIP, "iscrowd": 0, "isthing": True}
    np.testing.assert_array_equal(semantic_truth(first), LABELS)
    name = f"{tmp_path}/dataset.yaml:val"
    file = register_folder(name)
    metadata = MetadataCatalog.get(name)
    assert metadata.thing_dataset_id_to_contiguous_id == {3: SHIP}
    assert metadata.stuff_dataset_id_to_contiguous_id == {1: LAND, 2: WATER}
    assert metadata.thing_classes == metadata.stuff_classes == [label["NAME"] for label in CLASSES]
    assert (metadata.panoptic_json, metadata.panoptic_root) == (f"{tmp_path}/val.json", f"{tmp_path}/png")
    write_dataset_file(file)
    assert read_dataset_file(file.path) == file


def test_stuff_of_one_class_is_one_segment_whatever_its_categories(samples):
    classes = [{"NAME": "ground", "CODES": [1, 2]}, {"NAME": "ship", "CODES": [3], "THING": True}]
    ids, segments = read_segments(samples(CLASSES=classes)[0])
    assert [(one["id"], one["category_id"]) for one in segments] == [(3, 0), (256, 1), (65_536, 1)]
    np.testing.assert_array_equal(ids, np.where(IDS == 70_000, 3, IDS))


def test_training_targets_are_the_segments_of_the_window(samples, make_config):
    sample = samples(change=lambda coco: coco["annotations"][0]["segments_info"][3].update(iscrowd=1))[0]
    mapper = build_mapper(make_config(INPUT__DATASET_MAPPER_NAME="imrsf_panoptic"), True)
    # Three columns, of which the ship has two; the second ship is a crowd. Twice as large, turned and mirrored.
    geometry = Geometry(top=1, left=2, height=6, width=4, turns=1, mirror=True, resized=(12, 8))
    instances = mapper.targets(sample, geometry)["instances"]
    wanted = IDS[1:7, 2:6].repeat(2, 0).repeat(2, 1)
    wanted = np.rot90(wanted, 1)[:, ::-1]
    assert instances.gt_classes.tolist() == [LAND, WATER, SHIP] and instances.gt_masks.dtype == torch.bool
    np.testing.assert_array_equal(instances.gt_masks.numpy(), [wanted == number for number in (3, 70_000, 256)])
    # Beyond the edge of the tile there is nothing, and a sliver of 2 px is no ship.
    corner = mapper.targets(sample, Geometry(top=4, left=5, height=9, width=9))["instances"]
    assert corner.gt_classes.tolist() == [WATER] and corner.gt_masks.sum() == (IDS[4:, 5:] == 70_000).sum()


def test_a_thing_that_is_small_by_itself_is_learned(samples, make_config, monkeypatch):
    sample = samples()[0]
    small = np.where(IDS == 256, 70_000, IDS)
    small[0, 0:2] = 256
    monkeypatch.setattr("imrsf_d2.data.mappers.read_segments", lambda _: (small, sample["segments_info"]))
    mapper = build_mapper(make_config(INPUT__DATASET_MAPPER_NAME="imrsf_panoptic"), True)
    whole, cut = (mapper.targets(sample, Geometry(0, left, *IDS.shape))["instances"] for left in (0, 1))
    assert SHIP in whole.gt_classes and whole.gt_masks[whole.gt_classes == SHIP].sum(dim=(1, 2)).min() == 2
    assert (cut.gt_classes == SHIP).sum() == (whole.gt_classes == SHIP).sum() - 1


def change(path, value):
    """A change of one place in a COCO file."""

    def apply(coco):
        *parents, last = path
        for key in parents:
            coco = coco[key]
        coco[last] = value

    return apply


SEGMENT = ("annotations", 0, "segments_info", 0)
BAD_FILES = {
    "category": (
        change((*SEGMENT, "category_id"), 9),
        "'a.tif': segment 3 has the category_id 9, expected one of [1, 2, 3]",
    ),
    "id": (change((*SEGMENT, "id"), 2**24), "a segment with the id 16777216, expected a whole number from 1 to 16777215"),
    "twice": (change((*SEGMENT, "id"), 256), "'a.tif' has the segment 256 twice, expected each id once"),
    "thing": (
        change(("categories", 2, "isthing"), 0),
        "category 3 (ship) has isthing 0, expected 1: THING of this class is true",
    ),
    "none": (
        lambda coco: coco["annotations"].pop(),
        "1 of the 2 images have no annotation, e.g. 'b.tif', expected one for each",
    ),
    "image": (change(("annotations", 0, "image_id"), 7), "belongs to image 7, expected an id of the file's 2 images"),
    "several": (change(("annotations", 0, "image_id"), 2), "image 2 has several annotations"),
    "instances": (
        lambda coco: coco["annotations"][0].pop("segments_info"),
        "no list 'segments_info', expected a COCO panoptic",
    ),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_what_is_wrong_with_a_coco_file_is_named(samples, case):
    apply, message = BAD_FILES[case]
    with pytest.raises(UserError, match=re.escape(message)):
        samples(change=apply)


def gray(path):
    from PIL import Image

    Image.fromarray(IDS.astype(np.uint8)).save(path)


BAD_PNGS = {
    "unknown": (
        lambda path: save_png(path, IDS + (IDS == 256)),
        "png/1.png has pixels with the ids 257, which are no segments of image 1",
    ),
    "unmarked": (
        lambda path: save_png(path, np.where(IDS == 256, 3, IDS)),
        "image 1 has the segments 256 without a pixel in ",
    ),
    "size": (lambda path: save_png(path, IDS[:, 1:]), "png/1.png are 9 x 8 px, expected 10 x 8 px like image 1"),
    "gray": (gray, "png/1.png has 1 bands of uint8, expected a panoptic PNG: three bands of uint8"),
    "broken": (lambda path: path.write_bytes(path.read_bytes()[:60]), "png/1.png"),
    "gone": (lambda path: path.unlink(), "png/1.png"),
}


@pytest.mark.parametrize("case", BAD_PNGS)
def test_what_is_wrong_with_a_png_is_named_and_listed_by_the_check(samples, tmp_path, case):
    spoil, message = BAD_PNGS[case]
    sample = samples()[0]
    spoil(tmp_path / "png/1.png")
    with pytest.raises(UserError, match=re.escape(message)):
        read_segments(sample)
    groups = examine(plan_of_names([f"{tmp_path}/dataset.yaml:val"], None), num_workers=1).groups
    (found,) = [one for group in groups if group.kind.is_problem for one in group.findings]
    assert found.file.endswith("png/1.png") and message in found.found


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"LABELS": "png/{tile}.png"}, "LABELS is 'png/{tile}.png', expected the folder of the panoptic PNGs"),
        ({"SPLITS": {"val": ["a"]}}, "SPLITS: 'val' is no COCO file (.json), expected one for TASK: panoptic"),
        ({"CLASSES": [{"NAME": "land", "THING": "yes"}]}, "CLASSES: 'land': THING is 'yes', expected true or false"),
        ({"TASK": "instance", "LABELS": None}, "CLASSES: 'ship' has THING together with TASK: instance"),
    ],
)
def test_what_is_wrong_with_a_dataset_yaml_is_named(tmp_path, write_raster, keys, message):
    with pytest.raises(UserError, match=re.escape(message)):
        read_dataset_file(write_panoptic_folder(tmp_path, write_raster, **keys))
