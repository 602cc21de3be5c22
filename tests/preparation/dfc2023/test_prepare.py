"""Cutting DFC2023: labels to the pixel, rasters to the bit, over interruptions and changed inputs."""

import contextlib
import io
import json
import os
import shutil
import signal

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
from rasterio.transform import Affine, from_origin

from imrsf_d2.data.datasets.dfc2023 import city_of, load_dfc2023, register_dfc2023
from imrsf_d2.data.geometry import Geometry
from imrsf_d2.data.masks import instance_masks
from imrsf_d2.evaluation.instance_evaluator import InstanceEvaluator
from imrsf_d2.modalities import ModalitySet
from imrsf_d2.preparation import footprints
from imrsf_d2.preparation.dfc2023 import crops
from imrsf_d2.preparation.dfc2023.bands import BANDS
from imrsf_d2.preparation.dfc2023.crops import tile_windows
from imrsf_d2.preparation.dfc2023.prepare import prepare_dfc2023
from imrsf_d2.preparation.footprints import cut_footprint
from imrsf_d2.utils.errors import OccupiedError
from imrsf_d2.utils.locks import sole_user
from tests.raster_files import run_lengths, write_raster_file
from tests.tiny import REPOSITORY

SIZE, CROP = 64, 32
BERLIN, NEWYORK, RIO = "SV_Berlin_52.5_13.4.tif", "GF2_NewYork_40.7_-73.9.tif", "SV_Rio_-22.9_-43.2.tif"
LABELS = "track2/buildings_only_train.json"


# --- an input with everything that may occur


def rectangle(left, top, right, bottom):
    return [left, top, right, top, right, bottom, left, bottom]


def block(*boxes, without=None):
    mask = np.zeros((SIZE, SIZE), dtype=np.uint8)
    for left, top, right, bottom in boxes:
        mask[top:bottom, left:right] = 1
    if without:
        mask[without[1] : without[3], without[0] : without[2]] = 0
    return mask


def runs(mask):
    return {"size": list(mask.shape), "counts": run_lengths(mask)}


def compressed(mask):
    code = coco_mask.encode(np.asfortranarray(mask))
    return {"size": code["size"], "counts": code["counts"].decode()}


COURTYARD = block((20, 20, 50, 44), without=(26, 26, 40, 38))
#: segmentation, iscrowd
FOOTPRINTS = {
    BERLIN: [
        ([rectangle(2, 3, 12, 9)], 0),  # inside a crop
        ([[20.3, 33.7, 60.2, 35.1, 58.4, 50.9, 41.6, 47.3]], 0),  # over a border, at an angle
        ([rectangle(25, 27, 40, 45)], 0),  # over all four crops
        ([rectangle(2, 40, 9, 50), rectangle(20, 52, 28, 60)], 0),  # two parts in one crop
        ([rectangle(3, 14, 9, 20), rectangle(50, 52, 58, 60)], 0),  # two parts in two crops
        (runs(COURTYARD), 0),
        (compressed(block((40, 4, 50, 12), without=(43, 6, 46, 9))), 0),
        (runs(block((0, 24, 64, 30))), 1),  # a crowd
        ([rectangle(33, 2, 36, 3)], 0),  # three pixels
        ([rectangle(33, 14, 37, 15)], 0),  # four pixels, just enough
        ([rectangle(30, 10, 33, 13)], 0),  # three pixels beyond the border, six before
        ([rectangle(44.3, 40.2, 52.6, 48.8)], 0),
    ],
    NEWYORK: [
        ([rectangle(40, 2, 50, 12)], 0),  # where no sensor has data
        ([rectangle(26, 4, 36, 10)], 0),
    ],  # half there
    RIO: [],
}


def write_labels(root, footprints=FOOTPRINTS, path=LABELS, size=SIZE):
    # The ids do not start at 1 and are not in the order of the names, as in the real file.
    images = [{"id": 70 - 10 * i, "file_name": name, "height": size, "width": size} for i, name in enumerate(footprints)]
    annotations = [
        {
            "id": 500 + 20 * i + k,
            "image_id": 70 - 10 * i,
            "category_id": 1,
            "iscrowd": crowd,
            "bbox": [0, 0, 1, 1],
            "area": 1,
            "segmentation": segmentation,
        }
        for i, rows in enumerate(footprints.values())
        for k, (segmentation, crowd) in enumerate(rows)
    ]
    path = root / path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "building"}]})
    )


def berlin_arrays():
    rng = np.random.default_rng(1)
    rgb = rng.integers(1, 256, (3, SIZE, SIZE), dtype=np.uint8)
    sar = rng.gamma(2.0, 0.2, (SIZE, SIZE)).astype(np.float32)
    sar[5:9, 30:40] = np.nan
    dsm = rng.uniform(0, 80, (SIZE, SIZE)).astype(np.float32)
    dsm[40:, 50:] = -9999
    mask = rng.random((SIZE, SIZE)) < 0.9
    return {"rgb": rgb, "sar": sar, "dsm": dsm}, mask


PLACE = {"crs": "EPSG:32633", "transform": from_origin(391000.0, 5820000.0, 0.5, 0.5)}


def write_source(root, dsm="dsm", labels=LABELS):
    """Berlin: all sensors, georeferenced, with mask, no-data tag, names and tags. New York: no height, a SAR without
    a number, RGB black in the upper right crop, no georeference. Rio: SAR alone, no footprint."""
    train = root / "track2/train"
    arrays, mask = berlin_arrays()
    write_raster_file(train / "rgb" / BERLIN, arrays["rgb"], mask=mask, photometric="RGB", **PLACE)
    write_raster_file(train / "sar" / BERLIN, arrays["sar"], **PLACE)
    write_raster_file(train / dsm / BERLIN, arrays["dsm"], nodata=-9999, **PLACE)
    with rasterio.open(train / "sar" / BERLIN, "r+") as file:
        file.descriptions = ["gamma nought"]
        file.update_tags(SATELLITE="GF3")
        file.update_tags(1, LOOKS="4", STATISTICS_MAXIMUM="11.9")
    black = np.full((3, SIZE, SIZE), 90, dtype=np.uint8)
    black[:, :CROP, CROP:] = 0
    write_raster_file(train / "rgb" / NEWYORK, black)
    write_raster_file(train / "sar" / NEWYORK, np.full((SIZE, SIZE), np.nan, dtype=np.float32))
    write_raster_file(train / "sar" / RIO, np.full((SIZE, SIZE), 0.25, dtype=np.float32))
    write_labels(root, path=labels)
    return root


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Only to be read."""
    return write_source(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def output(source, tmp_path_factory):
    """Only to be read."""
    folder = tmp_path_factory.mktemp("output") / "dfc2023"
    prepare_dfc2023(source, folder, tile_size=CROP, num_workers=1)
    return folder


@pytest.fixture
def own_source(tmp_path):
    """To be changed by a test."""
    return write_source(tmp_path / "in")


def read_coco(path):
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(path))


def all_files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def crop_names(tile):
    return [f"{tile[:-4]}_{row}_{column}.tif" for row in range(2) for column in range(2)]


# --- labels


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


def random_footprints(rng, height, width, number):
    for kind in rng.choice(["polygon", "pair", "runs"], number):
        center = rng.uniform(0, (width, height))
        angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 9)))
        radius = rng.uniform(1, 9, (len(angles), 1))
        # To a tenth or to the pixel, within the image or beyond its edge.
        points = np.round(center + radius * np.stack([np.cos(angles), np.sin(angles)], 1), int(rng.integers(2)))
        polygon = points.ravel().tolist()
        if kind == "polygon":
            yield [polygon]
        elif kind == "pair":
            yield [polygon, (points + rng.integers(-15, 15, 2)).ravel().tolist()]
        else:
            mask = np.asfortranarray(rng.random((height, width)) < 0.3, dtype=np.uint8)
            yield {"size": [height, width], "counts": run_lengths(mask)}


def test_parts_put_together_are_the_footprint():
    height, width, size = 64, 96, 32
    windows = tile_windows(height, width, size)
    assert [(w.top, w.left) for w in windows] == [(0, 0), (0, 32), (0, 64), (32, 0), (32, 32), (32, 64)]
    forms = {"shifted": 0, "inside but cut": 0, "run lengths": 0}
    for segmentation in random_footprints(np.random.default_rng(2), height, width, 600):
        if isinstance(segmentation, dict):
            whole = coco_mask.decode(coco_mask.frPyObjects(segmentation, height, width))
        else:
            whole = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width)))
        together = np.zeros_like(whole)
        for position, part in cut_footprint(segmentation, height, width, windows).items():
            window, code = windows[position], part["segmentation"]
            if isinstance(code, list):
                forms["shifted"] += 1
                code = coco_mask.merge(coco_mask.frPyObjects(code, size, size))
            else:
                points = [] if isinstance(segmentation, dict) else np.reshape(sum(segmentation, []), (-1, 2))
                inside = len(points) and np.all(
                    (points >= (window.left, window.top)) & (points <= (window.left + size, window.top + size))
                )
                forms["inside but cut" if inside else "run lengths"] += 1
            piece = coco_mask.decode(code)
            assert piece.sum() == part["area"] > 0
            together[window.top : window.top + size, window.left : window.left + size] += piece
        np.testing.assert_array_equal(together, whole)
    # With whole tiles and crops on one pixel grid, every footprint inside a crop can stay a polygon.
    assert forms["shifted"] > 100 and forms["inside but cut"] == 0 and forms["run lengths"] > 1000


def test_a_shifted_polygon_that_marks_other_pixels_is_not_kept(monkeypatch):
    window = Geometry(32, 32, 32, 32)
    polygon = [rectangle(40, 40, 50, 50)]
    assert isinstance(cut_footprint(polygon, 64, 64, [window])[0]["segmentation"], list)
    monkeypatch.setattr(footprints, "_shift", lambda polygons, window: [rectangle(8, 8, 18, 19)])
    part = cut_footprint(polygon, 64, 64, [window])[0]
    expected = np.zeros((32, 32), dtype=np.uint8)
    expected[8:18, 8:18] = 1
    np.testing.assert_array_equal(coco_mask.decode(part["segmentation"]), expected)


def test_the_line_that_a_vanished_part_leaves_is_left_out():
    # pycocotools alone would take four numbers for a box.
    part = cut_footprint([[1, 1, 5, 9], rectangle(2, 3, 6, 7)], 32, 32, [Geometry(0, 0, 32, 32)])[0]
    assert part == {"segmentation": [rectangle(2, 3, 6, 7)], "bbox": [2, 3, 4, 4], "area": 16}


@pytest.mark.parametrize(
    "segmentation", [[rectangle(40, 40, 40, 40)], {"size": [64, 64], "counts": [64 * 64]}], ids=["point", "run lengths"]
)
def test_a_footprint_without_pixels_has_no_parts(segmentation):
    assert cut_footprint(segmentation, 64, 64, tile_windows(64, 64, 32)) == {}


# --- rasters


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


# --- what training sees


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


# --- layouts and parameters


def test_the_other_folder_and_label_paths_give_the_same_files(output, tmp_path):
    other = write_source(tmp_path / "in", dsm="height", labels="track2/annotations/buildings_only_train.json")
    prepare_dfc2023(other, tmp_path / "out", tile_size=CROP, num_workers=1)
    skip = ".prepared"  # holds the times of the files that were read
    assert {name: content for name, content in all_files(tmp_path / "out").items() if skip not in name} == {
        name: content for name, content in all_files(output).items() if skip not in name
    }


def test_any_number_of_processes_writes_the_same(output, source, tmp_path):
    outcome = prepare_dfc2023(source, tmp_path / "out", tile_size=CROP, num_workers=2)
    assert all_files(tmp_path / "out") == all_files(output) and (outcome.cut, outcome.tiles) == (3, 3)


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


@pytest.mark.parametrize(
    "size, message",
    [
        (48, "the tile size 48 does not divide 3 of 3 tiles, e.g. SV_Rio_-22.9_-43.2.tif of 64 x 64 px"),
        (128, "the tile size 128 does not divide"),
        (0, "the tile size 0 does not divide"),
    ],
)
def test_a_tile_size_that_does_not_fit_is_an_error_before_anything_is_written(source, tmp_path, size, message):
    with pytest.raises(ValueError, match=message):
        prepare_dfc2023(source, tmp_path / "out", tile_size=size, num_workers=1)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("inside", [".", "track2", "new/folder", "../in", "link"])
def test_the_output_must_lie_outside_the_input(own_source, inside):
    (own_source.parent / "elsewhere").symlink_to(own_source)
    output = own_source.parent / "elsewhere" / "x" if inside == "link" else own_source / inside
    before = all_files(own_source)
    with pytest.raises(ValueError, match=r"the output .* lies in the input .*choose a folder outside it"):
        prepare_dfc2023(own_source, output, tile_size=CROP, num_workers=1)
    assert all_files(own_source) == before


def test_an_input_without_track2_or_labels(own_source):
    out = own_source.parent / "out"
    with pytest.raises(FileNotFoundError, match=f"no folder 'track2' in .* pass {own_source} as input"):
        prepare_dfc2023(own_source / "track2", out)
    (own_source / LABELS).unlink()
    with pytest.raises(FileNotFoundError, match=r"no DFC2023 labels: neither .*buildings_only_train.json nor .*ann"):
        prepare_dfc2023(own_source, out)


def test_a_name_that_stands_twice_in_the_labels(own_source):
    data = json.loads((own_source / LABELS).read_text())
    data["images"].append({**data["images"][0], "id": 7})
    (own_source / LABELS).write_text(json.dumps(data))
    with pytest.raises(ValueError, match=f"several images of the same file name, e.g. '{BERLIN}'"):
        prepare_dfc2023(own_source, own_source.parent / "out", tile_size=CROP, num_workers=1)


def test_tiles_without_labels_are_left_out_and_counted(own_source, tmp_path):
    shutil.copy(own_source / "track2/train/sar" / RIO, own_source / "track2/train/sar/SV_Sydney_-33.8_151.2.tif")
    (own_source / "track2/train/sar" / f"{RIO}.aux.xml").write_text("<PAMDataset/>")
    outcome = prepare_dfc2023(own_source, tmp_path / "out", tile_size=CROP, num_workers=1)
    assert "they have no labels: 1." in outcome.summary and "Sydney" not in outcome.summary


# --- once more


@pytest.mark.parametrize(
    "change, message",
    [({"tile_size": 16}, "tile_size was 32, now 16"), ({"tile_size": None}, "tile_size was 32, now 'keep'")],
)
def test_other_parameters_are_an_error_not_a_mixture(source, output, change, message):
    before = all_files(output)
    with pytest.raises(FileExistsError, match=f"made with other parameters: {message}. Choose another output"):
        prepare_dfc2023(source, output, **{"tile_size": CROP, "num_workers": 1, **change})
    assert all_files(output) == before


def test_other_labels_are_other_parameters(own_source, tmp_path):
    prepare_dfc2023(own_source, tmp_path / "out", tile_size=CROP, num_workers=1)
    write_labels(own_source, {**FOOTPRINTS, RIO: [([rectangle(1, 1, 9, 9)], 0)]})
    with pytest.raises(FileExistsError, match="labels_sha256 was"):
        prepare_dfc2023(own_source, tmp_path / "out", tile_size=CROP, num_workers=1)


def test_a_folder_of_other_origin_is_left_alone(source, tmp_path):
    foreign = write_source(tmp_path / "other")
    before = all_files(foreign)
    with pytest.raises(FileExistsError, match="track2/train exists and was not written by this command"):
        prepare_dfc2023(source, foreign, tile_size=CROP, num_workers=1)
    assert all_files(foreign) == before


def test_tiles_without_any_valid_pixel_are_an_error_not_an_empty_dataset(own_source, tmp_path):
    for name in FOOTPRINTS:
        for modality in ("rgb", "dsm"):
            (own_source / "track2/train" / modality / name).unlink(missing_ok=True)
        write_raster_file(own_source / "track2/train/sar" / name, np.zeros((SIZE, SIZE), dtype=np.float32))
    for _ in range(2):  # the second time nothing is left to cut
        with pytest.raises(ValueError, match="no crop is left of 3 tiles: no sensor has a valid pixel.* --check"):
            prepare_dfc2023(own_source, tmp_path / "out", tile_size=CROP, num_workers=1)
        assert not (tmp_path / "out" / LABELS).exists() and not (tmp_path / "out/summary.md").exists()


def test_a_second_run_does_nothing(source, tmp_path):
    first = prepare_dfc2023(source, tmp_path, tile_size=CROP, num_workers=1)
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "track2").rglob("*") if path.is_file()}
    second = prepare_dfc2023(source, tmp_path, tile_size=CROP, num_workers=1)
    assert (first.cut, second.cut) == (3, 0) and second.summary == first.summary
    assert {path: path.stat().st_mtime_ns for path in times} == times and len(times) == 23


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("killed_at", [2, 13, 18])
def test_a_killed_run_resumed_equals_an_uninterrupted_one(source, output, tmp_path, killed_at):
    folder = tmp_path / "out"
    child = os.fork()
    if child == 0:  # killed in the middle of a file, as by a full memory
        original, calls = crops._copy_description, []

        def die(*arguments):
            original(*arguments)
            calls.append(1)
            if len(calls) == killed_at:
                os.kill(os.getpid(), signal.SIGKILL)

        crops._copy_description = die
        try:
            prepare_dfc2023(source, folder, tile_size=CROP, num_workers=1)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert not (folder / LABELS).exists() and not json.loads((folder / "prepared.json").read_text())["complete"]
    # In the order of the source's ids: Rio with 4 files, New York with 6, Berlin with 12.
    finished = {2: 0, 13: 2, 18: 2}[killed_at]
    times = {path: path.stat().st_mtime_ns for path in (folder / "track2/train/sar").glob("SV_Rio*.tif")}
    outcome = prepare_dfc2023(source, folder, tile_size=CROP, num_workers=1)
    assert outcome.cut == 3 - finished
    assert all_files(folder) == all_files(output)
    if finished:
        assert len(times) == 4 and {path: path.stat().st_mtime_ns for path in times} == times


def test_what_changed_in_the_input_or_was_lost_from_the_output_is_done_again(own_source, tmp_path):
    run = lambda: prepare_dfc2023(own_source, tmp_path / "out", tile_size=CROP, num_workers=1)  # noqa: E731
    run()
    train = tmp_path / "out/track2/train"
    lost = train / "sar" / crop_names(RIO)[2]
    before = lost.read_bytes()
    lost.unlink()
    assert run().cut == 1 and lost.read_bytes() == before
    lost.write_bytes(before[:-9])
    assert run().cut == 1 and lost.read_bytes() == before

    height = write_raster_file(own_source / "track2/train/dsm" / NEWYORK, np.ones((SIZE, SIZE), dtype=np.float32))
    assert run().cut == 1
    # The height fills the crop in which nothing else has data.
    assert all((train / "dsm" / name).is_file() for name in crop_names(NEWYORK))
    assert len(load_dfc2023(tmp_path / "out", "train")) == 8
    height.unlink()
    assert run().cut == 1
    assert not any((train / "dsm" / name).exists() for name in crop_names(NEWYORK))
    assert not (train / "rgb" / f"{NEWYORK[:-4]}_0_1.tif").exists()
    assert len(load_dfc2023(tmp_path / "out", "train")) == 7


def test_bad_files_are_named_after_the_other_tiles_are_done(own_source, tmp_path):
    rgb, sar = own_source / "track2/train/rgb" / BERLIN, own_source / "track2/train/sar" / RIO
    original = rgb.read_bytes()
    rgb.write_bytes(original[: len(original) // 2])
    write_raster_file(sar, np.ones((SIZE, 60), dtype=np.float32))
    with pytest.raises(ValueError) as error:
        prepare_dfc2023(own_source, tmp_path / "out", tile_size=CROP, num_workers=1)
    text = str(error.value)
    assert text.startswith("2 of 3 tiles cannot be cut")
    assert f"{sar} is 60 x 64 px, expected 64 x 64 px as in the labels." in text
    assert f"cannot read {rgb}" in text and f"--input {own_source} --check" in text
    assert not (tmp_path / "out" / LABELS).exists()
    assert (tmp_path / "out/track2/train/rgb" / crop_names(NEWYORK)[0]).is_file()

    rgb.unlink()  # the tile has other sensors
    write_raster_file(sar, np.ones((SIZE, SIZE), dtype=np.float32))
    outcome = prepare_dfc2023(own_source, tmp_path / "out", tile_size=CROP, num_workers=1)
    assert (outcome.cut, outcome.tiles) == (2, 3)
    berlin = [sample for sample in load_dfc2023(tmp_path / "out", "train") if sample["city"] == "Berlin"]
    assert len(berlin) == 4 and all(sample["modalities"]["rgb"] is None for sample in berlin)


def test_a_finished_output_that_must_change_has_no_labels_until_it_is_whole_again(own_source, tmp_path):
    out = tmp_path / "out"
    run = lambda: prepare_dfc2023(own_source, out, tile_size=CROP, num_workers=1)  # noqa: E731
    run()
    labels, sar = (out / LABELS).read_bytes(), own_source / "track2/train/sar" / RIO
    whole = sar.read_bytes()
    sar.write_bytes(b"")
    with pytest.raises(ValueError, match="1 of 3 tiles cannot be cut"):
        run()
    assert not (out / LABELS).exists() and not json.loads((out / "prepared.json").read_text())["complete"]
    sar.write_bytes(whole)
    assert run().cut == 1 and (out / LABELS).read_bytes() == labels
    assert json.loads((out / "prepared.json").read_text())["complete"]


def test_only_some_of_very_many_problems_are_named(own_source, tmp_path):
    names = [f"SV_Berlin_52.{i}_13.4.tif" for i in range(15)]
    write_labels(own_source, {name: [] for name in names})
    for name in names:
        (own_source / "track2/train/rgb" / name).write_bytes(b"")
    with pytest.raises(ValueError, match=r"15 of 15 tiles cannot be cut(.|\n)*\.\.\. and 5 more") as error:
        prepare_dfc2023(own_source, tmp_path / "out", tile_size=CROP, num_workers=1)
    assert str(error.value).count("cannot read") == 10


def test_two_runs_do_not_share_an_output(source, tmp_path):
    with sole_user(tmp_path / "out"), pytest.raises(OccupiedError, match="out is in use: another process writes to it"):
        prepare_dfc2023(source, tmp_path / "out", tile_size=CROP, num_workers=1)
