"""SpaceNet 6 as it is downloaded: tiles of both splits, outlines on the map as masks, and what is wrong with a copy."""

import json
import logging
import shutil

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from rasterio.warp import transform

from imrsf_d2.data.datasets.spacenet6 import BOUNDARY_M, load_spacenet6
from imrsf_d2.data.labels import label_annotations
from imrsf_d2.data.mappers import build_mapper
from imrsf_d2.engine.configuration import load_config
from tests.spacenet6_files import NO_DATA_PX, RADAR_ALONE, SIZE, tile_name, write_outlines, write_spacenet6_files


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """Only to be read."""
    return write_spacenet6_files(tmp_path_factory.mktemp("spacenet6"))


@pytest.fixture
def root(release, tmp_path):
    return shutil.copytree(release, tmp_path / "copy")


def folder_of(root):
    return root / "train/AOI_11_Rotterdam"


def outline_file(root, number):
    return folder_of(root) / f"geojson_buildings/SN6_Train_AOI_11_Rotterdam_Buildings_{tile_name(number)}.geojson"


def image_file(root, layer, number):
    return folder_of(root) / layer / f"SN6_Train_AOI_11_Rotterdam_{layer}_{tile_name(number)}.tif"


def test_a_tile_belongs_to_one_side_of_the_boundary_or_to_none(release):
    splits = {split: [sample["image_id"] for sample in load_spacenet6(release, split)] for split in ("train", "val")}
    assert splits == {"train": [tile_name(n) for n in (1, 2, 3)], "val": [tile_name(n) for n in (5, 6)]}


def test_tiles_have_their_layers_and_those_without_buildings_stay(release):
    first, second, _ = load_spacenet6(release, "train")
    layers = {"sar": "SAR-Intensity", "rgbnir": "PS-RGBNIR", "pan": "PAN"}
    assert first["modalities"] == {name: str(image_file(release, layer, 1)) for name, layer in layers.items()}
    assert (first["height"], first["width"], first["file_name"]) == (SIZE, SIZE, first["modalities"]["sar"])
    assert second["annotations"] == [] and len(first["annotations"]) == 3
    assert load_spacenet6(release, "val")[1]["modalities"]["rgbnir"] is None


def expected_mask():
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[12:30, 10:26] = 1
    mask[34:56, 30:52] = 1
    mask[40:48, 38:46] = 0  # the court
    mask[4:20, 50:] = 1  # reaches beyond the tile
    return mask


def test_outlines_on_the_map_become_masks_with_courts_and_without_neighbors(release):
    sample = load_spacenet6(release, "val")[0]
    assert np.array_equal(label_annotations(sample["annotations"], SIZE, SIZE), expected_mask())


def test_longitudes_and_latitudes_of_a_plain_geojson_file_are_moved(root):
    def to_degrees(x, y):
        (longitude,), (latitude,) = transform("EPSG:32631", "EPSG:4326", [x], [y])
        return longitude, latitude

    write_outlines(outline_file(root, 5), 5, crs=None, to_map=to_degrees)
    sample = load_spacenet6(root, "val")[0]
    # Rounding may move an outline across the centers of some pixels.
    assert (label_annotations(sample["annotations"], SIZE, SIZE) != expected_mask()).mean() < 0.02


def test_zeros_are_no_data_in_both_sensors(release):
    cfg = load_config("spacenet6_instance", ["INPUT.CROP.ENABLED", "False"])
    image = build_mapper(cfg, is_train=False)(load_spacenet6(release, "train")[0])["image"].numpy()
    assert image.shape == (10, SIZE, SIZE)  # 4 + 4 bands and the validity of both
    assert image[8:, :, :-NO_DATA_PX].all() and not image[8:, :, -NO_DATA_PX:].any()


def test_what_a_copy_lacks_of_the_release_is_said(release, caplog):
    with caplog.at_level(logging.WARNING, "imrsf_d2.data.datasets.spacenet6"):
        load_spacenet6(release, "train")
    assert "tiles with outlines: 6, in the release: 3401" in caplog.text
    assert f"1 of 6 tiles have no PS-RGBNIR (rgbnir), the release has all: '{tile_name(RADAR_ALONE)}'" in caplog.text


def test_both_tasks_are_registered(root, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(root.parent))
    root.rename(root.parent / "spacenet6")
    for task, evaluator in (("", "imrsf_instance"), ("semantic_", "imrsf_semantic")):
        assert len(DatasetCatalog.get(f"spacenet6_{task}train")) == 3
        metadata = MetadataCatalog.get(f"spacenet6_{task}val")
        assert (metadata.evaluator_type, metadata.thing_classes) == (evaluator, ["building"])


def rewrite(number, change):
    def apply(root):
        path = outline_file(root, number)
        data = json.loads(path.read_text())
        change(data)
        path.write_text(json.dumps(data))

    return apply


def make_point(data):
    data["features"][0]["geometry"] = {"type": "Point", "coordinates": [BOUNDARY_M, 5749870]}


def remove_east(root):
    for number in (5, 6):
        outline_file(root, number).unlink()


@pytest.mark.parametrize(
    "change, error, message",
    [
        (lambda root: shutil.rmtree(folder_of(root)), FileNotFoundError, r"no outlines of buildings at .*geojson_buildings"),
        (
            lambda root: image_file(root, "SAR-Intensity", 6).unlink(),
            FileNotFoundError,
            "1 of 6 tiles with outlines have no image",
        ),
        (remove_east, ValueError, r"none of the 4 tiles in .* lies in the split 'val', east of 595310 m"),
        (
            lambda root: outline_file(root, 5).write_text('{"type": "Fea'),
            ValueError,
            r"outlines .*tile_5\.geojson cannot be read",
        ),
        (rewrite(5, make_point), ValueError, "are of the kinds Point, Polygon, expected polygons"),
        (rewrite(5, lambda data: data.pop("crs")), ValueError, r"have coordinates, \[595315\.0, .* does not have"),
    ],
)
def test_what_is_wrong_is_named(root, change, error, message):
    change(root)
    with pytest.raises(error, match=message):
        load_spacenet6(root, "val")


def test_a_tile_that_may_lie_anywhere_is_refused(root, write_raster):
    write_raster(image_file(root, "SAR-Intensity", 1), np.ones((4, SIZE, SIZE), np.float32))
    with pytest.raises(ValueError, match=f"the tile '{tile_name(1)}' has no place on the map"):
        load_spacenet6(root, "val")
