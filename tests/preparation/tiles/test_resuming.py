"""A second run: after an interruption, replaced files, another split, or another table of classes."""

import json

import numpy as np
import pytest
import rasterio

from imrsf_d2.data.dataset_yaml import read_dataset_file
from imrsf_d2.data.datasets.folder import load_folder
from imrsf_d2.preparation.files import RECORDS
from imrsf_d2.preparation.tiles import tiles
from imrsf_d2.preparation.tiles.labels import LabelOptions
from imrsf_d2.preparation.tiles.prepare import TileRequest, prepare_tiles
from imrsf_d2.preparation.tiles.scenes import GridOptions
from imrsf_d2.preparation.tiles.splits import SplitOptions
from imrsf_d2.utils.errors import OccupiedError
from tests.preparation.tiles.places import HEIGHT, LEFT, WIDTH, place, rgb
from tests.preparation.tiles.read_tiles import TILE, semantic
from tests.raster_files import write_raster_file


def test_an_interrupted_run_continues_and_ends_alike(instances, tmp_path, monkeypatch):
    complete, request, _ = instances
    made = tiles.write_text
    names = []

    def stop_after_five(path, text):
        if len(names) == 5:
            raise KeyboardInterrupt
        names.append(path)
        made(path, text)

    monkeypatch.setattr(tiles, "write_text", stop_after_five)
    with pytest.raises(KeyboardInterrupt):
        prepare_tiles(request, tmp_path / "out", num_workers=1)
    assert not (tmp_path / "out/dataset.yaml").exists()
    old = {path: path.stat().st_mtime_ns for path in names}
    monkeypatch.setattr(tiles, "write_text", made)
    prepare_tiles(request, tmp_path / "out", num_workers=1)
    assert {path: path.stat().st_mtime_ns for path in names} == old
    files = [path.relative_to(complete) for path in complete.rglob("*") if path.is_file() and path.parent.name != RECORDS]
    assert files and all((complete / name).read_bytes() == (tmp_path / "out" / name).read_bytes() for name in files)


def test_the_same_tiles_can_be_split_anew_and_nothing_else(instances):
    output, request, _ = instances
    before = {path: path.stat().st_mtime_ns for path in (output / "rgb").iterdir()}
    options = {key: getattr(request, key) for key in ("rasters", "labels", "grids")}
    try:
        prepare_tiles(TileRequest(**options, split=SplitOptions(0.5, block=1)), output, num_workers=1)
        assert len(load_folder(read_dataset_file(output / "dataset.yaml"), "val")) == 8
        assert {path: path.stat().st_mtime_ns for path in (output / "rgb").iterdir()} == before
    finally:
        prepare_tiles(request, output, num_workers=1)
    with pytest.raises(OccupiedError, match="tile was 32, now 48"):
        prepare_tiles(TileRequest(**options | {"grids": GridOptions(48)}), output, num_workers=1)


def test_a_tile_is_made_again_when_its_file_was_replaced(tmp_path):
    for name, left in (("a", 0), ("b", 32)):
        write_raster_file(tmp_path / f"dem/{name}.tif", np.full((32, 32), left + 1, np.int16), **place(left=LEFT + left))
    request = TileRequest(
        {"dem": str(tmp_path / "dem")}, LabelOptions(None, "pretrain"), GridOptions(32), split=SplitOptions(1)
    )
    prepare_tiles(request, tmp_path / "out", num_workers=1)
    made = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out/dem").iterdir()}
    write_raster_file(tmp_path / "dem/b.tif", np.full((32, 32), 7, np.int16), **place(left=LEFT + 32))
    prepare_tiles(request, tmp_path / "out", num_workers=1)
    again = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out/dem").iterdir()}
    assert made["a_0000_0000.tif"] == again["a_0000_0000.tif"] and made["a_0000_0001.tif"] != again["a_0000_0001.tif"]
    with rasterio.open(tmp_path / "out/dem/a_0000_0001.tif") as file:
        assert (file.read() == 7).all()


@pytest.mark.parametrize("harm", ["cut short", "gone", "gone and never noted", "written by others"])
def test_a_tile_that_is_not_as_it_was_written_is_made_again(tmp_path, harm):
    write_raster_file(tmp_path / "dem.tif", np.full((32, 32), 7, np.int16), **place())
    request = TileRequest(
        {"dem": str(tmp_path / "dem.tif")}, LabelOptions(None, "pretrain"), GridOptions(32), split=SplitOptions(1)
    )
    prepare_tiles(request, tmp_path / "out", num_workers=1)
    tile = tmp_path / "out/dem/dem_0000_0000.tif"
    made = tile.read_bytes()
    if harm.startswith("gone"):
        tile.unlink()
        if "never" in harm:  # removed between writing and noting it
            record = tmp_path / "out" / RECORDS / "dem_0000_0000.json"
            record.write_text(json.dumps(json.loads(record.read_text()) | {"written": {"dem": None}}))
    else:
        tile.write_bytes(made[:-9] if harm == "cut short" else bytes(len(made)))
    prepare_tiles(request, tmp_path / "out", num_workers=1)
    assert tile.read_bytes() == made


def test_another_order_of_the_class_table_makes_label_maps_anew(tmp_path):
    codes = np.indices((HEIGHT, WIDTH))[0].astype(np.uint8) // 30
    cover, table = str(write_raster_file(tmp_path / "cover.tif", codes, **place())), tmp_path / "table.csv"
    for order in ((0, 1, 2, 3), (3, 1, 2, 0)):
        table.write_text("code,class\n" + "".join(f"{code},class {code}\n" for code in order))
        found, names, _ = semantic(tmp_path, cover, table=str(table))
        assert names == tuple(f"class {code}" for code in order)
        assert np.array_equal(found, np.argsort(order)[codes])


def test_tiles_of_a_scene_that_became_smaller_go(tmp_path):
    request = TileRequest(
        {"rgb": str(tmp_path / "rgb.tif")}, LabelOptions(None, "pretrain"), GridOptions(TILE), split=SplitOptions(1)
    )
    write_raster_file(tmp_path / "rgb.tif", rgb(), **place())
    prepare_tiles(request, tmp_path / "out", num_workers=1)
    (tmp_path / "out/rgb/mine.tif").write_bytes(b"")
    write_raster_file(tmp_path / "rgb.tif", rgb(height=TILE, width=2 * TILE), **place())
    prepare_tiles(request, tmp_path / "out", num_workers=1)
    left = {path.stem for path in (tmp_path / "out/rgb").iterdir()}
    assert left == {"rgb_0000_0000", "rgb_0000_0001", "mine"}
    assert {path.stem for path in (tmp_path / "out/.prepared").iterdir()} == left - {"mine"}
