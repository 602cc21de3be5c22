"""Label maps from files and from footprints."""

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask

from imrsf_d2.data.label_codes import LabelCodes
from imrsf_d2.data.labels import IGNORE_LABEL, label_annotations, semantic_truth
from imrsf_d2.data.mappers import SemanticMapper, build_mapper
from imrsf_d2.geo.rasters import RasterError
from imrsf_d2.modalities import Modality, ModalitySet
from tests.raster_files import run_lengths


def sample(path, **changes):
    return {"file_name": "a.tif", "height": 2, "width": 3, "image_id": "Lyon_0_0", "sem_seg_file_name": str(path)} | changes


def test_a_label_file_is_taken_as_it_is(tmp_path, write_raster):
    labels = semantic_truth(sample(write_raster(tmp_path / "l.tif", np.array([[0, 1, 255], [6, 2, 0]], np.uint8))), 7)
    assert labels.dtype == np.uint8 and labels.tolist() == [[0, 1, 255], [6, 2, 0]]


def test_the_files_own_nodata_is_unlabeled(tmp_path, write_raster):
    path = write_raster(tmp_path / "l.tif", np.array([[-1, 1, 2], [3, -1, 0]], np.int16), nodata=-1)
    assert semantic_truth(sample(path)).tolist() == [[255, 1, 2], [3, 255, 0]]


def test_a_nodata_tag_of_nan_is_unlabeled(tmp_path, write_raster):
    labels = np.array([[np.nan, 1, 2], [3, np.nan, 0]], np.float32)
    path = write_raster(tmp_path / "l.tif", labels, nodata=np.nan)
    assert semantic_truth(sample(path), 4).tolist() == [[255, 1, 2], [3, 255, 0]]
    # Without the tag nobody says what NaN means.
    with pytest.raises(
        ValueError, match=r"untagged\.tif holds nan \(33.3% of the pixels\), expected class indices from 0 to 3"
    ):
        semantic_truth(sample(write_raster(tmp_path / "untagged.tif", labels)), 4)


def test_complex_labels_are_refused(tmp_path, write_raster):
    path = write_raster(tmp_path / "l.tif", np.ones((2, 3), np.complex64))
    with pytest.raises(ValueError, match=r"l\.tif holds complex numbers, expected class indices"):
        semantic_truth(sample(path), 4)


@pytest.mark.parametrize("value", [7, 200])
def test_a_label_that_is_no_class_names_file_and_value(tmp_path, write_raster, value):
    path = write_raster(tmp_path / "l.tif", np.array([[0, 1, value], [6, 2, 0]], np.uint8))
    with pytest.raises(
        ValueError, match=rf"l\.tif holds {value} \(16.7% of the pixels\), expected class indices from 0 to 6, or 255"
    ):
        semantic_truth(sample(path), 7)


def test_codes_of_the_dataset_become_classes(tmp_path, write_raster):
    codes = LabelCodes.of({"land": [0, 40], "water": [80]}, unlabeled=[-1])
    path = write_raster(tmp_path / "l.tif", np.array([[-1, 0, 40], [80, 7, 80]], np.int16), nodata=7)
    assert semantic_truth(sample(path, sem_seg_codes=codes), 2).tolist() == [[255, 0, 0], [1, 255, 1]]
    with pytest.raises(ValueError, match="the label code 80 of image 'Lyon_0_0' stands for class 1, .* from 0 to 0"):
        semantic_truth(sample(path, sem_seg_codes=codes), 1)


def test_labels_of_another_size(tmp_path, write_raster):
    path = write_raster(tmp_path / "l.tif", np.zeros((2, 2), np.uint8))
    with pytest.raises(ValueError, match=r"l\.tif are 2 x 2 px, expected 3 x 2 px like image 'Lyon_0_0'"):
        semantic_truth(sample(path))


def test_labels_that_cannot_be_read(tmp_path):
    with pytest.raises(RasterError, match=r"cannot read .*gone\.tif \(the labels\)"):
        semantic_truth(sample(tmp_path / "gone.tif"))


def test_footprints_of_every_form_become_buildings_and_courtyards_stay_open():
    ring = np.zeros((16, 16), np.uint8)
    ring[2:9, 2:9] = 1
    ring[4:7, 4:7] = 0
    compressed = coco_mask.encode(np.asfortranarray(np.eye(16, dtype=np.uint8)))
    annotations = [
        {"category_id": 0, "segmentation": {"size": [16, 16], "counts": run_lengths(ring)}},
        {"category_id": 0, "segmentation": [[10, 1, 14, 1, 14, 5, 10, 5]]},
        {"category_id": 0, "segmentation": {**compressed, "counts": compressed["counts"].decode()}},
    ]
    expected = ring | np.eye(16, dtype=np.uint8)
    expected[1:5, 10:14] = 1
    np.testing.assert_array_equal(label_annotations(annotations, 16, 16), expected)
    crowds = [{"category_id": c, "segmentation": [[0, 8, 16, 8, 16, 16, 0, 16]], "iscrowd": 1} for c in (0, 1)]
    expected[8:] = np.where(expected[8:], 1, IGNORE_LABEL)  # of any class
    np.testing.assert_array_equal(label_annotations([*crowds, *annotations], 16, 16), expected)
    assert not label_annotations([], 4, 5).any() and label_annotations([], 4, 5).shape == (4, 5)


@pytest.fixture
def mapper(tmp_path, write_raster):
    """A semantic mapper whose image is its labels, and a sample for it."""
    labels = np.random.default_rng(0).integers(0, 3, (20, 20)).astype(np.uint8)
    labels[3:6, 3:6] = IGNORE_LABEL
    band = write_raster(tmp_path / "image.tif", labels)
    data = sample(band, height=20, width=20, modalities={"map": str(band)})

    def build(**changes):
        modality = Modality("map", classes=4, nodata=IGNORE_LABEL)
        return SemanticMapper(ModalitySet([modality]), is_train=True, num_classes=4, **changes)

    return build, data, labels


@pytest.mark.parametrize("scale", [(1.0, 1.0), (0.4, 3.0)])
def test_labels_and_masks_move_with_the_pixels(mapper, scale):
    build, data, _ = mapper
    transform = build(crop=(12, 16), scale=scale)
    for draw in range(30):
        result = transform({**data, "draw": draw})
        labels, valid = result["sem_seg"], result["image"][1] > 0
        assert labels.dtype == torch.int64 and labels.shape == result["image"].shape[1:]
        assert torch.equal(labels != IGNORE_LABEL, valid)
        assert torch.equal(labels[valid].float(), result["image"][0][valid])
        instances = result["instances"]
        assert instances.gt_classes.tolist() == sorted(set(labels[valid].tolist()))
        for mask, label in zip(instances.gt_masks, instances.gt_classes):
            assert torch.equal(mask, labels == label)


def test_a_tile_without_labels_has_no_masks(tmp_path, write_raster, mapper):
    build, data, _ = mapper
    empty = write_raster(tmp_path / "none.tif", np.full((20, 20), 255, np.uint8))
    instances = build()({**data, "sem_seg_file_name": str(empty), "draw": 0})["instances"]
    assert instances.gt_masks.shape == (0, 20, 20) and len(instances.gt_classes) == 0


def test_dfc2023_footprints_are_rasterized_on_the_fly(make_config, dfc2023):
    from imrsf_d2.data.datasets.dfc2023 import load_dfc2023

    cfg = make_config(INPUT__DATASET_MAPPER_NAME="imrsf_semantic", MODEL__SEM_SEG_HEAD__NUM_CLASSES=2, INPUT__DIHEDRAL=False)
    tile = load_dfc2023(dfc2023, "train")[0]
    result = build_mapper(cfg, is_train=True)({**tile, "draw": 0})
    expected = torch.zeros(32, 32, dtype=torch.int64)
    expected[2:10, 2:12] = expected[20:26, 4:9] = 1
    assert torch.equal(result["sem_seg"], expected)
    assert result["instances"].gt_classes.tolist() == [0, 1]
    assert "sem_seg" not in build_mapper(cfg, is_train=False)(tile)
