"""The command line of tools/compute_statistics.py."""

import importlib.util
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import rasterio
import yaml

from imrsf_d2.data.datasets import NAMES
from tests.tiny import NUM_TRAIN, NUM_VAL, REPOSITORY

TOOL = REPOSITORY / "tools/compute_statistics.py"
CONFIG = REPOSITORY / "configs/dfc2023_instance.yaml"


@pytest.fixture
def main(tiny_root, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tiny_root))
    spec = importlib.util.spec_from_file_location("compute_statistics", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def run(*arguments, config=CONFIG):
        return module.main(["--config-file", str(config), "--num-workers", "1", *map(str, arguments)])

    return run


def measured(text):
    return {entry["NAME"]: entry for entry in yaml.safe_load(text)["MODEL"]["IMRSF"]["MODALITIES"]}


def test_what_is_printed_is_a_config_with_the_training_sets_numbers(main, tiny_root, tmp_path, capsys):
    assert main() == 0
    text = capsys.readouterr().out
    assert text.startswith("# dfc2023_track2_train\nMODEL:\n") and text.count(f": {NUM_TRAIN} tiles, ") == 3
    heights = []
    for path in sorted((tiny_root / "dfc2023/track2/train/dsm").glob("*.tif")):
        if "Berlin" in path.name or "NewYork" in path.name:
            with rasterio.open(path) as file:
                heights.append(file.read().astype(np.float64))
    assert len(heights) == NUM_TRAIN
    (mean,), (std,) = (measured(text)["dsm"][key] for key in ("MEAN", "STD"))
    assert (mean, std) == (
        pytest.approx(np.mean(heights), abs=5e-4 * np.std(heights)),
        pytest.approx(np.std(heights), rel=1e-3),
    )
    # As pasted into a config of one's own, it is what the next run measures.
    config = tmp_path / "mine.yaml"
    config.write_text(f"_BASE_: {CONFIG}\n{text}")
    assert main(config=config) == 0
    assert capsys.readouterr().out == text


def test_another_dataset_and_other_units(main, capsys):
    assert (
        main(
            "--dataset",
            "dfc2023_track2_val",
            "MODEL.IMRSF.MODALITIES",
            "[{'NAME': 'sar', 'TRANSFORM': 'db', 'CLIP': [-5, -4]}]",
        )
        == 0
    )
    text = capsys.readouterr().out
    assert text.startswith("# dfc2023_track2_val\n") and f"# sar: {NUM_VAL} tiles, " in text
    (sar,) = measured(text).values()
    assert -5 <= sar["MEAN"][0] <= -4 and 0 < sar["STD"][0] <= 0.5 and sar["CLIP"] == [-5, -4]


def test_unreadable_files_are_listed_and_the_rest_is_measured(main, tiny_root, tmp_path, monkeypatch, capsys):
    shutil.copytree(tiny_root, tmp_path / "data")
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path / "data"))
    folder = tmp_path / "data/dfc2023/track2/train/rgb"
    bad = [path for path in sorted(folder.iterdir()) if "Berlin" in path.name or "NewYork" in path.name]
    bad[0].write_bytes(bad[0].read_bytes()[:500])
    assert main() == 0
    out, err = capsys.readouterr()
    assert f"left out: cannot read {bad[0]}" in err
    assert f"# rgb: {NUM_TRAIN - 1} tiles, 1 unreadable, " in out and f"# dsm: {NUM_TRAIN} tiles, 1" in out
    for path in bad:
        path.write_bytes(b"")
    assert main() == 2
    assert f"error: none of the {NUM_TRAIN} files of 'rgb' can be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--dataset", "nowhere"], "--dataset names 'nowhere', which is not registered"),
        (["MODEL.IMRSF.MODALITIES", "[]"], "MODEL.IMRSF.MODALITIES is empty"),
        (["DATASETS.TRAIN"], "KEY VALUE pairs"),
        (["DATASETS.TRAIN", "()"], "there is no sample"),
        (
            ["MODEL.IMRSF.MODALITIES", "[{'NAME': 'lidar'}]"],
            "no sample of ['dfc2023_track2_train'] has any of the model's modalities ['lidar']; found {'rgb': ",
        ),
    ],
)
def test_mistakes_end_with_one_line_and_exit_code_2(main, arguments, message, capsys):
    assert main(*arguments) == 2
    out, err = capsys.readouterr()
    assert message in err.rpartition("error: ")[2] and out == ""


def test_help_runs_from_any_folder_and_shows_an_example(tmp_path):
    result = subprocess.run([sys.executable, str(TOOL), "--help"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0 and "python tools/compute_statistics.py --" in result.stdout
    for name in re.findall(r"--dataset (\w+)", result.stdout.partition("Examples:")[2]):
        assert name in NAMES
