"""The command line of datasets/prepare_dfc2023.py."""

import importlib.util
import json
import subprocess
import sys

import pytest

from imrsf_d2.data.datasets.dfc2023 import load_dfc2023
from tests.tiny import NUM_TRAIN, NUM_VAL, REPOSITORY, SIZE

TOOL = REPOSITORY / "datasets/prepare_dfc2023.py"


@pytest.fixture(scope="module")
def main():
    spec = importlib.util.spec_from_file_location("prepare_dfc2023", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return lambda *arguments: module.main([str(argument) for argument in arguments])


def test_cut_then_find_nothing_to_do_then_check(main, tiny_root, tmp_path, capsys):
    out = tmp_path / "dfc2023"
    command = ["--input", tiny_root / "dfc2023", "--output", out, "--tile-size", SIZE // 2, "--num-workers", 1]
    tiles = NUM_TRAIN + NUM_VAL
    assert main(*command) == 0
    text = capsys.readouterr().out
    assert f"{tiles} tiles are in {out}; {tiles} of them were cut in this run." in text and "| Berlin" in text
    assert main(*command) == 0
    assert f"{out} already holds exactly this data; nothing to do." in capsys.readouterr().out
    assert len(load_dfc2023(out, "train")) == 4 * NUM_TRAIN and len(load_dfc2023(out, "val")) == 4 * NUM_VAL
    (out / "track2/train/dsm" / sorted((out / "track2/train/dsm").iterdir())[0]).unlink()
    assert main(*command) == 0
    assert f"{tiles} tiles are in {out}; 1 of them were cut in this run." in capsys.readouterr().out

    before = sorted(out.rglob("*"))
    assert main("--input", out, "--check", "--num-workers", 1) == 0
    assert capsys.readouterr().out.startswith(f"{4 * 3 * tiles} rasters and their labels checked")
    assert sorted(out.rglob("*")) == before


def test_tiles_are_cut_to_256_px_unless_told_otherwise(main, tiny_root, tmp_path, capsys):
    assert main("--input", tiny_root / "dfc2023", "--output", tmp_path, "--num-workers", 1) == 2
    assert f"error: the tile size 256 does not divide {NUM_TRAIN + NUM_VAL} of" in capsys.readouterr().err
    assert main("--input", tiny_root / "dfc2023", "--output", tmp_path, "--num-workers", 1, "--tile-size", "keep") == 0
    assert json.loads((tmp_path / "prepared.json").read_text())["parameters"]["tile_size"] == "keep"


def test_check_lists_problems_and_exits_with_1(main, tmp_path, capsys):
    folder = tmp_path / "track2/train/rgb"
    folder.mkdir(parents=True)
    (folder / "SV_Berlin_1_2.tif").write_bytes(b"")
    assert main("--input", tmp_path, "--check", "--num-workers", 1) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines[:2]] == ["file", "track2/buildings_only_train.json"]
    assert ["track2/train/rgb/SV_Berlin_1_2.tif", "empty", "file", "a", "GeoTIFF"] in [line.split() for line in lines]
    assert lines[-1] == "4 problems in 4 files; 1 rasters checked"  # two folders are missing, and the labels


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--check", "--output", "x"], "not allowed with argument"),
        ([], "one of the arguments --output --check is required"),
        (["--check", "--tile-size", "256"], "leave out --tile-size"),
        (["--output", "x", "--tile-size", "half"], "'half', expected pixels, e.g. 256, or keep"),
        (["--output", "x", "--tile-size", "0"], "'0', expected pixels, e.g. 256, or keep"),
        (["--check", "--num-workers", "-1"], "--num-workers is -1, expected 0 or more"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_options_that_make_no_sense(main, arguments, message, capsys):
    with pytest.raises(SystemExit) as exit_:
        main("--input", "nowhere", *arguments)
    assert exit_.value.code == 2 and message in capsys.readouterr().err


@pytest.mark.parametrize("action", [["--check"], ["--output", "x"]], ids=lambda a: a[0])
def test_mistakes_end_with_one_line_and_exit_code_2(main, tmp_path, action, capsys):
    assert main("--input", tmp_path / "nowhere", *action) == 2
    assert capsys.readouterr().err.startswith(f"error: no folder 'track2' in {tmp_path / 'nowhere'}")


def test_an_interruption_says_how_to_go_on(main, monkeypatch, capsys):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("imrsf_d2.preparation.dfc2023.prepare.prepare_dfc2023", interrupt)
    assert main("--input", "in", "--output", "out") == 130
    assert "the same command continues from here" in capsys.readouterr().err


def test_help_runs_from_any_folder_and_shows_an_example(tmp_path):
    result = subprocess.run([sys.executable, str(TOOL), "--help"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0 and "python datasets/prepare_dfc2023.py --" in result.stdout
