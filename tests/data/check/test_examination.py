"""Each thing that can be wrong with a dataset is named, alone, with its file; all of them together in one pass."""

import json
import shutil
import zlib
from pathlib import Path

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from rasterio.transform import from_origin

from imrsf_d2.data.check.examination import examine
from imrsf_d2.data.check.plan import Plan
from imrsf_d2.data.check.report import as_data, as_text
from imrsf_d2.data.label_codes import LabelCodes
from imrsf_d2.data.tasks import INSTANCE, SEMANTIC
from imrsf_d2.modalities import Modality, ModalitySet

SIZE = 16
MODALITIES = ModalitySet(
    [
        Modality("s1", 2, mean=(-9, -16), std=(3, 3), transform="db"),
        Modality("s2", 3, mean=(1500,) * 3, std=(300,) * 3),
        Modality("dem", 1, mean=(500,), std=(100,)),
        Modality("dnw", classes=3),
    ]
)
CODES = LabelCodes({10: 0, 20: 1, 0: 255})
TILES = {"train": "abcd", "val": "xy"}


def values(sensor, tile):
    rng = np.random.default_rng([ord(tile), len(sensor), ord(sensor[-1])])
    shape = (SIZE, SIZE)
    return {
        "s1": lambda: 10 ** (rng.normal([[[-9]], [[-16]]], 3, (2, *shape)) / 10).astype(np.float32),
        "s2": lambda: rng.normal(1500, 300, (3, *shape)).clip(300).astype(np.uint16),
        "dem": lambda: rng.normal(500, 100, shape).astype(np.float32),
        "dnw": lambda: rng.integers(0, 3, shape).astype(np.uint8),
        "labels": lambda: rng.choice(np.array([0, 10, 20], np.uint8), shape),
    }[sensor]()


def place(tile, shift_px=0, epsg=32631):
    left = 500_000 + 1000 * ord(tile) + 10 * shift_px
    return {"crs": f"EPSG:{epsg}", "transform": from_origin(left, 5_000_000, 10, 10)}


class Land:
    """Tiles in folders, two splits of which are registered."""

    def __init__(self, root, write_raster):
        self.root, self.write_raster = root, write_raster
        self.samples = {split: [self.sample(tile) for tile in tiles] for split, tiles in TILES.items()}

    def sample(self, tile):
        for sensor in (*MODALITIES.names, "labels"):
            self.put(sensor, tile)
        return {
            "file_name": str(self.path("s2", tile)),
            "image_id": tile,
            "height": SIZE,
            "width": SIZE,
            "modalities": {sensor: str(self.path(sensor, tile)) for sensor in MODALITIES.names},
            "sem_seg_file_name": str(self.path("labels", tile)),
            "sem_seg_codes": CODES,
        }

    def path(self, sensor, tile):
        return self.root / sensor / f"{tile}.tif"

    def put(self, sensor, tile, change=lambda array: array, **profile):
        array = change(values(sensor, tile))
        return self.write_raster(self.path(sensor, tile), array, **(place(tile) | profile))

    def examine(self, **options):
        plan = Plan(("land_train",), ("land_val",), modalities=MODALITIES, measured=frozenset(MODALITIES.names))
        return examine(plan, num_workers=1, **options)


@pytest.fixture
def land(tmp_path, write_raster):
    land = Land(tmp_path, write_raster)
    for split in TILES:
        DatasetCatalog.register(f"land_{split}", lambda split=split: land.samples[split])
        MetadataCatalog.get(f"land_{split}").set(stuff_classes=["water", "trees"], evaluator_type="imrsf_semantic")
    yield land
    for split in TILES:
        DatasetCatalog.remove(f"land_{split}")
        MetadataCatalog.remove(f"land_{split}")


def test_a_sound_dataset_has_no_findings(land):
    land.samples["train"][0]["modalities"]["s1"] = None  # a missing sensor is none
    land.path("s1", "a").unlink()
    examination = land.examine()
    assert [as_data(examination)[key] for key in ("problems", "remarks")] == [[], []]
    text = as_text(examination)
    assert text.startswith(f"Read 29 rasters of 6 tiles (train 4, val 2), below {land.root}.\n")
    assert text.endswith("\n\nNo problem found.")
    labels = np.concatenate([values("labels", tile) for tile in TILES["train"]])
    water = (labels == 10).sum() / (labels > 0).sum()
    rows = {line.split("  ")[0]: line.split() for line in text.splitlines()}
    assert rows["water"][1:] == [f"{water:.1%}", "(4)", *rows["water"][3:]]
    assert rows["s2+dem+dnw"][1:] == ["1", "0"] and rows["s1+s2+dem+dnw"][1:] == ["3", "2"]


def truncate(land):
    path = land.put("s2", "b", compress="deflate")
    path.write_bytes(path.read_bytes()[:-400])


def share_file(land):
    land.samples["val"][0]["modalities"]["dem"] = land.samples["train"][1]["modalities"]["dem"]
    land.put("dem", "b", crs=None, transform=None)  # so that it fits both places
    land.path("dem", "x").unlink()


def fill(value, rows=slice(4)):
    def change(array):
        array = array.copy()
        array[..., rows, :] = value
        return array

    return change


#: what is done -> the kind that is found, its sensor, and what is said of it; one finding of one kind in one file
FAULTS = {
    "truncated": (truncate, "unreadable", "s2", "b.tif: unreadable: "),
    "empty": (lambda land: land.path("s1", "x").write_bytes(b""), "unreadable", "s1", "x.tif: empty file"),
    "empty labels": (lambda land: land.path("labels", "a").write_bytes(b""), "unreadable", "labels", "a.tif: empty file"),
    "bands": (lambda land: land.put("s2", "c", lambda a: a[:2]), "bands", "s2", "c.tif: 2 bands, expected 3 for s2"),
    "size": (
        lambda land: land.put("dem", "a", lambda a: a[:, 1:]),
        "size",
        "dem",
        "a.tif: 15 x 16 px, expected 16 x 16 px as in the annotations",
    ),
    "shifted": (
        lambda land: land.put("dem", "a", **place("a", 5)),
        "elsewhere",
        "dem",
        "a.tif: misplaced by 5 px, expected up to 0.1 px from labels",
    ),
    "zone": (
        lambda land: land.put("dem", "a", **place("a", epsg=32632)),
        "crs",
        "dem",
        "a.tif: CRS EPSG:32632, expected EPSG:32631 as in labels",
    ),
    "sentinel": (
        lambda land: land.put("dem", "a", fill(-9999)),
        "sentinel",
        "dem",
        "a.tif: -9999 in 25.0% of the pixels, expected a no-data tag",
    ),
    "least number": (
        lambda land: land.put("dem", "a", fill(np.finfo(np.float32).min)),
        "sentinel",
        "dem",
        "a.tif: -3.4028234663852886e+38 in 25.0% of the pixels, expected a no-data tag",
    ),
    "border": (lambda land: land.put("s2", "a", fill(0)), "black_border", "s2", "a.tif: 25.0% of the pixels are 0"),
    "decibels": (
        lambda land: land.put("s1", "a", lambda a: 10 * np.log10(a)),
        "decibels",
        "s1",
        "a.tif: 100% of the values are below 0",
    ),
    "constant": (lambda land: land.put("dem", "a", fill(450, slice(None))), "constant_file", "dem", "a.tif: band 1 is 450"),
    "nothing": (lambda land: land.put("dem", "a", fill(np.nan, slice(None))), "no_data", "dem", "a.tif: no valid pixel"),
    "hardly any": (
        lambda land: land.put("dem", "a", fill(np.nan, slice(1, None))),
        "few_valid",
        "dem",
        "a.tif: 6.2% of the pixels valid",
    ),
    "type": (
        lambda land: land.put("s1", "a", lambda a: a.astype(np.float64)),
        "data_types",
        "s1",
        "float32 (5), float64 (1)",
    ),
    "tag": (lambda land: land.put("dem", "a", nodata=-9999), "no_data_tags", "dem", "none (5), -9999 (1)"),
    "class": (
        lambda land: land.put("dnw", "a", fill(7)),
        "values",
        "dnw",
        "a.tif: holds 7 (25.0% of the pixels), expected class indices from 0 to 2",
    ),
    "code": (
        lambda land: land.put("labels", "a", fill(42)),
        "label_codes",
        "labels",
        "train: 42: 6.2% of the pixels, in 1 of 4 label maps, e.g. ",
    ),
    "two bands of labels": (
        lambda land: land.put("labels", "a", lambda a: np.stack([a, a])),
        "label_file",
        "labels",
        "a.tif: has 2 bands, expected 1 (the labels)",
    ),
    "same pixels": (lambda land: land.put("dem", "x", lambda _: values("dem", "b")), "same_pixels", "dem", "x.tif: as "),
    "shared": (share_file, "shared", None, "x: "),
    "orphan": (lambda land: shutil.copy(land.path("dem", "a"), land.path("dem", "z")), "orphans", "dem", "z.tif"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_named_alone(land, fault):
    spoil, kind, sensor, text = FAULTS[fault]
    spoil(land)
    examination = land.examine()
    data = as_data(examination)
    (found,) = data["problems"] + data["remarks"]
    assert (found["kind"], found["sensor"], found["count"]) == (kind, sensor, 1)
    (line,) = (line for line in as_text(examination).replace("\n       ", " ").splitlines() if text in line)
    assert str(land.root) not in line
    assert examination.problems == len(data["problems"])


def test_files_of_other_pixels_are_told_apart_where_a_checksum_of_32_bits_is_not_enough(land):
    """The generator of CRC-32 itself, added to the bits of some pixels, leaves the checksum as it was."""
    generator = np.array([int(bit) for bit in f"{0x104C11DB7:b}"], np.uint8)
    pattern = np.packbits(np.pad(generator, (4, 3)), bitorder="little")
    values_of_b = values("dem", "b")
    array = values_of_b.copy()
    array.reshape(-1).view(np.uint8)[: len(pattern)] ^= pattern
    assert (
        zlib.crc32(array) == zlib.crc32(values_of_b) and not np.array_equal(array, values_of_b) and np.isfinite(array).all()
    )
    land.put("dem", "x", lambda _: array)
    data = as_data(land.examine())
    assert "same_pixels" not in [group["kind"] for group in data["problems"] + data["remarks"]]


def test_tiles_that_overlap_on_the_ground(land):
    for sensor in (*MODALITIES.names, "labels"):
        land.put(sensor, "x", **place("b", 4))
    (found,) = as_data(land.examine())["problems"]
    assert found["kind"] == "overlap"
    assert found["findings"] == [{"file": "x", "dataset": "val", "found": "75% of it or of b", "expected": None}]


def test_a_sensor_as_a_whole(land):
    for tile in "abcdxy":
        land.put("dem", tile, fill(450, slice(None)))
        land.put("s2", tile, lambda a: np.stack([a[0] / 10_000, a[1] * 100.0, a[2] + 450]).astype(np.float32))
    for sample in land.samples["train"]:
        sample["modalities"]["s1"] = None
    for sample in land.samples["train"] + land.samples["val"]:
        sample["modalities"]["dnw"] = None
    found = {(group["kind"], group["sensor"]): group for group in as_data(land.examine())["problems"]}
    assert set(found) == {("constant", "dem"), ("unit", "s2"), ("not_trained", "s1"), ("no_sensor", "dnw")}
    assert found["constant", "dem"]["findings"][0]["found"] == "band 1: 450 in all pixels of 6 files"
    # (0.15 - 1500) / 300 = -5; 100 times as large; and 1.5 standard deviations away, which is a remark
    narrow, wide = (problem["found"] for problem in found["unit", "s2"]["findings"])
    assert "half of the values of band 1 lie within" in narrow and "around -5 standard deviations" in narrow
    assert wide.startswith("band 2: mean 1.49") and "e+05, standard deviation 3" in wide
    (remark,) = (group for group in as_data(land.examine())["remarks"] if group["kind"] == "other_statistics")
    assert [finding["found"].split(":")[0] for finding in remark["findings"]] == ["band 3"]
    assert found["not_trained", "s1"]["findings"][0]["found"] == "2 of 2 tiles"


def test_masks_of_0_and_255_and_classes_without_a_pixel(land):
    for sample in land.samples["train"] + land.samples["val"]:
        del sample["sem_seg_codes"]
        land.put("labels", sample["image_id"], lambda a: np.where(a == 10, 255, 0).astype(np.uint8))
    data = as_data(land.examine())
    assert [(group["kind"], group["count"]) for group in data["problems"]] == [("masks", 2), ("no_classes", 1)]
    assert [(group["kind"], group["count"]) for group in data["remarks"]] == [("absent_classes", 1)]
    assert data["remarks"][0]["findings"][0]["found"] == "no pixel is labeled 'trees'"


@pytest.mark.parametrize("nodata, code, problems", [(255, 255, []), (10, 10, ["masks"])])
def test_a_no_data_tag_of_labels_is_a_problem_only_if_it_hides_a_class(land, nodata, code, problems):
    for sample in land.samples["val"]:
        land.put("labels", sample["image_id"], lambda a: np.where(a == 10, code, a).astype(np.uint8), nodata=nodata)
    data = as_data(land.examine())
    # Of two classes one is left, on which nothing can be scored.
    assert [group["kind"] for group in data["problems"]] == [*problems, "no_classes"]


def test_one_report_has_everything_and_processes_do_not_matter(land):
    for spoil in (truncate, *(FAULTS[fault][0] for fault in ("zone", "decibels", "code", "orphan", "class"))):
        spoil(land)
    examination = land.examine()
    data = as_data(examination)
    assert [found["kind"] for found in data["problems"]] == ["decibels", "values", "crs", "unreadable", "label_codes"]
    assert json.loads(json.dumps(data)) == data
    train = data["datasets"]["land_train"]
    assert train["tiles"] == 4 and train["subsets"] == {"s1+s2+dem+dnw": 4} and train["unknown_codes"] == {"42": 64}
    text = as_text(examination)
    assert "PROBLEMS\n1. s1: 1 file in decibels (train 1)\n" in text and "No problem" not in text
    from imrsf_d2.data.check import examination as module

    module_few, module.FEW_FILES = module.FEW_FILES, 0
    try:
        plan = Plan(("land_train",), ("land_val",), modalities=MODALITIES, measured=frozenset(MODALITIES.names))
        assert as_data(examine(plan, num_workers=2)) == data
    finally:
        module.FEW_FILES = module_few


def test_without_a_config_the_first_files_say_what_is_expected(land):
    land.put("s2", "c", lambda a: a[:2])
    found = as_data(examine(Plan(("land_train",), ()), num_workers=1))["problems"]
    assert [(group["kind"], group["sensor"]) for group in found] == [("bands", "s2")]


def test_a_dataset_that_cannot_be_loaded_does_not_hide_the_others(land):
    def gone():
        raise FileNotFoundError(2, "No such file or directory", "splits.txt")

    DatasetCatalog.remove("land_val")
    DatasetCatalog.register("land_val", gone)
    land.path("dem", "a").write_bytes(b"")
    found = as_data(land.examine())["problems"]
    assert [group["kind"] for group in found] == ["not_loaded", "unreadable"]
    assert "splits.txt" in found[0]["findings"][0]["found"]


@pytest.mark.parametrize("tasks", [(SEMANTIC, INSTANCE), (INSTANCE, SEMANTIC)], ids=lambda tasks: tasks[0].name)
def test_labels_of_each_dataset_are_read_as_its_own_task_has_them(land, tasks):
    """The same annotated half of each tile: pixels of two classes in a semantic dataset, an object in one of instances."""
    half = SIZE * SIZE // 2
    annotation = {"segmentation": [[0, 0, SIZE, 0, SIZE, SIZE // 2, 0, SIZE // 2]], "category_id": 0}
    for split, task in zip(TILES, tasks, strict=True):
        MetadataCatalog.remove(f"land_{split}")
        MetadataCatalog.get(f"land_{split}").set(**{task.classes: ["water", "trees"]}, evaluator_type=task.kind)
        for sample in land.samples[split]:
            del sample["sem_seg_file_name"], sample["sem_seg_codes"]
            sample["annotations"] = [annotation]
    for dataset, task in zip(land.examine().datasets, tasks, strict=True):
        assert dataset.task is task
        tiles = len(dataset.samples)
        if task is SEMANTIC:
            assert dataset.classes.pixels.tolist() == [tiles * half, tiles * half] and dataset.objects is None
        else:
            assert dataset.objects.areas.tolist() == tiles * [half] and dataset.classes is None


def test_files_are_opened_once(land, monkeypatch):
    from imrsf_d2.geo import gdal

    opened, real = [], gdal.rasterio.open
    monkeypatch.setattr(gdal.rasterio, "open", lambda path, *rest, **more: opened.append(path) or real(path, *rest, **more))
    land.examine()
    assert len(opened) == len(set(opened)) == 30 == len(list(Path(land.root).rglob("*.tif")))
