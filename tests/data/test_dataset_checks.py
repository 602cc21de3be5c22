"""What is found out about datasets before a training run or an evaluation starts."""

from pathlib import Path

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from rasterio.transform import from_origin

from imrsf_d2.data.dataset_checks import check_datasets, check_task
from imrsf_d2.data.loaders import build_test_loader, build_train_loader
from imrsf_d2.evaluation import build_evaluator
from imrsf_d2.geo import rasters

CLASSES = ["background", "building"]


@pytest.fixture
def land(tmp_path, write_raster, make_config):
    """A function that registers label maps [n, 8, 8] with a raster each under a name, and one that makes a config."""
    registered = []

    def register(name, labels, classes=CLASSES, **place):
        samples = []
        for number, array in enumerate(labels):
            paths = {
                sensor: write_raster(tmp_path / name / f"{sensor}_{number}.tif", np.ones((bands, 8, 8), np.float32))
                for sensor, bands in (("sar", 1), ("rgb", 3), ("dsm", 1))
            }
            truth = write_raster(tmp_path / name / f"labels_{number}.tif", array.astype(np.uint8), **place)
            samples.append(
                {
                    "file_name": f"{name}_{number}.tif",
                    "height": 8,
                    "width": 8,
                    "image_id": number,
                    "sem_seg_file_name": str(truth),
                    "modalities": {key: str(path) for key, path in paths.items()},
                }
            )
        DatasetCatalog.register(name, lambda: samples)
        MetadataCatalog.get(name).set(stuff_classes=classes, ignore_label=255, evaluator_type="imrsf_semantic")
        registered.append(name)
        return samples

    def config(**changes):
        return make_config(
            **{
                "INPUT__DATASET_MAPPER_NAME": "imrsf_semantic",
                "DATASETS__TRAIN": ("land_train",),
                "DATASETS__TEST": ("land_val",),
                "MODEL__SEM_SEG_HEAD__NUM_CLASSES": 2,
            }
            | changes
        )

    yield register, config
    for name in registered:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


def labels(*values, count=2):
    """Label maps of which each value fills as many rows."""
    return np.tile(np.repeat(values, 8 // len(values))[None, :, None], (count, 1, 8))


def test_another_ignore_label_than_that_of_training_is_named(land):
    register, config = land
    register("land_train", labels(0, 1))
    register("land_val", labels(0, 1))
    MetadataCatalog.remove("land_val")
    MetadataCatalog.get("land_val").set(stuff_classes=["sea", "land"], ignore_label=0, evaluator_type="imrsf_semantic")
    cfg = config()
    cfg.MODEL.META_ARCHITECTURE = "MaskFormer"
    with pytest.raises(ValueError, match="'land_val' has ignore_label 0 in its metadata, expected 255"):
        check_task(cfg, ["land_train", "land_val"])


def test_sound_datasets_are_no_news(land, caplog):
    register, config = land
    register("land_train", labels(0, 1))
    register("land_val", labels(0, 1))
    check_datasets(config(), training=True)
    assert not caplog.messages


def test_a_training_on_masks_of_0_and_255_is_warned_of_and_its_evaluation_refused(land, caplog):
    register, config = land
    register("land_train", labels(0, 255))
    val = register("land_val", labels(0, 1))
    check_datasets(config(), training=True)
    assert "land_train: in the 2 label maps, no pixel is labeled 'building'." in caplog.text
    assert "write 'building' as 1" in caplog.text
    for sample in val:
        sample["sem_seg_file_name"] = DatasetCatalog.get("land_train")[0]["sem_seg_file_name"]
    for training in (True, False):
        with pytest.raises(ValueError, match="all .* of 'land_val' are of the class 'background'.*masks of 0/255"):
            check_datasets(config(), training)
    caplog.clear()
    check_datasets(config(TEST__ALLOW_SINGLE_CLASS=True), training=False)
    assert "land_val: in the 2 label maps, no pixel is labeled 'building'" in caplog.text


def test_pre_training_needs_no_labels(land, caplog):
    register, config = land
    for name in ("land_train", "land_val"):
        for sample in register(name, labels(255)):
            Path(sample["sem_seg_file_name"]).unlink()
    check_datasets(config(INPUT__DATASET_MAPPER_NAME="imrsf_pretrain"), training=True)
    assert not caplog.messages


def test_files_that_are_trained_and_validated_on_are_counted_and_named(land, caplog):
    register, config = land
    train, val = register("land_train", labels(0, 1, count=3)), register("land_val", labels(0, 1, count=5))
    val[1]["sem_seg_file_name"] = train[0]["sem_seg_file_name"]
    val[3]["modalities"]["dsm"] = train[2]["modalities"]["dsm"]
    check_datasets(config(), training=True)
    (message,) = caplog.messages
    assert message.startswith("2 of the 5 images of land_val have a raster or label map that DATASETS.TRAIN (land_train)")
    assert "'land_val_1.tif', 'land_val_3.tif'" in message
    caplog.clear()
    check_datasets(config(), training=False)
    assert not caplog.messages


def test_objects_that_cannot_all_be_found_are_said_of_the_test_set_alone(land, caplog):
    register, config = land
    for name in ("land_train", "land_val"):
        for sample in register(name, labels(0)):
            sample["annotations"] = [{"category_id": 0}] * (3 - sample["image_id"])
        MetadataCatalog.remove(name)
        MetadataCatalog.get(name).set(thing_classes=["building"], evaluator_type="imrsf_instance")
    changes = {"INPUT__DATASET_MAPPER_NAME": "imrsf_instance", "TEST__DETECTIONS_PER_IMAGE": 2}
    check_datasets(config(**changes), training=True)
    (message,) = caplog.messages
    assert message.startswith(
        "1 of the 2 images of land_val hold more objects or segments (up to 3) than the model can find in one: 2 (TEST."
    )


def test_padding_is_said_with_its_share(land, caplog):
    register, config = land
    register("land_train", labels(0, 1))
    register("land_val", labels(0, 1))
    crop = {"INPUT__CROP__ENABLED": True, "INPUT__CROP__TYPE": "absolute", "INPUT__CROP__SIZE": [16, 32]}
    check_datasets(config(**crop), training=True)
    # 8 x 8 of 16 x 32 pixels hold something.
    assert caplog.messages == [
        "87.5% of the pixels that land_train trains on will be padding: its smallest image is "
        "8 x 8 px, INPUT.CROP.SIZE [height, width] is [16, 32]. Set it to the size of the images, or less."
    ]


def test_a_misspelled_sensor_and_lost_tiles_are_found_in_training_and_evaluation(land):
    register, config = land
    register("land_train", labels(0, 1))
    val = register("land_val", labels(0, 1))
    for sample in val:
        sample["modalities"]["ndsm"] = sample["modalities"].pop("dsm")
    for training in (True, False):
        with pytest.raises(ValueError, match=r"no sample of \['land_val'\] has the modality 'dsm', .* dataset's 'ndsm'"):
            check_datasets(config(), training)
    val[1]["modalities"] = {"dsm": None}
    with pytest.raises(FileNotFoundError, match=r"1 of the 2 images of \['land_val'\] have no file .*: 'land_val_1.tif'"):
        check_datasets(config(INPUT__TEST_MODALITIES=["dsm"]), training=False)


def test_labels_in_another_place_than_the_sensors_are_found(land, write_raster):
    register, config = land
    place = {"crs": "EPSG:32631", "transform": from_origin(500_000, 5_000_000, 10, 10)}
    register("land_train", labels(0, 1), **place)
    val = register("land_val", labels(0, 1), **place)
    elsewhere = {**place, "transform": from_origin(500_010, 5_000_000, 10, 10)}
    write_raster(Path(val[1]["modalities"]["rgb"]), np.ones((3, 8, 8), np.float32), **elsewhere)
    with pytest.raises(ValueError, match="image 1: 'rgb' .* lies elsewhere than 'labels'"):
        check_datasets(config(), training=False)
    check_datasets(config(INPUT__TEST_MODALITIES=["sar"]), training=False)
    check_datasets(config(INPUT__IGNORE_PLACES=True), training=True)
    check_datasets(config(INPUT__ALIGN=True), training=True)


def test_a_class_is_known_by_its_position_in_all_datasets_of_a_run(land):
    register, config = land
    register("land_train", labels(0, 1))
    register("land_val", labels(0, 1), classes=CLASSES[::-1])
    cfg = config()
    cfg.MODEL.META_ARCHITECTURE = "MaskFormer"
    with pytest.raises(
        ValueError,
        match="classes of the dataset 'land_val' are building, background, expected those of "
        "'land_train', background, building, in this order",
    ):
        check_datasets(cfg, training=True)
    cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = 7
    with pytest.raises(ValueError, match=r"NUM_CLASSES is 7, expected 2, the classes of the dataset 'land_val' \(building"):
        check_task(cfg, ["land_val"])


@pytest.mark.parametrize("wrong, training", [("land_train", True), ("land_val", True), ("land_val", False)])
def test_radar_in_decibels_is_refused_before_its_pixels_vanish(land, write_raster, wrong, training):
    register, config = land
    for name in ("land_train", "land_val"):
        for sample in register(name, labels(0, 1)):
            if name == wrong:
                write_raster(Path(sample["modalities"]["sar"]), np.full((8, 8), -8.0, np.float32))
    with pytest.raises(
        ValueError, match=r"modality 'sar' has TRANSFORM: db.* in 2 of 2 files .*: TRANSFORM: none and UNIT: dB in"
    ):
        check_datasets(config(), training)
    if not training:
        check_datasets(config(INPUT__TEST_MODALITIES=["rgb"]), training)


def test_a_sensor_that_is_not_read_at_test_time_is_not_looked_at(land, write_raster, caplog):
    register, config = land
    register("land_train", labels(0, 1), crs="EPSG:32631", transform=from_origin(500_000, 5_000_000, 10, 10))
    val = register("land_val", labels(0, 1), crs="EPSG:32631", transform=from_origin(500_000, 5_000_000, 10, 10))
    elsewhere = {"crs": "EPSG:32631", "transform": from_origin(900_000, 5_000_000, 10, 10)}
    for sample in val:  # in another unit and another place
        write_raster(Path(sample["modalities"]["dsm"]), np.full((8, 8), 1e4, np.float32), **elsewhere)
    for changes in ({"INPUT__ALIGN": True}, {"INPUT__IGNORE_PLACES": True}):
        check_datasets(config(INPUT__TEST_MODALITIES=["rgb"], **changes), training=False)
    assert not caplog.messages
    with pytest.raises(ValueError, match="2 of the 2 files of 'dsm' .* show nothing of their images' ground"):
        check_datasets(config(INPUT__ALIGN=True), training=False)
    assert "Modality 'dsm': in the 2 files looked at" in caplog.text


def test_one_window_of_a_file_serves_all_checks_of_its_values(land, monkeypatch):
    register, config = land
    register("land_train", labels(0, 1))
    register("land_val", labels(0, 1))
    read, real = [], rasters._read
    monkeypatch.setattr(rasters, "_read", lambda file, *args: read.append(file.name) or real(file, *args))
    check_datasets(config(), training=True)
    assert len(read) == len(set(read)) == 2 * 2 * 4  # three sensors and the labels of each of two samples


def test_a_run_loads_each_dataset_once(land):
    register, config = land
    loads = []
    for name in ("land_train", "land_val"):
        samples = register(name, labels(0, 1))
        DatasetCatalog.pop(name)
        DatasetCatalog.register(name, lambda name=name, samples=samples: loads.append(name) or samples)
    cfg = config()
    check_datasets(cfg, training=True)
    build_train_loader(cfg)
    for _ in range(2):
        build_test_loader(cfg, "land_val")
        build_evaluator(cfg, "land_val")
    assert sorted(loads) == ["land_train", "land_val"]
