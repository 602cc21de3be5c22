"""Public datasets in the layout of their downloads: checked, trained on and scored with every subset, by the commands."""

import json

import pytest

from imrsf_d2 import cli
from tests.sen1floods11_files import write_sen1floods11_files
from tests.spacenet6_files import write_spacenet6_files
from tests.tiny import OVERRIDES

#: config -> the folder of $DETECTRON2_DATASETS, and who writes a copy there
WRITERS = {
    "sen1floods11_semantic": ("sen1floods11", write_sen1floods11_files),
    "spacenet6_instance": ("spacenet6", write_spacenet6_files),
    "spacenet6_semantic": ("spacenet6", write_spacenet6_files),
}
SUBSETS = {
    "sen1floods11_semantic": [["s1", "s2"], ["s1"], ["s2"]],
    "spacenet6_instance": [["sar", "rgbnir"], ["sar"], ["rgbnir"]],
    "spacenet6_semantic": [["sar", "rgbnir"], ["sar"], ["rgbnir"]],
}
SMALL = ["MODEL.DEVICE", "cpu", "MODEL.IMRSF.PATCH_SIZE", "8"]


@pytest.mark.parametrize("config", WRITERS)
def test_check_training_and_sweep_run_on_the_files_as_they_come(config, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    folder, write = WRITERS[config]
    write(tmp_path / folder)
    run, sweep = tmp_path / "run", tmp_path / "sweep"
    settings = [*SMALL, *OVERRIDES]
    assert cli.main(["check", "--config-file", config, "--num-workers", "1"]) == 0
    assert "No problem found." in capsys.readouterr().out
    assert cli.main(["train", "--config-file", config, *settings, "OUTPUT_DIR", str(run)]) == 0
    weights = ["MODEL.WEIGHTS", str(run / "model_final.pth")]
    arguments = ["--config-file", str(run / "config.yaml"), "--output", str(sweep), "--resamples", "20", *weights]
    assert cli.main(["subsets", *arguments]) == 0
    data = json.loads((sweep / "modalities.json").read_text())
    assert [row["modalities"] for row in data["rows"]] == SUBSETS[config]
    assert data["rows"][0]["images"] == 2 and (sweep / "subsets.png").is_file()
