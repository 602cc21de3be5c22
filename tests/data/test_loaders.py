import itertools
import logging
import os
import pickle
import shutil

import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.samplers import TrainingSampler
from torch._utils import ExceptionWrapper

from imrsf_d2.data.datasets.dfc2023 import register_dfc2023
from imrsf_d2.data.loaders import build_test_loader, build_train_loader
from imrsf_d2.geo.rasters import RasterError
from tests.raster_files import TILES


@pytest.fixture
def names(dfc2023):
    """Registered train and val splits of the tiny dataset."""
    names = {split: f"tiny_{split}" for split in ("train", "val")}
    for split, name in names.items():
        register_dfc2023(name, dfc2023, split)
    yield names
    for name in names.values():
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


def batches(cfg, count, **arguments):
    return list(itertools.islice(build_train_loader(cfg, **arguments), count))


def assert_same(first, second):
    assert len(first) == len(second)
    for a, b in zip(itertools.chain(*first), itertools.chain(*second)):
        assert a["image_id"] == b["image_id"] and a["modalities"] == b["modalities"]
        assert torch.equal(a["image"], b["image"])
        assert torch.equal(a["instances"].gt_masks, b["instances"].gt_masks)


# Training


def test_every_sample_comes_once_per_epoch(make_config, names):
    cfg = make_config(DATASETS__TRAIN=(names["train"],), SOLVER__IMS_PER_BATCH=3)
    for batch in batches(cfg, 4):
        assert sorted(sample["image_id"] for sample in batch) == [10, 11, 12]


def test_any_number_of_workers_gives_the_same_batches(make_config, names):
    cfg = make_config(DATASETS__TRAIN=(names["train"],))
    cfg_workers = make_config(DATASETS__TRAIN=(names["train"],), DATALOADER__NUM_WORKERS=2)
    assert_same(batches(cfg, 7), batches(cfg_workers, 7))


@pytest.mark.parametrize("workers", [0, 2])
def test_resumed_equals_uninterrupted(make_config, names, workers):
    cfg = make_config(DATASETS__TRAIN=(names["train"],), DATALOADER__NUM_WORKERS=workers)
    assert_same(batches(cfg, 4, start_draw=3 * 2), batches(cfg, 7)[3:])


def test_a_sample_changes_from_epoch_to_epoch(make_config, names):
    cfg = make_config(DATASETS__TRAIN=(names["train"],))
    samples = [sample for batch in batches(cfg, 24) for sample in batch]
    views = {sample["image"].numpy().tobytes() for sample in samples if sample["image_id"] == 10}
    assert len(views) > 8


def test_seeds_differ(make_config, names):
    first, second = (batches(make_config(DATASETS__TRAIN=(names["train"],), SEED=seed), 6) for seed in (0, 1))
    assert [s["modalities"] for b in first for s in b] != [s["modalities"] for b in second for s in b]


def test_a_negative_seed_is_replaced_and_logged(make_config, names, caplog):
    cfg = make_config(DATASETS__TRAIN=(names["train"],), SEED=-1)
    with caplog.at_level(logging.INFO):
        first = batches(cfg, 3)
    seed = next(int(r.args[0]) for r in caplog.records if "SEED is negative" in r.msg)
    assert_same(first, batches(make_config(DATASETS__TRAIN=(names["train"],), SEED=seed), 3))


@pytest.mark.parametrize("keep_empty", [True, False])
def test_empty_images_are_kept_unless_the_config_says_so(make_config, names, keep_empty):
    cfg = make_config(DATASETS__TRAIN=(names["val"],), DATALOADER__FILTER_EMPTY_ANNOTATIONS=not keep_empty)
    ids = {sample["image_id"] for batch in batches(cfg, 4) for sample in batch}
    assert ids == ({13, 14} if keep_empty else {13})


def test_tiles_without_the_models_sensors_are_not_trained_on(make_config, names):
    tiles = DatasetCatalog.get(names["train"])
    os.remove(tiles[0]["modalities"]["sar"])
    sar = {"MODEL__IMRSF__MODALITIES": [{"NAME": "sar", "CHANNELS": 1}]}
    cfg = make_config(DATASETS__TRAIN=(names["train"],), DATASETS__TEST=(names["train"],), **sar)
    trained = {sample["image_id"] for batch in batches(cfg, 8) for sample in batch}
    assert trained == {tile["image_id"] for tile in tiles[1:]}
    assert [batch[0]["modalities"] for batch in build_test_loader(cfg, names["train"])] == [(), ("sar",), ("sar",)]


def test_no_training_set_is_an_error(make_config):
    with pytest.raises(ValueError, match=r"DATASETS\.TRAIN is empty, expected the name of a registered dataset"):
        build_train_loader(make_config())


def test_another_sampler_is_refused(make_config, names):
    cfg = make_config(DATASETS__TRAIN=(names["train"],), DATALOADER__SAMPLER_TRAIN="RepeatFactorTrainingSampler")
    with pytest.raises(ValueError, match="SAMPLER_TRAIN is 'RepeatFactorTrainingSampler', expected 'TrainingSampler'"):
        build_train_loader(cfg)


def test_modalities_that_the_data_does_not_have(make_config, names):
    optical = {"NAME": "optical", "CHANNELS": 3}
    with pytest.raises(ValueError, match=r"no sample of \['tiny_train'\] has any of .*\['optical'\]; found .*'rgb': 3"):
        build_train_loader(make_config(DATASETS__TRAIN=(names["train"],), MODEL__IMRSF__MODALITIES=[optical]))
    misspelled = {"MODEL__IMRSF__MODALITIES": [optical, {"NAME": "sar", "CHANNELS": 1}]}
    message = (
        r"no sample of \['tiny_{}'\] has the modality 'optical', while the model does not know the dataset's 'dsm', "
        r"'rgb': the model has \['optical', 'sar'\], the dataset \['dsm', 'rgb', 'sar'\]"
    )
    with pytest.raises(ValueError, match=message.format("train")):
        build_train_loader(make_config(DATASETS__TRAIN=(names["train"],), **misspelled))
    with pytest.raises(ValueError, match=message.format("val")):
        build_test_loader(make_config(**misspelled), names["val"])


def test_a_sensor_that_no_sample_has_is_said(make_config, names, dfc2023, caplog):
    shutil.rmtree(dfc2023 / "track2" / "train" / "dsm")
    build_train_loader(make_config(DATASETS__TRAIN=(names["train"],)))
    assert "has the modality 'dsm'; the dataset has ['rgb', 'sar']" in caplog.text


def test_an_unreadable_sample_stops_training_with_its_name(make_config, names, dfc2023):
    for modality in ("rgb", "sar", "dsm"):
        for tile in TILES:
            (dfc2023 / "track2" / "train" / modality / tile).write_bytes(b"II*\0")
    with pytest.raises(RasterError, match=r"image 1[012]: every modality is unreadable"):
        batches(make_config(DATASETS__TRAIN=(names["train"],)), 1)


def test_the_error_survives_the_way_out_of_a_worker_process():
    try:
        raise RasterError("cannot read a.tif", "a.tif", "cut off")
    except RasterError:
        wrapped = ExceptionWrapper(where="in DataLoader worker process 0")  # what torch sends instead of the error
    with pytest.raises(RasterError, match=r"worker process 0(.|\n)*cannot read a\.tif"):
        pickle.loads(pickle.dumps(wrapped)).reraise()


def read_ids(cfg, count=8):
    return [sample["image_id"] for batch in batches(cfg, count) for sample in batch]


def test_a_share_is_a_fixed_choice_whatever_the_seed(make_config, names):
    # Worked by hand: default_rng(0).permutation(3) is [2, 0, 1], and the tiles are 10, 11 and 12.
    for share, expected in ((0.01, {12}), (0.34, {10, 12}), (2 / 3, {10, 12}), (0.67, {10, 11, 12})):
        for seed in (0, 5):
            cfg = make_config(DATASETS__TRAIN=(names["train"],), DATALOADER__TRAIN_SHARE=share, SEED=seed)
            assert set(read_ids(cfg)) == expected


def test_the_whole_share_is_the_stream_without_one(make_config, names):
    cfg = make_config(DATASETS__TRAIN=(names["train"],))
    assert cfg.DATALOADER.TRAIN_SHARE == 1.0
    stream = itertools.islice(TrainingSampler(3, seed=cfg.SEED), 16)
    assert read_ids(cfg) == [10 + index for index in stream]


def test_a_share_is_logged_and_leaves_test_sets_alone(make_config, names, monkeypatch):
    lines = []
    monkeypatch.setattr("imrsf_d2.data.loaders.logger.info", lambda line, *values: lines.append(line % values))
    cfg = make_config(DATASETS__TRAIN=(names["train"],), DATALOADER__TRAIN_SHARE=0.5)
    build_train_loader(cfg)
    assert "DATALOADER.TRAIN_SHARE 0.5: training on 2 of the 3 samples." in lines
    assert len(list(build_test_loader(cfg, names["val"]))) == 2


@pytest.mark.parametrize("share", [0.0, -0.5, 1.5])
def test_a_share_of_nothing_or_of_more_than_everything_is_refused(make_config, share):
    with pytest.raises(ValueError, match=f"TRAIN_SHARE is {share}, expected a share above 0 and up to 1"):
        make_config(DATALOADER__TRAIN_SHARE=share)


# Testing


def test_the_test_loader_gives_every_sample_once_in_order(make_config, names):
    loader = build_test_loader(make_config(), names["val"])
    assert [[sample["image_id"] for sample in batch] for batch in loader] == [[13], [14]]


def test_the_test_loader_takes_a_subset(make_config, names):
    cfg = make_config(INPUT__TEST_MODALITIES=["dsm"])
    chosen = build_test_loader(cfg, names["val"], modalities=["rgb", "sar"])
    assert {sample["modalities"] for (sample,) in chosen} == {("sar", "rgb")}
    assert {sample["modalities"] for (sample,) in build_test_loader(cfg, names["val"])} == {("dsm",)}
    with pytest.raises(ValueError, match="the test loader's modalities names the unknown modality 'lidar'"):
        build_test_loader(cfg, names["val"], modalities=["lidar"])
