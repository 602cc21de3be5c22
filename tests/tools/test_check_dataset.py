"""The command line of tools/check_dataset.py."""

import json

import pytest

from imrsf_d2.commands.check import main
from tests.tiny import NUM_TRAIN, NUM_VAL, OVERRIDES, REPOSITORY

CONFIG = str(REPOSITORY / "configs/dfc2023_instance.yaml")


def test_a_config_names_the_datasets_and_what_they_should_be(tiny_root, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tiny_root))
    arguments = ["--num-workers", "1", "--json", str(tmp_path / "found.json"), "--config-file", CONFIG, *OVERRIDES]
    assert main(arguments) == 0
    assert f"(train {NUM_TRAIN}, val {NUM_VAL})" in capsys.readouterr().out
    datasets = json.loads((tmp_path / "found.json").read_text())["datasets"]
    assert datasets["dfc2023_track2_val"]["files"] == {"sar": NUM_VAL, "rgb": NUM_VAL, "dsm": NUM_VAL, "labels": 0}
    radar = "[{'NAME': 'sar', 'CHANNELS': 2}, {'NAME': 'rgb', 'CHANNELS': 3}]"
    assert main([*arguments, "MODEL.IMRSF.MODALITIES", radar]) == 1
    assert f"sar: {NUM_TRAIN + NUM_VAL} files with other bands (train {NUM_TRAIN}, val {NUM_VAL})" in capsys.readouterr().out


def test_a_registered_dataset_is_checked_without_a_config(tiny_root, monkeypatch, capsys):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tiny_root))
    assert main(["--num-workers", "1", "--dataset", "dfc2023_track2_val"]) == 0
    assert "No problem found." in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "nothing to check: expected --data, --config-file or --dataset"),
        (["--data", "a", "--dataset", "b"], "give --data or --dataset"),
        (["--dataset", "b", "SEED", "1"], "KEY VALUE pairs need a --config-file"),
        (["--data", "nowhere"], "no dataset file"),
        (["--dataset", "nobody"], "--dataset names 'nobody', which is not registered"),
    ],
)
def test_what_cannot_be_checked_is_said(arguments, message, capsys):
    try:
        code = main(arguments)
    except SystemExit as error:
        code = error.code
    assert code == 2 and message in capsys.readouterr().err
