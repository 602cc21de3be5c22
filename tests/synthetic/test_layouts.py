"""What holds for every synthetic layout: the same bytes for the same parameters, and nothing of others is replaced."""

import json
import runpy
from dataclasses import replace
from pathlib import Path

import pytest

from imrsf_d2.data.dataset_yaml import read_dataset_file
from imrsf_d2.data.datasets.dfc2023 import load_dfc2023
from imrsf_d2.data.datasets.folder import load_folder
from imrsf_d2.data.datasets.quadruplets import load_quadruplets
from imrsf_d2.synthetic.building_tiles import LABELS
from imrsf_d2.synthetic.folders import MARKER
from imrsf_d2.synthetic.landscape_style import OrbitStyle
from imrsf_d2.synthetic.layouts import LAYOUTS, write_layout
from imrsf_d2.synthetic.style import SensorStyle

#: layout -> a file that lists the training tiles, and another style of its sensors
LISTS = {"dfc2023": LABELS, "quadruplets": "splits/train.txt", "panoptic": "dataset.yaml"}
STYLES = {"dfc2023": replace(SensorStyle(), rgb_noise=5.0)} | dict.fromkeys(
    ("quadruplets", "panoptic"), replace(OrbitStyle(), cloudy_every=0)
)
#: Files of four training and two validation tiles: of three sensors each, the labels and the marker; of four sensors and
#: the labels each without the fourth training tile's missing sensor, two lists and the marker (and the dataset.yaml).
NUM_FILES = {"dfc2023": 6 * 3 + 2, "quadruplets": 6 * 5 - 1 + 3, "panoptic": 6 * 5 - 1 + 4}

pytestmark = pytest.mark.parametrize("layout", sorted(LAYOUTS))


def write(layout, output, num_train=4, num_val=2, **options):
    return write_layout(
        layout, output, num_train=num_train, num_val=num_val, **{"size": 64, "seed": 0, "num_workers": 1, **options}
    )


def load_described(folder, split):
    return load_folder(read_dataset_file(folder / "dataset.yaml"), split)


def all_bytes(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_same_seed_same_bytes_for_any_number_of_workers(layout, tmp_path):
    write(layout, tmp_path / "one"), write(layout, tmp_path / "two", num_workers=2)
    one = all_bytes(tmp_path / "one")
    assert one == all_bytes(tmp_path / "two") and len(one) == NUM_FILES[layout]


def test_a_tile_does_not_depend_on_how_many_there_are_and_seeds_differ(layout, tmp_path):
    write(layout, tmp_path / "few"), write(layout, tmp_path / "more", 5, 3), write(layout, tmp_path / "other", seed=1)
    few, more, other = (all_bytes(tmp_path / name) for name in ("few", "more", "other"))
    rasters = {name for name in few if name.endswith((".tif", ".png"))}
    assert all(few[name] == more[name] for name in rasters)
    assert not any(few[name] == other.get(name) for name in rasters)


def test_second_run_does_nothing_and_other_parameters_need_overwrite(layout, tmp_path):
    assert write(layout, tmp_path, 1, 1) and not write(layout, tmp_path, 1, 1)
    before = all_bytes(tmp_path)
    with pytest.raises(FileExistsError, match=r"num_train was 1, now 2; sensors was .*--overwrite"):
        write(layout, tmp_path, 2, 1, sensors=STYLES[layout])
    assert all_bytes(tmp_path) == before
    assert write(layout, tmp_path, 2, 1, overwrite=True) and all_bytes(tmp_path) != before


@pytest.mark.parametrize("complete", [True, False])
def test_what_is_missing_of_interrupted_or_damaged_data_is_written_again(layout, complete, tmp_path):
    write(layout, tmp_path, 1, 1)
    before = all_bytes(tmp_path)
    for path in tmp_path.rglob(LISTS[layout]):
        path.unlink()
    if layout == "quadruplets" and complete:  # a list alone may be missing: a split may have no tiles
        (tmp_path / "splits/val.txt").unlink()
        (tmp_path / "splits").rmdir()
    marker = json.loads((tmp_path / MARKER).read_text())
    (tmp_path / MARKER).write_text(json.dumps({**marker, "complete": complete}))
    assert write(layout, tmp_path, 1, 1) and all_bytes(tmp_path) == before


def test_data_of_unknown_origin_is_never_removed(layout, tmp_path):
    precious = tmp_path / {"dfc2023": "track2/train/rgb", "quadruplets": "s2", "panoptic": "s2"}[layout] / "precious.tif"
    precious.parent.mkdir(parents=True)
    precious.write_text("real")
    with pytest.raises(FileExistsError, match="was not written by this command"):
        write(layout, tmp_path, overwrite=True)
    assert precious.read_text() == "real" and len(all_bytes(tmp_path)) == 1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"size": 100}, "size is 100 px.*multiple of 32"),
        ({"size": 32}, "at least 64"),
        ({"num_train": -1}, "num_train=-1"),
        ({"num_train": 0, "num_val": 0}, "at least one tile"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_wrong_parameters_are_named_before_anything_is_written(layout, wrong, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        write(layout, tmp_path / "new", **wrong)
    assert not (tmp_path / "new").exists()


def test_one_split_alone_can_be_written_and_read(layout, tmp_path):
    assert write(layout, tmp_path, 2, 0) and not write(layout, tmp_path, 2, 0)
    load = {"dfc2023": load_dfc2023, "quadruplets": load_quadruplets, "panoptic": load_described}[layout]
    assert len(load(tmp_path, "train")) == 2


def test_command_writes_then_finds_nothing_to_do_then_refuses(layout, tmp_path, capsys):
    main = runpy.run_path(str(Path(__file__).parents[2] / "datasets" / "make_synthetic.py"))["main"]
    command = ["--layout", layout, "--output", str(tmp_path), "--num-val", "1", "--size", "64", "--num-workers", "1"]
    assert main([*command, "--num-train", "1"]) == 0 and (tmp_path / LISTS[layout]).exists()
    assert main([*command, "--num-train", "1"]) == 0 and "nothing to do" in capsys.readouterr().out
    assert main([*command, "--num-train", "2"]) == 2 and "--overwrite" in capsys.readouterr().err
    assert main([*command, "--num-train", "2", "--overwrite"]) == 0
