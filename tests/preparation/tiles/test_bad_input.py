"""What may be wrong with scenes, labels and options: each is named, nothing is written, and no command ends in a traceback."""

import re
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import shapely

from imrsf_d2.cli import main
from imrsf_d2.utils.locks import sole_user
from tests.preparation.tiles.places import CRS, LEFT, TOP, box, place, rgb, write_polygons
from tests.raster_files import write_raster_file


@pytest.fixture(scope="module")
def there(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bad")
    write_raster_file(folder / "rgb.tif", rgb(), **place())
    write_raster_file(folder / "sar.tif", np.ones((100, 128), np.float32), **place())
    write_raster_file(folder / "nowhere.tif", rgb())
    write_raster_file(folder / "empty.tif", np.full((100, 128), np.nan, np.float32), **place())
    write_raster_file(folder / "codes.tif", np.indices((100, 128))[0].astype(np.uint8) // 60, **place())
    write_raster_file(folder / "unlabeled.tif", np.full((100, 128), 255, np.uint8), nodata=255, **place())
    write_raster_file(folder / "mask.tif", np.indices((100, 128))[0].astype(np.uint8) // 60, nodata=0, **place())
    write_raster_file(folder / "away.tif", np.zeros((100, 128), np.uint8), **place(left=LEFT + 9e4))
    (folder / "cut.tif").write_bytes((folder / "rgb.tif").read_bytes()[:9000])
    (folder / "text.txt").write_text("hello")
    write_polygons(folder / "good.gpkg", [box(2, 3, 12, 9)], use=["a"])
    write_polygons(folder / "infinite.gpkg", [box(2, 3, 12, 9)] * 2, use=[np.inf, 1e20])
    write_raster_file(folder / "huge.tif", np.full((100, 128), 1e20, np.float32), **place())
    write_polygons(folder / "away.gpkg", [shapely.transform(box(2, 3, 12, 9), lambda points: points + (5e4, 0))])
    write_polygons(folder / "points.gpkg", [shapely.Point(LEFT, TOP)])
    write_polygons(folder / "nowhere.shp", [box(2, 3, 12, 9)])
    (folder / "nowhere.prj").unlink()
    pyogrio.raw.write(folder / "empty.gpkg", np.array([], dtype=object), [], [], geometry_type="Polygon", crs=CRS)
    (folder / "table.csv").write_text("code,class\n0,x\nb,y\n")
    (folder / "zeros.csv").write_text("code,class\n0,x\n")
    (folder / "both.csv").write_text("code,class\n0,ground\n1,building\n")
    write_polygons(folder / "vectors/a.gpkg", [box(2, 3, 12, 9)])
    (folder / "mine").mkdir()
    (folder / "mine/dataset.yaml").write_text("of somebody else\n")
    return folder


POLYGONS, RASTER = ("--labels", "{}/good.gpkg", "--task", "instance"), ("--labels", "{}/codes.tif", "--task", "semantic")
CASES = {
    "labels apart": (
        ("--labels", "{}/away.gpkg", "--task", "instance"),
        "x 441002 to 441012.*x 391000 to 391128.*longitude",
    ),
    "rasters apart": (("--labels", "{}/away.tif", "--task", "semantic"), "do not overlap.*x 481000.*x 391000"),
    "no feature": (("--labels", "{}/empty.gpkg", "--task", "instance"), "layer 'empty' is empty"),
    "no polygon": (("--labels", "{}/points.gpkg", "--task", "instance"), "no polygon.*found Point"),
    "no system": (("--labels", "{}/nowhere.shp", "--task", "instance"), "which coordinate system.*ogr2ogr -a_srs"),
    "no label file": (("--labels", "{}/none.gpkg", "--task", "instance"), "none.gpkg names no file"),
    "vector files": (
        ("--labels", "{}/*.gpkg", "--task", "instance"),
        "names [45] files of which .*gpkg is no raster.* one vector",
    ),
    "a folder of them": (("--labels", "{}/vectors", "--task", "instance"), "names 1 file of which .*a.gpkg is no raster"),
    "an empty folder": (("--labels", "{}/mine", "--task", "instance"), "cannot read --labels .*mine"),
    "unwritable": ((*POLYGONS, "--output", "/proc/new/out"), "the output /proc/new/out cannot be made in /proc: "),
    "no labels": (("--labels", "{}/text.txt", "--task", "instance"), "cannot read --labels .*text.txt"),
    "no label": (("--labels", "{}/unlabeled.tif", "--task", "semantic"), "hold no label where the scenes are"),
    "a column": ((*POLYGONS, "--class-column", "kind"), "no column 'kind', found the columns of good: use"),
    "a layer": ((*POLYGONS, "--layer", "kind"), "no layer 'kind', expected one of 'good'"),
    "a value": ((*POLYGONS, "--class-column", "use", "--classes", "{}/table.csv"), "holds 'a' .100.0% of the features."),
    "a code": ((*RASTER, "--classes", "{}/zeros.csv"), "hold 1 .31.2% of the pixels., which .*zeros.csv lacks"),
    "a mask whose background is no data": (
        ("--labels", "{}/mask.tif", "--task", "semantic"),
        "hold 1 alone, and else no data.* 0 is their no-data tag: .*-unsetnodata",
    ),
    "a class that is no data": (
        ("--labels", "{}/mask.tif", "--task", "semantic", "--classes", "{}/both.csv"),
        "0 is the no-data tag of .*mask.tif and 'ground' in .*both.csv, so such pixels would count as not labeled",
    ),
    "one class and no background": (
        ("--labels", "{}/good.gpkg", "--task", "semantic", "--background", "none"),
        "are of the class 'good' alone, and --background none",
    ),
    "area apart": ((*POLYGONS, "--labeled-area", "{}/away.gpkg"), "--labeled-area .* do not overlap"),
    "area in its old spelling": ((*POLYGONS, "--labelled-area", "{}/away.gpkg"), "--labeled-area .* do not overlap"),
    "objects of a raster": (("--labels", "{}/codes.tif", "--task", "instance"), "codes.tif is a raster.*takes polygons"),
    "no place": ((*POLYGONS, "--modality", "b={}/nowhere.tif"), "nowhere.tif does not say which coordinate system"),
    "sensor apart": ((*POLYGONS, "--modality", "b={}/away.tif"), "'b' show none of the places that 'rgb' shows"),
    "a damaged file": ((*POLYGONS, "--modality", "b={}/cut.tif"), "cannot read .*cut.tif"),
    "classes": ((*RASTER, "--modality", "b={}/unlabeled.tif", "--classes-of", "b=1"), "CLASSES is 1"),
    "other classes": ((*POLYGONS, "--modality", "b={}/codes.tif", "--classes-of", "b=zeros"), "no class table zeros"),
    "option": ((*POLYGONS, "--unit", "x=dB"), "--unit names 'x', expected a sensor of --modality: rgb"),
    "pair": ((*POLYGONS, "--nodata", "rgb=none"), "--nodata is 'rgb=none', expected NAME=VALUE"),
    "name": ((*POLYGONS, "--modality", "labels={}/sar.tif"), "'labels', which is another folder of the output"),
    "band": ((*POLYGONS, "--bands", "rgb=B8"), "there is no band 'B8'"),
    "share": ((*POLYGONS, "--split", "80"), "--split is 80, expected the share"),
    "seed": ((*POLYGONS, "--seed", "-1"), "--seed is -1, expected 0 or more"),
    "one block": ((*POLYGONS, "--block", "99"), "a single block of tiles.*a smaller --block"),
    "infinite classes": (
        ("--labels", "{}/infinite.gpkg", "--task", "instance", "--class-column", "use", "--classes", "{}/zeros.csv"),
        "holds '10000.*'inf'.*zeros.csv lacks",
    ),
    "huge codes": (("--labels", "{}/huge.tif", "--task", "semantic"), "hold 1e.20, expected whole numbers"),
    "overlap": ((*POLYGONS, "--overlap", "32"), "--overlap is 32 px, expected from 0 to 31"),
    "occupied": ((*POLYGONS, "--output", "{}/mine"), "mine/dataset.yaml exists and was not written by this command"),
    "input inside": ((*POLYGONS, "--output", "{}"), "rgb.tif lies in the output"),
}


COMMAND = ("prepare", "tiles", "--tile", "32", "--num-workers", "1")


@pytest.mark.parametrize("options, message", CASES.values(), ids=CASES)
def test_a_mistake_is_said_in_one_line_and_leaves_nothing(there, tmp_path, options, message, capsys):
    chosen = [text.format(there) for text in ("--modality", "rgb={}/rgb.tif", "--output", f"{tmp_path}/out", *options)]
    assert main([*COMMAND, *chosen]) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert re.search(message, error), error
    assert not (tmp_path / "out" / "dataset.yaml").exists() and not (tmp_path / "out" / "rgb").exists()
    assert (there / "mine/dataset.yaml").read_text() == "of somebody else\n" and not (there / "splits").exists()


def test_two_runs_at_once_are_one_too_many(there, tmp_path, capsys):
    arguments = [*COMMAND, "--output", f"{tmp_path}/out", "--task", "pretrain", "--modality", f"rgb={there}/rgb.tif"]
    with sole_user(tmp_path / "out"):
        assert main(arguments) == 2
    assert f"error: {tmp_path}/out is in use: another process writes to it." in capsys.readouterr().err
    assert not list((tmp_path / "out").iterdir())


def test_no_tile_with_data_leaves_the_output_free_for_another_try(there, tmp_path, capsys):
    arguments = [*COMMAND, "--output", f"{tmp_path}/out", "--task", "pretrain"]
    assert main([*arguments, "--modality", f"b={there}/empty.tif"]) == 2
    assert "none of 16 tiles is left: no sensor has data" in capsys.readouterr().err
    assert main([*arguments, "--modality", f"b={there}/sar.tif", "--unit", "b=none"]) == 0
    assert len(list(Path(tmp_path, "out/b").iterdir())) == 16
