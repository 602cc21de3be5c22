"""Cutting DFC2023: labels to the pixel, rasters to the bit."""

import contextlib
import io
import json
import os
import shutil

import numpy as np
import pytest
import rasterio
import torch
import yaml
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import Instances
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from rasterio.enums import ColorInterp
from rasterio.transform import Affine

from imrsf_d2.data.datasets.dfc2023 import city_of, load_dfc2023, register_dfc2023
from imrsf_d2.data.geometry import Geometry
from imrsf_d2.data.masks import instance_masks
from imrsf_d2.evaluation.instance_evaluator import InstanceEvaluator
from imrsf_d2.modalities import ModalitySet
from imrsf_d2.preparation.dfc2023 import crops
from imrsf_d2.preparation.dfc2023.bands import BANDS
from imrsf_d2.preparation.dfc2023.prepare import prepare_dfc2023
from tests.folders import contents
from tests.preparation.dfc2023.source_files import (
    BERLIN,
    CROP,
    FOOTPRINTS,
    LABELS,
    NEWYORK,
    PLACE,
    RIO,
    SIZE,
    berlin_arrays,
    crop_names,
    rectangle,
    write_source,
)
from tests.raster_files import write_raster_file
from tests.tiny import REPOSITORY


def read_coco(path):
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(path))


def expected_cuts():
    """crop name -> [(mask, iscrowd)], by slicing the whole masks; independent of the package."""
    empty = [f"{NEWYORK[:-4]}_0_1.tif"]
    cuts = {}
    for tile, rows in FOOTPRINTS.items():
        wholes = []
        for segmentation, crowd in rows:
            code = segmentation
            if isinstance(segmentation, list):
                code = coco_mask.merge(coco_mask.frPyObjects(segmentation, SIZE, SIZE))
            elif isinstance(segmentation["counts"], list):
                code = coco_mask.frPyObjects(segmentation, SIZE, SIZE)
            wholes.append((coco_mask.decode(code), crowd))
        for name, (top, left) in zip(crop_names(tile), [(0, 0), (0, CROP), (CROP, 0), (CROP, CROP)]):
            pieces = [(whole[top : top + CROP, left : left + CROP], crowd) for whole, crowd in wholes]
            cuts[name] = [(piece, crowd) for piece, crowd in pieces if piece.sum() >= 4]
    return {name: pieces for name, pieces in cuts.items() if name not in empty}


def test_every_mask_is_the_cut_of_the_whole_one(output):
    coco, expected = read_coco(output / LABELS), expected_cuts()
    assert {image["file_name"] for image in coco.imgs.values()} == set(expected)
    assert sum(map(len, expected.values())) == 21  # worked out by hand from FOOTPRINTS
    for image in coco.imgs.values():
        assert (image["height"], image["width"]) == (CROP, CROP)
        annotations = coco.imgToAnns[image["id"]]
        assert len(annotations) == len(expected[image["file_name"]])
        for annotation, (mask, crowd) in zip(annotations, expected[image["file_name"]]):
            np.testing.assert_array_equal(coco.annToMask(annotation), mask)
            rows, columns = np.nonzero(mask)
            box = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
            assert annotation["bbox"] == box and annotation["area"] == mask.sum()
            assert (annotation["iscrowd"], annotation["category_id"]) == (crowd, 1)


def test_ids_are_unique_and_count_from_one(output):
    data = json.loads((output / LABELS).read_text())
    for key in ("images", "annotations"):
        assert [entry["id"] for entry in data[key]] == list(range(1, len(data[key]) + 1))
    assert data["categories"] == [{"id": 1, "name": "building"}]


def test_a_polygon_inside_a_crop_stays_one_and_anything_else_becomes_run_lengths(output):
    coco = read_coco(output / LABELS)
    found = {image["file_name"]: [a["segmentation"] for a in coco.imgToAnns[image["id"]]] for image in coco.imgs.values()}
    upper_left, upper_right, lower_left, lower_right = (found[name] for name in crop_names(BERLIN))
    assert [p for p in upper_left if isinstance(p, list)] == [[rectangle(2, 3, 12, 9)]]
    assert [p for p in upper_right if isinstance(p, list)] == [[rectangle(1, 14, 5, 15)]]
    assert [p for p in lower_left if isinstance(p, list)] == [[rectangle(2, 8, 9, 18), rectangle(20, 20, 28, 28)]]
    # 44.3 - 32 is 12.299999999999997 in floating point.
    assert [p for p in lower_right if isinstance(p, list)] == [[rectangle(12.3, 8.2, 20.6, 16.8)]]
    codes = [s for rows in found.values() for s in rows if not isinstance(s, list)]
    assert len(codes) == 17 and all(c["size"] == [CROP, CROP] and isinstance(c["counts"], str) for c in codes)


@pytest.mark.parametrize("modality", ["rgb", "sar", "dsm"])
def test_rasters_are_cut_to_the_bit_and_nothing_else_changes(output, source, modality):
    arrays, mask = berlin_arrays()
    array = arrays[modality].reshape(-1, SIZE, SIZE)
    for name, (top, left) in zip(crop_names(BERLIN), [(0, 0), (0, CROP), (CROP, 0), (CROP, CROP)]):
        rows, columns = slice(top, top + CROP), slice(left, left + CROP)
        with rasterio.open(output / "track2/train" / modality / name) as file:
            assert file.read().tobytes() == array[:, rows, columns].tobytes()  # NaN included
            assert file.dtypes == (str(array.dtype),) * len(array)
            assert file.crs.to_epsg() == 32633
            assert file.transform == Affine(0.5, 0, 391000.0 + left / 2, 0, -0.5, 5820000.0 - top / 2)
            assert file.nodata == (-9999 if modality == "dsm" else None)
            if modality == "rgb":
                np.testing.assert_array_equal(file.read_masks(2) > 0, mask[rows, columns])
                assert file.colorinterp == (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
            if modality == "sar":
                assert file.descriptions == ("gamma nought",) and file.tags()["SATELLITE"] == "GF3"
                assert file.tags(1) == {"LOOKS": "4"}  # the maximum was that of the whole tile


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_alpha_scale_and_a_missing_georeference_stay(tmp_path):
    bands = np.random.default_rng(0).integers(0, 255, (4, 8, 8), dtype=np.uint8)
    path = write_raster_file(tmp_path / "in.tif", bands, photometric="RGB", alpha="YES")
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets, file.units = [0.5] * 4, [1.0] * 4, ["m"] * 4
    crops.write_crops(path, [(Geometry(4, 2, 3, 5), tmp_path / "out" / "crop.tif")])
    with rasterio.open(path) as whole, rasterio.open(tmp_path / "out" / "crop.tif") as crop:
        np.testing.assert_array_equal(crop.read(), bands[:, 4:7, 2:7])
        for key in ("colorinterp", "scales", "offsets", "units", "crs", "transform", "mask_flag_enums", "nodata"):
            assert getattr(crop, key) == getattr(whole, key), key
        assert whole.colorinterp[3] == ColorInterp.alpha
    assert os.listdir(tmp_path / "out") == ["crop.tif"]


@pytest.mark.parametrize("dtype", ["complex_int16", "complex64", "int8", "uint32", "float64"])
def test_the_data_type_stays(tmp_path, dtype):
    place = {"crs": "EPSG:32631", "transform": rasterio.transform.from_origin(5e5, 5e6, 10, 10)}
    with rasterio.open(tmp_path / "in.tif", "w", driver="GTiff", height=8, width=8, count=2, dtype=dtype, **place) as file:
        file.write(np.arange(128).reshape(2, 8, 8).astype("complex64" if dtype == "complex_int16" else dtype))
    crops.write_crops(tmp_path / "in.tif", [(Geometry(2, 3, 4, 4), tmp_path / "crop.tif")])
    with rasterio.open(tmp_path / "in.tif") as whole, rasterio.open(tmp_path / "crop.tif") as crop:
        assert crop.dtypes == whole.dtypes == (dtype, dtype)
        np.testing.assert_array_equal(crop.read(), whole.read()[:, 2:6, 3:7])


def test_a_missing_sensor_stays_missing_and_a_crop_without_data_is_left_out(output):
    names = {
        modality: sorted(p.name for p in (output / "track2/train" / modality).iterdir())
        for modality in ("rgb", "sar", "dsm")
    }
    newyork = [name for name in crop_names(NEWYORK) if not name.endswith("_0_1.tif")]
    assert names == {
        "rgb": sorted(crop_names(BERLIN) + newyork),
        # New York's SAR holds no number anywhere, but the file is there as it was.
        "sar": sorted(crop_names(BERLIN) + newyork + crop_names(RIO)),
        "dsm": sorted(crop_names(BERLIN)),
    }
    assert {p.name for p in output.iterdir()} == {"track2", "summary.md", "prepared.json", ".prepared"}


def test_the_summary_counts(output):
    rows = [
        line.strip("|").replace(" ", "").split("|")
        for line in (output / "summary.md").read_text().splitlines()
        if line.startswith("| train") or line.startswith("| val")
    ]
    #                tiles crops empty footprints parts cut slivers lost
    assert rows == [
        ["train", "Berlin", "1", "4", "0", "12", "20", "6", "2", "1"],
        ["train", "NewYork", "1", "3", "1", "2", "1", "1", "0", "1"],
        ["train", "all", "2", "7", "1", "14", "21", "7", "2", "2"],
        ["val", "Rio", "1", "4", "0", "0", "0", "0", "0", "0"],
        ["val", "all", "1", "4", "0", "0", "0", "0", "0", "0"],
    ]


def test_the_output_loads_like_the_original(output, monkeypatch):
    train, val = load_dfc2023(output, "train"), load_dfc2023(output, "val")
    assert [sample["city"] for sample in train] == ["NewYork"] * 3 + ["Berlin"] * 4  # in the order of the source's ids
    assert [sample["city"] for sample in val] == ["Rio"] * 4
    assert all(city_of(name) == "NewYork" for name in crop_names(NEWYORK))
    assert {tuple(sorted(m for m, path in sample["modalities"].items() if path)) for sample in train} == {
        ("dsm", "rgb", "sar"),
        ("rgb", "sar"),
    }
    monkeypatch.setenv("DETECTRON2_DATASETS", str(output.parent))
    registered = DatasetCatalog.get("dfc2023_track2_val")
    assert [sample["file_name"] for sample in registered] == [sample["file_name"] for sample in val]


def test_perfect_predictions_score_100(output):
    register_dfc2023("prepared_test", output, "train")
    try:
        evaluator = InstanceEvaluator("prepared_test", distributed=False)
        evaluator.reset()
        for sample in DatasetCatalog.get("prepared_test"):
            masks, kept = instance_masks(sample["annotations"], CROP, CROP, Geometry(0, 0, CROP, CROP))
            masks = masks[[not sample["annotations"][i]["iscrowd"] for i in kept]]
            prediction = Instances(
                (CROP, CROP),
                pred_masks=torch.from_numpy(masks).float(),
                scores=torch.linspace(0.9, 0.8, len(masks)),
                pred_classes=torch.zeros(len(masks), dtype=torch.int64),
            )
            evaluator.process([sample], [{"instances": prediction}])
        scores = evaluator.evaluate()
    finally:
        DatasetCatalog.remove("prepared_test")
        MetadataCatalog.remove("prepared_test")
    assert scores["segm"]["AP"] == pytest.approx(100) and scores["bbox"]["AP"] == pytest.approx(100)


def test_the_bands_are_those_of_the_config():
    text = (REPOSITORY / "configs/base/dfc2023.yaml").read_text()
    configured = ModalitySet(map(BANDS[0].from_mapping, yaml.safe_load(text)["MODEL"]["IMRSF"]["MODALITIES"]))
    assert sorted(configured.names) == sorted(BANDS.names)
    for ours in BANDS:
        theirs = configured[ours.name]
        assert (ours.channels, ours.nodata, ours.transform) == (theirs.channels, theirs.nodata, theirs.transform)


def test_the_other_folder_and_label_paths_give_the_same_files(output, tmp_path):
    other = write_source(tmp_path / "in", dsm="height", labels="track2/annotations/buildings_only_train.json")
    prepare_dfc2023(other, tmp_path / "out", tile_size=CROP, num_workers=1)
    skip = ".prepared"  # holds the times of the files that were read
    assert {name: content for name, content in contents(tmp_path / "out").items() if skip not in name} == {
        name: content for name, content in contents(output).items() if skip not in name
    }


def test_any_number_of_processes_writes_the_same(output, source, tmp_path):
    outcome = prepare_dfc2023(source, tmp_path / "out", tile_size=CROP, num_workers=2)
    assert contents(tmp_path / "out") == contents(output) and (outcome.cut, outcome.tiles) == (3, 3)


def test_whole_tiles_keep_their_names_masks_and_pixels(source, tmp_path):
    prepare_dfc2023(source, tmp_path, tile_size=None, num_workers=1)
    before, after = read_coco(source / LABELS), read_coco(tmp_path / LABELS)
    assert [image["file_name"] for image in after.imgs.values()] == [RIO, NEWYORK, BERLIN]
    berlin = [a for a in after.anns.values() if a["image_id"] == 3]
    whole = [a for a in before.anns.values() if a["image_id"] == 70]
    kept = [a for a in whole if before.annToMask(a).sum() >= 4]
    assert len(berlin) == len(kept) == len(whole) - 1
    for ours, theirs in zip(berlin, kept):
        np.testing.assert_array_equal(after.annToMask(ours), before.annToMask(theirs))
    assert [a["segmentation"] for a in berlin[:5]] == [a["segmentation"] for a in kept[:5]]  # polygons stay
    with rasterio.open(tmp_path / "track2/train/sar" / BERLIN) as file:
        assert file.read(1).tobytes() == berlin_arrays()[0]["sar"].tobytes()
        assert file.transform == PLACE["transform"]


def test_tiles_without_labels_are_left_out_and_counted(own_source, tmp_path):
    shutil.copy(own_source / "track2/train/sar" / RIO, own_source / "track2/train/sar/SV_Sydney_-33.8_151.2.tif")
    (own_source / "track2/train/sar" / f"{RIO}.aux.xml").write_text("<PAMDataset/>")
    outcome = prepare_dfc2023(own_source, tmp_path / "out", tile_size=CROP, num_workers=1)
    assert "they have no labels: 1." in outcome.summary and "Sydney" not in outcome.summary
