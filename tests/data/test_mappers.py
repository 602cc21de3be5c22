import itertools
import logging
import os

import numpy as np
import pytest
import torch
from rasterio.transform import from_origin
from rasterio.windows import Window

from imrsf_d2.data.datasets.dfc2023 import load_dfc2023
from imrsf_d2.data.geometry import Geometry
from imrsf_d2.data.mappers import InstanceMapper, build_mapper
from imrsf_d2.data.masks import instance_masks
from imrsf_d2.geo.rasters import RasterError
from imrsf_d2.modalities import Modality, ModalitySet
from tests.raster_files import MODALITIES, SIZE, annotation, tile_arrays


@pytest.fixture
def sample(dfc2023):
    return load_dfc2023(dfc2023, "train")[0]


@pytest.fixture
def plain(make_config):
    """A training mapper that drops and turns nothing."""
    return build_mapper(make_config(INPUT__DIHEDRAL=False, INPUT__MODALITY_DROPOUT__ENABLED=False), is_train=True)


def truncate(path):
    with open(path, "r+b") as file:
        file.truncate(os.path.getsize(path) // 2)


# The mapper


def test_a_training_sample_has_the_tensors_that_maskformer_wants(plain, sample):
    result = plain({**sample, "draw": 0})
    arrays = tile_arrays(0)
    assert result["image"].shape == (8, SIZE, SIZE) and result["image"].dtype == torch.float32
    np.testing.assert_allclose(result["image"][0], np.clip(10 * np.log10(arrays["sar"]), -25, 12), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(result["image"][1:4], arrays["rgb"])
    np.testing.assert_array_equal(result["image"][4], arrays["dsm"])
    assert (result["image"][5:] == 1).all() and result["modalities"] == ("sar", "rgb", "dsm")
    instances = result["instances"]
    assert instances.image_size == (SIZE, SIZE)
    assert instances.gt_masks.dtype == torch.bool and instances.gt_masks.shape == (2, SIZE, SIZE)
    assert instances.gt_masks.sum((1, 2)).tolist() == [80, 30]
    assert instances.gt_classes.dtype == torch.int64 and instances.gt_classes.tolist() == [0, 0]
    assert {k: result[k] for k in ("file_name", "height", "width", "image_id")} == {
        k: sample[k] for k in ("file_name", "height", "width", "image_id")
    }


def test_a_tile_without_buildings_has_no_instances(plain, dfc2023):
    instances = plain({**load_dfc2023(dfc2023, "val")[-1], "draw": 0})["instances"]
    assert instances.gt_masks.shape == (0, SIZE, SIZE) and instances.gt_classes.shape == (0,)
    assert instances.gt_classes.dtype == torch.int64


def test_crowds_are_ignored(plain, sample):
    crowd = annotation(9, 10, [[0, 0, 9, 0, 9, 9]], iscrowd=1)
    assert len(plain({**sample, "annotations": [*sample["annotations"], crowd], "draw": 0})["instances"]) == 2


def test_one_array_fed_as_every_modality_stays_equal(tmp_path, write_raster):
    array = np.random.rand(24, 40).astype(np.float32)
    array[array > 0.9] = np.nan
    path = str(write_raster(tmp_path / "a.tif", array))
    modalities = ModalitySet([Modality(name, 1, mean=(0.5,)) for name in "abc"])
    mapper = InstanceMapper(modalities, is_train=True, dropout=None, crop=(32, 16), dihedral=True)
    square = [[0, 0, 40, 0, 40, 24, 0, 24]]
    shapes = set()
    for draw in range(40):
        result = mapper(
            {
                "file_name": path,
                "height": 24,
                "width": 40,
                "image_id": 1,
                "draw": draw,
                "modalities": dict.fromkeys("abc", path),
                "annotations": [annotation(1, 1, square)],
            }
        )
        bands, valid = result["image"][:3], result["image"][3:]
        assert (bands == bands[:1]).all() and (valid == valid[:1]).all()
        # The mean stands exactly where there is no data: NaN, and the rows that the window has beyond the tile.
        assert ((bands == 0.5) == (valid == 0)).all()
        # The mask covers the tile, so what lies outside it is padding: always invalid, 8 of 32 rows.
        mask = result["instances"].gt_masks[0]
        assert (valid[0][~mask] == 0).all() and (~mask).sum() == 8 * 16
        shapes.add(tuple(result["image"].shape[1:]))
    assert shapes == {(32, 16), (16, 32)}


def test_validity_and_masks_move_with_the_pixels(make_config, sample):
    """Each output pixel says where it came from (the DSM is a ramp): compare all channels there."""
    cfg = make_config(
        INPUT__CROP__ENABLED=True,
        INPUT__CROP__TYPE="absolute",
        INPUT__CROP__SIZE=[16, 24],
        INPUT__MODALITY_DROPOUT__ENABLED=False,
    )
    mapper = build_mapper(cfg, is_train=True)
    whole = build_mapper(make_config(), is_train=False)(sample)["image"].reshape(8, -1)
    truth, _ = instance_masks(sample["annotations"], SIZE, SIZE, Geometry(0, 0, SIZE, SIZE))
    footprint = torch.from_numpy(truth.any(0)).reshape(-1)
    seen = set()
    for draw in range(30):
        result = mapper({**sample, "draw": draw})
        origin = result["image"][4].long()
        assert len(origin.unique()) == 16 * 24
        assert torch.equal(result["image"], whole[:, origin])
        masks = result["instances"].gt_masks
        # Slivers of fewer than four pixels are dropped, so marked pixels are buildings, not always the reverse.
        assert footprint[origin][masks.any(0)].all()
        if masks.any():
            assert footprint[origin].sum() - masks.any(0).sum() < 4
        seen.add(tuple(origin[0, :2].tolist()))
    assert len(seen) > 20


@pytest.mark.parametrize("draw", range(6))
def test_only_the_drawn_files_are_opened(make_config, sample, caplog, draw):
    mapper = build_mapper(make_config(), is_train=True)
    drawn = mapper({**sample, "draw": draw})
    for name, path in sample["modalities"].items():
        if name not in drawn["modalities"]:
            os.remove(path)
    again = mapper({**sample, "draw": draw})
    assert again["modalities"] == drawn["modalities"] and torch.equal(again["image"], drawn["image"])
    assert not caplog.records


def test_every_subset_is_drawn_and_the_image_says_which(make_config, sample):
    mapper = build_mapper(make_config(), is_train=True)
    subsets = set()
    for draw in range(60):
        result = mapper({**sample, "draw": draw})
        valid = {name for name, v in zip(("sar", "rgb", "dsm"), result["image"][5:]) if v.any()}
        assert valid == set(result["modalities"])
        subsets.add(result["modalities"])
    assert len(subsets) == 7


def test_a_sample_depends_on_seed_and_draw_alone(make_config, sample):
    def image(seed, draw):
        return build_mapper(make_config(SEED=seed), is_train=True)({**sample, "draw": draw})["image"]

    assert torch.equal(image(3, 5), image(3, 5))
    assert len({image(seed, draw).numpy().tobytes() for seed in (3, 4) for draw in range(4)}) > 4


def test_a_truncated_file_in_training_is_a_missing_sensor_said_once(plain, sample, caplog):
    truncate(sample["modalities"]["rgb"])
    with caplog.at_level(logging.WARNING):
        for draw in range(3):
            result = plain({**sample, "draw": draw})
            assert result["modalities"] == ("sar", "dsm") and (result["image"][6] == 0).all()
    assert len(caplog.records) == 1 and sample["modalities"]["rgb"] in caplog.text


def test_another_modality_stands_in_when_no_drawn_one_can_be_read(make_config, sample):
    truncate(sample["modalities"]["rgb"])
    mapper = build_mapper(make_config(), is_train=True)
    subsets = {mapper({**sample, "draw": draw})["modalities"] for draw in range(60)}
    assert subsets == {("sar",), ("dsm",), ("sar", "dsm")}


def test_every_modality_unreadable_is_an_error_naming_the_sample(make_config, sample):
    for path in sample["modalities"].values():
        truncate(path)
    with pytest.raises(RasterError, match=r"image 10: every modality is unreadable\..*sar.*rgb.*dsm"):
        build_mapper(make_config(INPUT__MODALITY_DROPOUT__ENABLED=False), is_train=True)({**sample, "draw": 0})


def test_a_truncated_file_at_test_time_is_an_error(make_config, sample):
    truncate(sample["modalities"]["rgb"])
    with pytest.raises(RasterError, match=f"cannot read {sample['modalities']['rgb']}"):
        build_mapper(make_config(), is_train=False)(sample)


def test_a_test_sample_is_whole_and_unaugmented(make_config, sample):
    cfg = make_config(INPUT__CROP__ENABLED=True, INPUT__CROP__TYPE="absolute", INPUT__CROP__SIZE=[8, 8])
    result = build_mapper(cfg, is_train=False)(sample)
    assert result["modalities"] == ("sar", "rgb", "dsm") and "instances" not in result
    np.testing.assert_array_equal(result["image"][4], tile_arrays(0)["dsm"])


@pytest.mark.parametrize("by_argument", [True, False])
def test_test_modalities_leave_the_other_files_unread(make_config, sample, by_argument):
    os.remove(sample["modalities"]["sar"])
    cfg = make_config(INPUT__TEST_MODALITIES=["sar"] if by_argument else ["dsm", "rgb"])
    result = build_mapper(cfg, is_train=False, keep=["dsm", "rgb"] if by_argument else None)(sample)
    assert result["modalities"] == ("rgb", "dsm")
    assert (result["image"][5] == 0).all() and (result["image"][0] == -8).all()


def test_unknown_test_modalities_are_named(make_config):
    with pytest.raises(ValueError, match=r"INPUT\.TEST_MODALITIES names the unknown modality 'lidar'.*'sar', 'rgb'"):
        make_config(INPUT__TEST_MODALITIES=["lidar"])
    with pytest.raises(ValueError, match="the unknown modality 'lidar'"):
        build_mapper(make_config(), is_train=False, keep=["lidar"])


@pytest.mark.parametrize("is_train", [True, False])
def test_a_sample_without_a_single_file_is_refused(make_config, sample, is_train):
    other = {
        "lidar": sample["modalities"]["dsm"]
    }  # at test time a sample of another sensor is one that lacks all of the model's
    for nothing in ({}, {"rgb": None}, *([other] if is_train else [])):
        with pytest.raises(
            FileNotFoundError,
            match=r"image 10 \(.*\.tif\) has no file of any modality, expected one of "
            r"\['sar', 'rgb', 'dsm'\]",
        ):
            build_mapper(make_config(), is_train=is_train)({**sample, "modalities": nothing})
    assert is_train or build_mapper(make_config(), is_train=False)({**sample, "modalities": other})["modalities"] == ()


def test_a_sample_of_which_a_subset_leaves_nothing_is_all_missing(make_config, sample):
    sample["modalities"]["rgb"] = None
    result = build_mapper(make_config(), is_train=False, keep=["rgb"])(sample)
    assert result["modalities"] == () and result["image"].shape == (8, SIZE, SIZE)
    assert (result["image"][5:] == 0).all() and (result["image"][4] == 5.0).all()


def test_scale_and_photometric_jitter_come_from_the_config(make_config, sample):
    changes = {
        "INPUT__CROP__ENABLED": True,
        "INPUT__CROP__TYPE": "absolute",
        "INPUT__CROP__SIZE": [16, 16],
        "INPUT__MODALITY_DROPOUT__ENABLED": False,
        "INPUT__DIHEDRAL": False,
    }
    plain = build_mapper(make_config(**changes), is_train=True)({**sample, "draw": 1})["image"]
    grown = build_mapper(make_config(**changes, INPUT__SCALE_JITTER=[4.0, 4.0]), is_train=True)({**sample, "draw": 1})[
        "image"
    ]
    # The DSM is a ramp of one a column: four times as large it rises by a quarter a column.
    assert torch.allclose(plain[4].diff(dim=1), torch.tensor(1.0))
    assert torch.allclose(grown[4, :, 2:-2].diff(dim=1), torch.tensor(0.25), atol=1e-3)
    entries = [{"NAME": "sar", "SPECKLE": 0.2}, {"NAME": "dsm", "OFFSET": 3.0}]
    jittered = build_mapper(make_config(**changes, INPUT__PHOTOMETRIC=entries), is_train=True)({**sample, "draw": 1})[
        "image"
    ]
    assert torch.equal(jittered[1:4], plain[1:4]) and torch.equal(jittered[5:], plain[5:])
    moved = jittered[4] - plain[4]
    assert 0 < moved.abs().max() <= 3 and torch.allclose(moved, moved[0, 0], atol=1e-3)
    assert (jittered[0] != plain[0]).float().mean() > 0.99


def test_no_more_than_the_window_is_decoded(make_config, sample, monkeypatch):
    areas, from_slices = [], Window.from_slices
    monkeypatch.setattr(
        "imrsf_d2.geo.rasters.Window.from_slices",
        lambda rows, columns: (
            areas.append((rows.stop - rows.start, columns.stop - columns.start)) or from_slices(rows, columns)
        ),
    )
    cfg = make_config(INPUT__CROP__ENABLED=True, INPUT__CROP__TYPE="absolute", INPUT__CROP__SIZE=[8, 20])
    build_mapper(cfg, is_train=True)({**sample, "draw": 0})
    assert set(areas) == {(8, 20)}


@pytest.mark.parametrize("stored", ["power", "decibels"])
def test_radar_is_resized_as_power(make_config, sample, write_raster, tmp_path, stored):
    power = tile_arrays(0)["sar"]
    modalities = MODALITIES
    if stored == "decibels":
        sample["modalities"]["sar"] = str(write_raster(tmp_path / "sar.tif", 10 * np.log10(power)))
        modalities = [{**MODALITIES[0], "TRANSFORM": "none", "UNIT": "dB"}, *MODALITIES[1:]]
    changes = {
        "MODEL__IMRSF__MODALITIES": modalities,
        "INPUT__MODALITY_DROPOUT__ENABLED": False,
        "INPUT__DIHEDRAL": False,
        "INPUT__CROP__ENABLED": True,
        "INPUT__CROP__TYPE": "absolute",
        "INPUT__CROP__SIZE": [16, 16],
        "INPUT__SCALE_JITTER": [0.5, 0.5],
    }
    result = build_mapper(make_config(**changes), is_train=True)({**sample, "draw": 0})
    mean = power.reshape(16, 2, 16, 2).mean((1, 3))
    np.testing.assert_allclose(result["image"][0], np.clip(10 * np.log10(mean), -25, 12), atol=1e-3)


@pytest.mark.parametrize("align", [True, False])
def test_align_comes_from_the_config(make_config, sample, write_raster, tmp_path, align):
    place = {"crs": "EPSG:32631", "transform": from_origin(500_000, 5_000_000, 1, 1)}
    half = {"crs": "EPSG:32631", "transform": from_origin(500_000, 5_000_000, 2, 2)}
    sample["modalities"] = {
        "rgb": str(write_raster(tmp_path / "rgb.tif", tile_arrays(0)["rgb"], **place)),
        "dsm": str(write_raster(tmp_path / "dsm.tif", np.full((16, 16), 3, np.float32), **half)),
    }
    mapper = build_mapper(make_config(INPUT__ALIGN=align), is_train=False)
    if align:
        assert (mapper(sample)["image"][4] == 3).all()
    else:
        with pytest.raises(ValueError, match="INPUT.ALIGN True"):
            mapper(sample)


def test_augmentation_is_for_training_only(make_config, sample):
    cfg = make_config(INPUT__SCALE_JITTER=[0.5, 2.0], INPUT__PHOTOMETRIC=[{"NAME": "dsm", "OFFSET": 3.0}])
    result = build_mapper(cfg, is_train=False)(sample)
    np.testing.assert_array_equal(result["image"][4], tile_arrays(0)["dsm"])


def test_sizes_that_differ_between_modalities(plain, sample, write_raster, tmp_path):
    path = str(write_raster(tmp_path / "small.tif", np.ones((16, SIZE), np.float32)))
    sample["modalities"]["dsm"] = path
    with pytest.raises(
        ValueError,
        match=r"'dsm' of image 10 is 32 x 16 px \(.*small\.tif\), expected 32 x 32 px like "
        r"'sar' \(.*SV_Berlin",
    ):
        plain({**sample, "draw": 0})


def test_a_size_other_than_the_annotations(plain, sample):
    with pytest.raises(ValueError, match=r"is 32 x 32 px \(.*\), expected 32 x 64 px as in the annotations"):
        plain({**sample, "height": 64, "draw": 0})


def test_a_wrong_band_count_stops_training_too(plain, sample):
    sample["modalities"]["dsm"] = sample["modalities"]["rgb"]
    with pytest.raises(ValueError, match=r"has 3 bands, expected 1 for modality 'dsm'"):
        plain({**sample, "draw": 0})


def test_a_dataset_dict_without_modalities_says_what_to_do(plain, sample):
    del sample["modalities"]
    with pytest.raises(ValueError, match="has no 'modalities', expected e.g."):
        plain({**sample, "draw": 0})


def test_an_unknown_mapper_is_an_error_listing_the_known(make_config):
    with pytest.raises(ValueError, match=r"MAPPER_NAME is 'imrsf_instanse', expected one of \['imrsf_instance'"):
        build_mapper(make_config(INPUT__DATASET_MAPPER_NAME="imrsf_instanse"), is_train=True)


@pytest.mark.parametrize(("kind", "size"), [("relative_range", [0.9, 0.9]), ("absolute", [0.9, 0.9]), ("absolute", [8])])
def test_a_crop_that_is_not_in_pixels_is_an_error(make_config, kind, size):
    cfg = make_config(INPUT__CROP__ENABLED=True, INPUT__CROP__TYPE=kind, INPUT__CROP__SIZE=size)
    with pytest.raises(ValueError, match=r"INPUT\.CROP is TYPE .*expected TYPE 'absolute' and SIZE \[height, width\]"):
        build_mapper(cfg, is_train=True)


# Pre-training


def test_masks_are_a_function_of_seed_and_draw_alone(make_config, sample, dfc2023):
    other = load_dfc2023(dfc2023, "train")[1]
    del other["annotations"]  # labels are not needed
    changes = {
        "INPUT__DIHEDRAL": False,
        "INPUT__MODALITY_DROPOUT__ENABLED": False,
        "INPUT__CROP__ENABLED": True,
        "INPUT__CROP__TYPE": "absolute",
        "INPUT__CROP__SIZE": [16, 16],
    }
    seeds = []
    for seed, draw in itertools.product((3, 4), range(4)):
        cfgs = [make_config(SEED=seed, INPUT__DATASET_MAPPER_NAME="imrsf_pretrain", **more) for more in ({}, changes)]
        mappers = [build_mapper(cfg, is_train=True) for cfg in cfgs]
        drawn = {mapper({**of, "draw": draw})["mask_seed"] for mapper in mappers for of in (sample, other)}
        assert len(drawn) == 1
        seeds += drawn
    assert len(set(seeds)) == 8


def test_masks_change_nothing_about_the_augmentation(make_config, sample):
    for draw in range(8):
        supervised, pretraining = (
            build_mapper(make_config(INPUT__DATASET_MAPPER_NAME=name), is_train=True)({**sample, "draw": draw})
            for name in ("imrsf_instance", "imrsf_pretrain")
        )
        assert torch.equal(supervised["image"], pretraining["image"])
        assert pretraining.keys() == supervised.keys() - {"instances"} | {"mask_seed"}
