"""From a folder of tiles with 0/255 masks to statistics, a model, its scores and pictures, with `--data DIR` alone."""

import json
import re
import shutil

import numpy as np
import pytest
import rasterio
import yaml

from imrsf_d2.commands import statistics, subsets, train, visualize
from imrsf_d2.data.datasets.dfc2023 import load_dfc2023
from imrsf_d2.data.labels import label_annotations
from tests.raster_files import write_raster_file
from tests.tiny import OVERRIDES

DATASET = """
TASK: semantic
MODALITIES:
  - {NAME: rgb, CHANNELS: 3, NODATA: 0, FILES: "rgb/{tile}.tif"}
  - {NAME: dsm, UNIT: m, FILES: "dsm/{tile}.tif"}
LABELS: "masks/{tile}.tif"
CLASSES: [{NAME: background, CODES: [0]}, {NAME: building, CODES: [255]}]
SPLITS: {train: train.txt, val: val.txt}
"""
#: Crops are as large as the tiles without it.
SMALL = [word for pair in zip(OVERRIDES[::2], OVERRIDES[1::2]) if pair[0] != "TEST.DETECTIONS_PER_IMAGE" for word in pair]


@pytest.fixture
def mine(tiny_root, tmp_path):
    """The tiles of the tiny DFC2023 as somebody may have them."""
    folder = tmp_path / "mine"
    for split in ("train", "val"):
        names = []
        for sample in load_dfc2023(tiny_root / "dfc2023", split):
            for sensor in ("rgb", "dsm"):
                path = sample["modalities"][sensor]
                (folder / sensor).mkdir(parents=True, exist_ok=True)
                shutil.copy(path, folder / sensor)
            names.append(path.rpartition("/")[2].removesuffix(".tif"))
            mask = label_annotations(sample["annotations"], sample["height"], sample["width"])
            with rasterio.open(path) as file:
                place = {"crs": file.crs, "transform": file.transform}
            write_raster_file(folder / f"masks/{names[-1]}.tif", 255 * mask, **place)
        (folder / f"{split}.txt").write_text("\n".join(names))
    (folder / "dataset.yaml").write_text(DATASET)
    return folder


@pytest.mark.slow
def test_from_tiles_to_scores(mine, tmp_path, capsys):
    run, sweep = tmp_path / "run", tmp_path / "sweep"
    training = [
        "--data",
        str(mine),
        "--config-file",
        "demo/semantic",
        *SMALL,
        "SOLVER.MAX_ITER",
        "2",
        "OUTPUT_DIR",
        str(run),
    ]
    assert train.main(training) == 2 and "have no MEAN and STD" in capsys.readouterr().err
    assert statistics.main(["--data", str(mine), "--write", "--num-workers", "1"]) == 0
    heights = []
    for name in (mine / "train.txt").read_text().split():
        with rasterio.open(mine / f"dsm/{name}.tif") as file:
            heights.append(file.read().astype(np.float64))
    written = yaml.safe_load((mine / "statistics.yaml").read_text())
    assert list(written) == ["rgb", "dsm"] and written["dsm"]["MEAN"] == [pytest.approx(np.mean(heights), rel=1e-3)]

    assert train.main(training) == 0
    before = sorted(path.relative_to(mine) for path in mine.rglob("*"))
    assert (run / "inference/mine_val/confusion.json").is_file()
    assert sorted(path.relative_to(mine) for path in mine.rglob("*")) == before  # nothing is written into the dataset

    finished = ["--config-file", str(run / "config.yaml"), "--output", str(sweep), "--resamples", "0"]
    weights = ["MODEL.WEIGHTS", str(run / "model_final.pth")]
    assert subsets.main([*finished, *weights]) == 0
    scores = json.loads((sweep / "modalities.json").read_text())["rows"]
    moved = mine.rename(tmp_path / "moved")
    assert subsets.main([*finished, *weights]) == 2
    assert "no dataset file" in capsys.readouterr().err
    assert subsets.main([*finished, "--data", str(moved), *weights]) == 0  # the same data: finished subsets are kept
    assert json.loads((sweep / "modalities.json").read_text())["rows"] == scores and len(scores) == 3

    pictures = ["--data", str(moved), "--config-file", str(run / "config.yaml"), "--split", "test", "--number", "1"]
    assert visualize.main([*pictures, "--output", str(tmp_path / "look"), *weights]) == 0
    assert (tmp_path / "look/moved_val/rgb+dsm_1.png").is_file()


@pytest.mark.parametrize(
    "command, options, message",
    [
        (train, [], "neither --config-file nor --data is given"),
        (train, ["--data", "nowhere"], "no dataset file .*nowhere"),
        (train, ["--data", "{mine}/dataset.yaml"], "has the splits test, other .SPLITS., expected train"),
        (
            subsets,
            ["--output", "out", "--data", "{mine}/dataset.yaml:val"],
            "has no split 'val', expected one of test, other",
        ),
    ],
)
def test_a_mistake_is_named(mine, capsys, command, options, message, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (mine / "dataset.yaml").write_text(DATASET.replace("{train: train.txt, val: val.txt}", "{test: [a], other: [b]}"))
    assert command.main([option.format(mine=mine) for option in options]) == 2
    assert re.search(message, capsys.readouterr().err)
