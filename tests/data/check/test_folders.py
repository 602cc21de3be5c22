"""A damaged folder with a dataset.yaml is checked to its end: what stops training is listed beside what is in the files."""

import json

import numpy as np
import pytest
import rasterio
import yaml

from imrsf_d2.commands.check import main
from tests.raster_files import annotation

QUERIES = "MODEL.MASK_FORMER.NUM_OBJECT_QUERIES"
MODALITIES = [{"NAME": "s1", "CHANNELS": 1, "FILES": "s1/{tile}.tif"}, {"NAME": "dem", "FILES": "dem/{tile}.tif"}]


@pytest.fixture
def check(tmp_path, write_raster, capsys):
    """Writes tiles and a dataset.yaml; returns a function that checks it and gives exit code, report and findings."""

    def prepare(tiles, **keys):
        for tile in tiles:
            for sensor in ("s1", "dem"):
                values = np.random.default_rng([ord(tile), len(sensor)]).normal(500, 100, (8, 8))
                write_raster(tmp_path / sensor / f"{tile}.tif", values.astype(np.float32))
        (tmp_path / "dataset.yaml").write_text(yaml.safe_dump({"MODALITIES": MODALITIES, **keys}))

        def run(*arguments):
            code = main(["--data", str(tmp_path), "--num-workers", "1", "--json", str(tmp_path / "found.json"), *arguments])
            data = json.loads((tmp_path / "found.json").read_text())
            found = {(group["kind"], group["sensor"]): group for group in data["problems"] + data["remarks"]}
            return code, capsys.readouterr().out, found

        return run

    return prepare


def test_label_maps(check, tmp_path, write_raster):
    run = check(
        "abcx",
        TASK="semantic",
        LABELS="labels/{tile}.tif",
        CLASSES=[{"NAME": "land"}, {"NAME": "water"}],
        SPLITS={"train": ["a", "b", "c", "gone"], "val": ["x"]},
    )
    labels = np.random.default_rng(0).integers(0, 2, (8, 8)).astype(np.uint8)
    for tile in "ax":
        write_raster(tmp_path / f"labels/{tile}.tif", labels)
    (tmp_path / "labels/c.tif").write_bytes(b"II*\0")
    (tmp_path / "dem/x.tif").write_bytes(b"II*\0")
    code, text, found = run()
    assert code == 1 and "\nPROBLEMS\n" in text
    unread = {("unreadable", "labels"), ("unreadable", "dem")}
    assert found.keys() == {
        ("samples", None),
        *unread,
        ("no_statistics", None),
        ("orphans", "s1"),
        ("orphans", "dem"),
    }  # those of the tile b
    assert [found[key]["count"] for key in sorted(unread)] == [1, 1]
    lists = [problem["found"] for problem in found["samples", None]["findings"]]
    assert (
        len(lists) == 2
        and "2 of the 4 tiles" in lists[0]
        and "have no label raster: 'b', 'gone'" in lists[0]
        and "no file of any sensor: 'gone'" in lists[1]
    )


def test_annotations(check, tmp_path):
    squares = {"a": [1, 2, 3], "b": [4], "x": [5]}
    numbers = {tile: index for index, tile in enumerate(squares)}
    for split, tiles in {"train": "ab", "val": "x"}.items():
        annotations = [
            annotation(number, numbers[tile], [[1, 1, 5, 1, 5, 4, 1, 4]]) for tile in tiles for number in squares[tile]
        ]
        annotations[0] |= {"category_id": 9} if split == "train" else {}
        annotations[-1] |= {"segmentation": [[1, 1]]} if split == "train" else {}
        images = [{"id": numbers[tile], "file_name": f"{tile}.tif", "height": 8, "width": 8} for tile in tiles]
        categories = [{"id": 1, "name": "building"}]
        (tmp_path / f"{split}.json").write_text(
            json.dumps({"images": images, "annotations": annotations, "categories": categories})
        )
    run = check("abx", TASK="instance", CLASSES=[{"NAME": "building"}], SPLITS={"train": "train.json", "val": "val.json"})
    code, text, found = run(QUERIES, "1", "INPUT.CROP.SIZE", "[8, 8]", "TEST.DETECTIONS_PER_IMAGE", "1")
    assert code == 1 and found.keys() == {("samples", None), ("no_statistics", None), ("queries", "labels")}
    problems = [problem["found"] for problem in found["samples", None]["findings"]]
    assert ["category_id 9" in problems[0], "annotation 4 of 'b.tif' has an unusable segmentation" in problems[1]] == [
        True,
        True,
    ]
    assert found["queries", "labels"]["findings"] == [
        {"file": str(numbers["a"]), "dataset": "train", "found": "2 objects", "expected": f"at most 1 ({QUERIES})"}
    ]
    rows = [line.split() for line in text.splitlines()]
    assert ["objects", "2", "1"] in rows and ["tiles", "without", "any", "1", "0"] in rows
    assert ["size", "in", "px:", "5", "%,", "median,", "95", "%", "12,", "12,", "12", "12,", "12,", "12"] in rows


def test_without_a_named_config_its_crop_is_not_judged_but_missing_statistics_are(check, tmp_path, write_raster):
    run = check("abx", TASK="pretrain", SPLITS={"train": ["a", "b"], "val": ["x"]})
    code, text, found = run()
    assert code == 0 and found.keys() == {("no_statistics", None)}
    assert [finding["found"] for finding in found["no_statistics", None]["findings"]] == ["s1", "dem"]
    assert f"python tools/compute_statistics.py --data {tmp_path} --write measures them." in " ".join(text.split())
    assert run("--config-file", "pretrain")[2].keys() == {("no_statistics", None), ("padding", None)}
    assert run("INPUT.CROP.SIZE", "[16, 16]")[2].keys() == {("no_statistics", None), ("padding", None)}
    statistics = {name: {"MEAN": [500], "STD": [100]} for name in ("s1", "dem")}
    (tmp_path / "statistics.yaml").write_text(yaml.safe_dump(statistics))
    assert not run()[2]


def test_the_table_names_bands_and_counts_files_that_differ(check, tmp_path, write_raster):
    run = check("abx", TASK="pretrain", SPLITS={"train": ["a", "b"], "val": ["x"]})
    for tile in "abx":
        nodata = {"nodata": -9999} if tile == "x" else {}
        values = np.random.default_rng(ord(tile)).normal(500, 100, (8, 8)).astype(np.float32)
        with rasterio.open(write_raster(tmp_path / "dem" / f"{tile}.tif", values, **nodata), "r+") as file:
            file.set_band_description(1, "height")
    row = next(line for line in run()[1].splitlines() if line.startswith("dem "))
    assert "1 named 'height'" in row and "none in 2 of 3 files" in row
