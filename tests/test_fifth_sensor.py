"""A fifth sensor by YAML alone, as docs/drop_in.md has it: trained on from weights of the other four, and swept."""

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
import yaml
from detectron2.modeling import build_model

from imrsf_d2.commands import statistics, subsets, train
from imrsf_d2.engine.configuration import load_config
from imrsf_d2.synthetic.land_cover_tiles import write_quadruplets
from tests.drop_in import BLOCKS
from tests.tiny import OVERRIDES

EXAMPLE = next(block for kind, block in BLOCKS if kind == "yaml" and block.startswith("# dataset.yaml\n"))
SENSORS = ("s1", "s2", "dem", "dnw", "thermal")
#: In the order of the file; the example takes the second and third.
KELVIN = {"QA": 0.0, "B10": 290.0, "B11": 280.0}


@pytest.fixture
def folder(tmp_path):
    """Quadruplets, thermal files beside all but one of their tiles, and the example's `dataset.yaml` with statistics."""
    folder = tmp_path / "quadruplets"
    write_quadruplets(folder, num_train=4, num_val=2, size=64, seed=1, num_workers=1)
    (folder / "thermal").mkdir()
    for path in sorted((folder / "dem").glob("*.tif"))[1:]:
        with rasterio.open(path) as file:
            profile = {**file.profile, "count": 3, "dtype": "float32", "nodata": None}
        with rasterio.open(folder / "thermal" / path.name, "w", **profile) as file:
            for band, (name, kelvin) in enumerate(KELVIN.items(), 1):
                file.write(kelvin + np.arange(64 * 64, dtype=np.float32).reshape(64, 64) / 1000, band)
                file.set_band_description(band, name)
    (folder / "dataset.yaml").write_text(EXAMPLE)
    assert statistics.main(["--data", str(folder), "--write", "--num-workers", "1"]) == 0
    return folder


def weights_of_four(folder: Path, path: Path):
    """Weights of a model that has never heard of the fifth."""
    four = folder.parent / "four"
    four.mkdir()
    described = yaml.safe_load(EXAMPLE)
    described |= {"ROOT": str(folder), "MODALITIES": described["MODALITIES"][:4]}
    measured = yaml.safe_load((folder / "statistics.yaml").read_text())
    del measured["thermal"]
    (four / "dataset.yaml").write_text(yaml.safe_dump(described, sort_keys=False))
    (four / "statistics.yaml").write_text(yaml.safe_dump(measured))
    names = ["DATASETS.TRAIN", f"('{four}/dataset.yaml:train',)", "DATASETS.TEST", "()"]
    state = build_model(load_config("demo/semantic", [*OVERRIDES, *names])).state_dict()
    torch.save({"model": state}, path)
    return state


def test_a_fifth_sensor_is_trained_and_swept(folder, tmp_path, capsys):
    measured = yaml.safe_load((folder / "statistics.yaml").read_text())["thermal"]["MEAN"]
    assert measured == pytest.approx([292.0, 282.0], abs=0.1)  # of B10 and B11, not of the first two bands
    four, run = weights_of_four(folder, tmp_path / "four.pth"), tmp_path / "run"
    no_step = ["SOLVER.MAX_ITER", "1", "SOLVER.STEPS", "()", "SOLVER.BASE_LR", "0.0", "SOLVER.CHECKPOINT_PERIOD", "9"]
    arguments = ["--data", str(folder), "--config-file", "demo/semantic", *OVERRIDES, *no_step]
    assert train.main([*arguments, "MODEL.WEIGHTS", str(tmp_path / "four.pth"), "OUTPUT_DIR", str(run)]) == 0
    assert "kept random: backbone.patch_embed.thermal;" in (run / "log.txt").read_text()
    five = torch.load(run / "model_final.pth", weights_only=False)["model"]
    own = {key for key in five if key not in four}
    assert own and all(key.startswith("backbone.patch_embed.thermal.") for key in own)
    shared = [key for key in four if key in five and "num_batches" not in key]
    assert len(shared) == len(four) and all(torch.equal(four[key], five[key]) for key in shared)

    sweep = [
        "--config-file",
        str(run / "config.yaml"),
        "--output",
        str(tmp_path / "sweep"),
        "--resamples",
        "5",
        "--tiles",
        "0",
    ]
    assert subsets.main([*sweep, "MODEL.WEIGHTS", str(run / "model_final.pth")]) == 0
    record = json.loads((tmp_path / "sweep/modalities.json").read_text())
    found = [frozenset(row["modalities"]) for row in record["rows"]]
    wanted = {frozenset(subset) for size in range(1, 6) for subset in combinations(SENSORS, size)}
    assert len(found) == 31 and set(found) == wanted
    assert "THERMAL" in (tmp_path / "sweep/modalities.md").read_text()
