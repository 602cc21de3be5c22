"""A second run: after an interruption, with other parameters, cities or splits, or with nothing new."""

import os
import shutil
from pathlib import Path

import pytest

from imrsf_d2.data.datasets.quadruplets import load_quadruplets
from imrsf_d2.data.quadruplet_layout import LABELS
from imrsf_d2.preparation.quadruplets import land_cover
from imrsf_d2.preparation.quadruplets import tiles as quadruplet_tiles
from imrsf_d2.utils.locks import sole_user
from tests.folders import contents
from tests.preparation.quadruplets.scene_files import write_city


@pytest.mark.parametrize("calls", [1, 4, 22])
def test_an_interrupted_run_goes_on_to_the_same_bytes(prepare, tmp_path, monkeypatch, capsys, calls):
    """Interrupted before the n-th raster; each tile has five, labels last."""
    assert prepare(output="whole") == 0
    written, write = [], quadruplet_tiles.write_raster

    def interrupted(path, *arguments, **options):
        if len(written) == calls:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(f"{path}.0123456789ab.tmp").write_text("what a kill leaves behind")
            raise KeyboardInterrupt
        written.append(path)
        write(path, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(quadruplet_tiles, "write_raster", interrupted)
        assert prepare() == 130
    assert not (tmp_path / "out" / "splits").exists()
    complete = [path for path in written if path.parent.name == LABELS]

    resumed = []
    monkeypatch.setattr(quadruplet_tiles, "write_raster", lambda path, *a, **k: (resumed.append(path), write(path, *a, **k)))
    assert prepare() == 0
    assert not {path.name for path in complete} & {path.name for path in resumed}  # not redone
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    capsys.readouterr()


def test_a_second_run_does_nothing_again(prepare, tmp_path, monkeypatch):
    assert prepare() == 0
    before = contents(tmp_path / "out")
    monkeypatch.setattr(land_cover, "rasterize_labels", None)  # skipped tiles are remembered too
    assert prepare() == 0
    assert contents(tmp_path / "out") == before


def test_tiles_whose_files_are_gone_or_not_whole_are_made_again(prepare, tmp_path):
    assert prepare() == 0
    before = contents(tmp_path / "out")
    (tmp_path / "out" / LABELS / "Nice_0000_0000.tif").unlink()
    cut_short = tmp_path / "out" / "s2" / "Nice_0000_0001.tif"
    cut_short.write_bytes(cut_short.read_bytes()[:-9])
    assert prepare() == 0
    assert contents(tmp_path / "out") == before


def test_other_parameters_are_no_mixture(prepare, tmp_path, capsys):
    assert prepare() == 0
    before = contents(tmp_path / "out")
    for arguments, message in (
        (["--resolution", "20"], "resolution was 10.0, now 20.0"),
        (["--min-labeled", "0.5"], "min_labeled was 0.05, now 0.5"),
    ):
        assert prepare(*arguments) == 2
        assert message in capsys.readouterr().err
    assert contents(tmp_path / "out") == before


def test_another_split_of_the_same_tiles(prepare, tmp_path):
    assert prepare("--val-cities", "Nice") == 0
    assert prepare("--val-cities", "Aix_en_Provence") == 0
    assert {sample["city"] for sample in load_quadruplets(tmp_path / "out", "val")} == {"Aix_en_Provence"}
    assert prepare("--val-cities") == 0
    assert len(load_quadruplets(tmp_path / "out", "train")) == 6
    assert not (tmp_path / "out" / "splits" / "val.txt").exists()


def test_cities_may_be_added_but_not_changed(prepare, exports, tmp_path, capsys):
    assert prepare() == 0
    write_city(exports, "Perth", left=500_000.0, seed=2)
    assert prepare("--val-cities", "Perth") == 0
    assert len(load_quadruplets(tmp_path / "out", "val")) == 3 and len(load_quadruplets(tmp_path / "out", "train")) == 6
    os.utime(exports / "Nice" / "s2.tif", (1, 1))
    assert prepare() == 2
    assert "holds tiles of Nice made from other files: s2.tif" in capsys.readouterr().err
    shutil.rmtree(exports / "Nice")
    assert prepare() == 2
    assert "Nice, which is no longer in the input" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["summary.md", ".prepared/notes", "labels/a.tif"])
def test_data_of_others_are_left_alone(prepare, tmp_path, capsys, name):
    path = tmp_path / "out" / name
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    assert prepare() == 2
    assert "was not written by this command" in capsys.readouterr().err and contents(tmp_path / "out") == {name: b"mine"}


def test_an_attempt_that_made_nothing_binds_to_nothing(prepare, tmp_path, capsys):
    assert prepare("--min-labeled", "1") == 2
    assert prepare() == 0
    capsys.readouterr()


def test_two_runs_do_not_share_an_output(prepare, tmp_path, capsys):
    with sole_user(tmp_path / "out"):
        assert prepare() == 2
    assert "out is in use: another process writes to it" in capsys.readouterr().err
    assert not list((tmp_path / "out").iterdir())
