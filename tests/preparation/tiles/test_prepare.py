"""Scenes and labels as tiles: pixels to the bit, labels against other rasterizers, over interruptions."""

import json

import numpy as np
import pytest
import rasterio
import shapely
from pycocotools.coco import COCO
from rasterio.features import rasterize
from rasterio.transform import from_origin
from rasterio.warp import Resampling, reproject, transform_geom

from imrsf_d2.data.dataset_yaml import read_dataset_file
from imrsf_d2.data.datasets.folder import load_folder
from imrsf_d2.data.labels import semantic_truth
from imrsf_d2.geo.rasters import read_raster
from imrsf_d2.modalities import Modality
from imrsf_d2.preparation.files import RECORDS
from imrsf_d2.preparation.tiles import tiles
from imrsf_d2.preparation.tiles.labels import LabelOptions
from imrsf_d2.preparation.tiles.prepare import TileRequest, forecast_tiles, prepare_tiles
from imrsf_d2.preparation.tiles.scenes import GridOptions
from imrsf_d2.preparation.tiles.sensors import SensorOptions
from imrsf_d2.preparation.tiles.splits import SplitOptions
from imrsf_d2.utils.errors import OccupiedError
from tests.preparation.tiles.places import (
    CRS,
    HEIGHT,
    LEFT,
    TOP,
    WIDTH,
    box,
    on_map,
    place,
    rgb,
    write_polygons,
    write_scene,
)
from tests.raster_files import write_raster_file

TILE = 32
#: On pixels' edges, so that every rasterizer marks the same pixels; the last ones are no polygons.
SHAPES = [
    box(2, 3, 12, 9),  # inside a tile
    box(25, 27, 40, 45),  # over four tiles
    box(70, 6, 94, 26, (75, 10, 83, 20)),  # a court
    shapely.MultiPolygon([box(3, 70, 9, 76), box(12, 70, 20, 80)]),
    on_map(shapely.Polygon([(100, 40), (120, 60), (120, 40), (100, 60)])),  # crosses itself
    box(62, 70, 66, 71),  # two pixels in each of two tiles
    shapely.Point(LEFT + 5, TOP - 5),
]


def coco(output, split):
    return COCO(str(output / "splits" / f"{split}.json"))


def offset(path):
    """Column and row of a tile in the scene."""
    with rasterio.open(path) as file:
        return round(file.transform.c - LEFT), round(TOP - file.transform.f)


@pytest.fixture(scope="module")
def instances(tmp_path_factory):
    folder = tmp_path_factory.mktemp("instances")
    sensors = write_scene(folder / "scene")
    labels = write_polygons(folder / "buildings.geojson", SHAPES)
    request = TileRequest(sensors, LabelOptions(labels, "instance"), GridOptions(TILE), split=SplitOptions(0.75, block=1))
    return folder / "out", request, prepare_tiles(request, folder / "out", num_workers=1)


def test_aligned_pixels_are_copied_to_the_bit(instances):
    output, request, _ = instances
    for sensor, count in (("rgb", 16), ("dsm", 12)):
        files = sorted((output / sensor).glob("*.tif"))
        assert len(files) == count
        with rasterio.open(request.rasters[sensor]) as source:
            whole = source.read()
            for path in files:
                column, row = offset(path)
                with rasterio.open(path) as tile:
                    inside = whole[:, row : row + TILE, column : column + TILE]
                    assert np.array_equal(tile.read()[:, : inside.shape[1], : inside.shape[2]], inside)
                    assert (tile.dtypes, tile.crs, tile.shape) == (source.dtypes, source.crs, (TILE, TILE))
                    for key in ("descriptions", "scales", "units", "nodata", "colorinterp"):
                        assert getattr(tile, key) == getattr(source, key), key
                    beyond = tile.dataset_mask()[inside.shape[1] :]
                    assert not beyond.any()


def test_other_pixels_are_interpolated_among_valid_ones(instances):
    output, request, _ = instances
    expected = np.full((HEIGHT, WIDTH), np.nan, dtype=np.float32)
    with rasterio.open(request.rasters["sar"]) as source:
        reproject(
            source.read(1),
            expected,
            src_transform=source.transform,
            src_crs=source.crs,
            dst_transform=from_origin(LEFT, TOP, 1, 1),
            dst_crs=CRS,
            dst_nodata=np.nan,
            resampling=Resampling.bilinear,
        )
    files = sorted((output / "sar").glob("*.tif"))
    assert len(files) == 8  # the left half: the others have no file
    for path in files:
        column, row = offset(path)
        with rasterio.open(path) as tile:
            assert tile.dtypes == ("float32",)
            inside = expected[row : row + TILE, column : column + TILE]
            assert np.allclose(tile.read(1)[: len(inside)], inside, rtol=1e-5, equal_nan=True)


def test_objects_are_those_of_another_rasterizer(instances):
    output, _, summary = instances
    shapes = [shapely.make_valid(shape) for shape in SHAPES[:5]]
    shape, transform = (HEIGHT + TILE, WIDTH + TILE), from_origin(LEFT, TOP, 1, 1)
    expected = rasterize([(s, i + 1) for i, s in enumerate(shapes)], out_shape=shape, transform=transform)
    found = np.zeros(shape, dtype=int)
    objects = 0
    for split in ("train", "val"):
        data = coco(output, split)
        for image in data.imgs.values():
            column, row = offset(output / "rgb" / image["file_name"])
            for annotation in data.imgToAnns[image["id"]]:
                objects += 1
                assert annotation["area"] == data.annToMask(annotation).sum()
                found[row : row + TILE, column : column + TILE] += data.annToMask(annotation)
    slanted = np.zeros(shape, dtype=bool)
    slanted[38:62, 98:122] = True  # rasterizers differ on edges like these
    assert np.array_equal((found > 0)[~slanted], (expected > 0)[~slanted])
    assert ((found > 0) ^ (expected > 0))[slanted].sum() < 0.15 * (expected == 5).sum()
    assert objects == 1 + 4 + 1 + 1 + 1
    assert "1 of 7 polygons crossed themselves" in summary and "1 of 7 features have no area" in summary
    assert "2 objects, of which a tile or its data hold fewer than four pixels" in summary


def test_the_dataset_file_says_everything(instances):
    output, _, _ = instances
    file = read_dataset_file(output / "dataset.yaml")
    assert (file.task, file.tile_size, file.class_names) == ("instance", (TILE, TILE), ("buildings",))
    assert [entry["NAME"] for entry in file.entries] == ["rgb", "sar", "dsm"]
    rgb_entry, sar_entry, dsm_entry = file.entries
    assert sar_entry["TRANSFORM"] == "db" and dsm_entry["UNIT"] == "m"
    samples = load_folder(file, "train")
    assert len(samples) == 12 and len(load_folder(file, "val")) == 4
    assert {sample["modalities"]["sar"] is None for sample in samples} == {True, False}
    # Statistics are those of the training tiles alone, of pixels with data.
    values = [
        bands[:, valid]
        for sample in samples
        for bands, valid in [read_raster(sample["modalities"]["rgb"], Modality("rgb", 3))]
    ]
    values = np.concatenate(values, axis=1, dtype=np.float64)
    assert np.allclose(rgb_entry["MEAN"], values.mean(axis=1), atol=0.01)
    assert np.allclose(rgb_entry["STD"], values.std(axis=1), atol=0.01)


def test_the_forecast_counts_the_same_objects_and_writes_nothing(instances, tmp_path, monkeypatch):
    _, request, summary = instances
    monkeypatch.chdir(tmp_path)
    forecast = forecast_tiles(request, num_workers=1)
    line = next(line for line in summary.splitlines() if "| buildings" in line)
    assert line in forecast and "16 tiles of 32 x 32 px in 1 scene" in forecast
    assert not list(tmp_path.iterdir())


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


def semantic(folder, labels, **options):
    """The label maps of a prepared scene put together, and the names of the classes."""
    scene = folder / "rgb.tif"
    if not scene.exists():  # a file written again is another one
        write_raster_file(scene, rgb(), **place())
    sensors = {"rgb": str(scene)}
    grids = options.pop("grids", GridOptions(TILE))
    summary = prepare_tiles(
        TileRequest(sensors, LabelOptions(labels, "semantic", **options), grids, split=SplitOptions(1)),
        folder / "out",
        num_workers=1,
    )
    file = read_dataset_file(folder / "out/dataset.yaml")
    whole = np.full((HEIGHT + TILE, WIDTH + TILE), 255, dtype=np.uint8)
    for sample in load_folder(file, "train"):
        column, row = offset(sample["sem_seg_file_name"])
        whole[row : row + TILE, column : column + TILE] = semantic_truth(sample)
    assert (whole[HEIGHT:] == 255).all() and (whole[:, WIDTH:] == 255).all()
    return whole[:HEIGHT, :WIDTH], file.class_names, summary


FIELDS = [box(0, 0, 60, 50), box(40, 20, 110, 90), box(50, 40, 55, 45)]


def test_polygons_become_label_maps_within_the_labeled_area(tmp_path):
    labels = write_polygons(tmp_path / "fields.gpkg", FIELDS, use=["crop", "forest", "crop"])
    area = write_polygons(tmp_path / "area.geojson", [box(10, 5, 90, 96)])
    found, names, _ = semantic(tmp_path, labels, column="USE", area=area)
    assert names == ("background", "crop", "forest")
    transform = from_origin(LEFT, TOP, 1, 1)
    expected = rasterize(zip(FIELDS, (1, 2, 1)), out_shape=(HEIGHT, WIDTH), transform=transform).astype(int)
    inside = rasterize([box(10, 5, 90, 96)], out_shape=(HEIGHT, WIDTH), transform=transform) > 0
    expected[~inside] = 255
    assert np.array_equal(found, expected)


def test_without_a_background_the_rest_is_not_labeled(tmp_path):
    labels = write_polygons(tmp_path / "fields.gpkg", FIELDS[:2])
    found, names, _ = semantic(tmp_path, labels, class_name="field", background="none")
    assert names == ("field",)
    assert np.array_equal(
        found == 0, rasterize(FIELDS[:2], out_shape=found.shape, transform=from_origin(LEFT, TOP, 1, 1)) > 0
    )
    assert (found[found != 0] == 255).all()


def test_label_rasters_of_another_grid_are_looked_up_by_code(tmp_path):
    codes = np.array([10, 20, 30, 90], dtype=np.int16)[np.random.default_rng(4).integers(0, 4, (20, 40))]
    codes[:3] = -1
    write_raster_file(tmp_path / "cover/west.tif", codes[:, :16], nodata=-1, **place(pixel=4.0))
    write_raster_file(tmp_path / "cover/east.tif", codes[:, 16:], nodata=-1, **place(pixel=4.0, left=LEFT + 64))
    table = tmp_path / "classes.csv"
    table.write_text("code,class,color\n10,trees,#00ff00\n20,water,\n30,trees,#00ff00\n90,,\n")
    found, names, summary = semantic(tmp_path, str(tmp_path / "cover"), table=str(table))
    expected = np.full((HEIGHT, WIDTH), -1)
    expected[:80] = np.repeat(np.repeat(codes, 4, axis=0), 4, axis=1)[:, :WIDTH]
    expected = np.select([np.isin(expected, (10, 30)), expected == 20], [0, 1], 255)
    assert names == ("trees", "water") and np.array_equal(found, expected)
    assert json.loads((tmp_path / "out/prepared.json").read_text())["complete"]
    assert read_dataset_file(tmp_path / "out/dataset.yaml").classes[0].color == (0, 255, 0)


def test_a_tile_that_is_partly_unmapped_teaches_no_object(tmp_path):
    """Objects outside the labeled area are unknown, and no object can be ignored in training: such tiles are left out."""
    labels = write_polygons(tmp_path / "buildings.gpkg", SHAPES[:2])
    area = write_polygons(tmp_path / "area.gpkg", [box(-5, -5, 70, 40)])
    request = TileRequest(
        {"rgb": str(write_raster_file(tmp_path / "rgb.tif", rgb(), **place()))},
        LabelOptions(labels, "instance", area=area),
        GridOptions(TILE),
        split=SplitOptions(1),
    )
    summary = prepare_tiles(request, tmp_path / "out", num_workers=1)
    assert sorted(image["file_name"] for image in coco(tmp_path / "out", "train").imgs.values()) == [
        "rgb_0000_0000.tif",
        "rgb_0000_0001.tif",
    ]
    assert "14 tiles, not all of it is in the labeled area" in summary


def test_decibels_are_averaged_as_power(tmp_path):
    # 0 dB and 20 dB are powers of 1 and 100, and 17.03 dB on average; the mean of the decibels is 10.
    checkers = np.where(np.indices((64, 64)).sum(axis=0) % 2, 20.0, 0.0).astype(np.float32) - 30
    write_raster_file(tmp_path / "s1.tif", checkers, **place())
    request = TileRequest(
        {"s1": str(tmp_path / "s1.tif")},
        LabelOptions(None, "pretrain"),
        GridOptions(16, resolution=4.0),
        split=SplitOptions(1),
    )
    summary = prepare_tiles(request, tmp_path / "out", num_workers=1)
    assert "s1 holds decibels" in summary
    with rasterio.open(next((tmp_path / "out/s1").iterdir())) as tile:
        assert np.allclose(tile.read(1)[2:-2, 2:-2], 10 * np.log10(50.5) - 30, atol=0.05)
    assert read_dataset_file(tmp_path / "out/dataset.yaml").entries[0]["UNIT"] == "dB"


def test_bands_masks_and_the_end_of_files(tmp_path):
    """RGBA keeps its alpha as a mask; picked bands keep their names; integers without a no-data tag get a mask."""
    rng = np.random.default_rng(2)
    rgba = rng.integers(1, 256, (4, 48, 48), dtype=np.uint8)
    rgba[3] = np.where(np.indices((48, 48))[0] < 20, 0, 255)
    write_raster_file(tmp_path / "rgba.tif", rgba, photometric="RGB", alpha="yes", **place())
    s2 = rng.integers(0, 3000, (4, 30, 48), dtype=np.uint16)
    write_raster_file(tmp_path / "s2.tif", s2, **place())
    with rasterio.open(tmp_path / "s2.tif", "r+") as file:
        file.descriptions = ("B2", "B3", "B4", "B8")
    request = TileRequest(
        {"photo": str(tmp_path / "rgba.tif"), "s2": str(tmp_path / "s2.tif")},
        LabelOptions(None, "pretrain"),
        GridOptions(48, reference="photo"),
        SensorOptions(bands={"s2": ("B8", 1)}, display={"s2": ("B8",)}, nodata={"photo": 0}),
        SplitOptions(1),
    )
    summary = prepare_tiles(request, tmp_path / "out", num_workers=1)
    assert "band 4 of photo is an alpha band" in summary
    photo, second = read_dataset_file(tmp_path / "out/dataset.yaml").entries
    assert photo["CHANNELS"] == 3 and second["BANDS"] == ["B8", "B2"] and second["DISPLAY"] == ["B8"]
    bands, valid = read_raster(tmp_path / "out/photo/rgba_0000_0000.tif", Modality("photo", 3, nodata=0))
    assert np.array_equal(valid, rgba[3] > 0) and np.array_equal(bands[:, valid], rgba[:3][:, valid])
    with rasterio.open(tmp_path / "out/s2/rgba_0000_0000.tif") as file:
        assert file.descriptions == ("B8", "B2") and file.dtypes == ("uint16",) * 2
        assert np.array_equal(file.read()[:, :30], s2[[3, 0]])
        assert (file.dataset_mask()[:30] > 0).all() and not file.dataset_mask()[30:].any()


def test_a_constant_band_is_said_and_does_not_divide_by_zero(tmp_path):
    write_raster_file(tmp_path / "dem.tif", np.full((32, 32), 7, np.int16), **place())
    request = TileRequest(
        {"dem": str(tmp_path / "dem.tif")}, LabelOptions(None, "pretrain"), GridOptions(32), split=SplitOptions(1)
    )
    assert "dem; constant: band 1, whose STD of 0 became 1" in prepare_tiles(request, tmp_path / "out", num_workers=1)
    assert read_dataset_file(tmp_path / "out/dataset.yaml").entries[0]["STD"] == [1.0]


def test_a_class_that_no_tile_has_is_named(tmp_path):
    labels = write_polygons(tmp_path / "fields.gpkg", [box(0, 0, 60, 50)], use=["crop"])
    (tmp_path / "table.csv").write_text("code,class\ncrop,crop\nforest,forest\n")
    _, names, summary = semantic(tmp_path, labels, column="use", table=str(tmp_path / "table.csv"))
    assert names == ("background", "crop", "forest") and "no tile has the class 'forest'" in summary


def test_files_that_differ_in_what_their_numbers_mean_become_values(tmp_path):
    """0 is no data in one file and a height in the other: neither tag can stand for both."""
    west = np.arange(1, 1025, dtype=np.int16).reshape(32, 32)
    west[:4] = 0
    east = np.arange(1024, dtype=np.int16).reshape(32, 32) - 500
    write_raster_file(tmp_path / "dem/a.tif", west, nodata=0, **place())
    write_raster_file(tmp_path / "dem/b.tif", east, nodata=-500, **place(left=LEFT + 32))
    request = TileRequest(
        {"dem": str(tmp_path / "dem")}, LabelOptions(None, "pretrain"), GridOptions(64), split=SplitOptions(1), min_valid=0
    )
    prepare_tiles(request, tmp_path / "out", num_workers=1)
    with rasterio.open(tmp_path / "out/dem/a_0000_0000.tif") as file:
        found = file.read(1)[:32]
    expected = np.concatenate([np.where(west == 0, np.nan, west), np.where(east == -500, np.nan, east)], axis=1)
    assert found.dtype == np.float32 and np.array_equal(found, expected, equal_nan=True)


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


@pytest.mark.parametrize("crs", (CRS, "EPSG:32632"))
def test_labels_reach_as_far_as_the_tiles(tmp_path, crs):
    """The last tiles reach beyond the reference, where another sensor has data."""
    rasters = {
        "rgb": str(write_raster_file(tmp_path / "rgb.tif", rgb(height=40, width=40), **place())),
        "dsm": str(write_raster_file(tmp_path / "dsm.tif", np.ones((70, 70), np.float32), **place())),
    }
    shapes = [box(10, 10, 15, 15), box(50, 50, 60, 60), box(30, 55, 38, 66)]
    labels = write_polygons(tmp_path / "buildings.gpkg", move(shapes, crs), crs)
    area = write_polygons(tmp_path / "area.gpkg", move([box(-50, -50, 200, 200)], crs), crs)
    for task in ("semantic", "instance"):
        request = TileRequest(
            rasters, LabelOptions(labels, task, area=area), GridOptions(TILE, reference="rgb"), split=SplitOptions(1)
        )
        prepare_tiles(request, tmp_path / task, num_workers=1)
    found = np.full((64, 64), 255, dtype=np.uint8)
    for path in (tmp_path / "semantic/labels").iterdir():
        column, row = offset(path)
        with rasterio.open(path) as file:
            found[row : row + TILE, column : column + TILE] = file.read(1)
    assert np.array_equal(found, rasterize(shapes, out_shape=(64, 64), transform=from_origin(LEFT, TOP, 1, 1)))
    # The last building lies in two tiles, and ends with them.
    assert sorted(a["area"] for a in coco(tmp_path / "instance", "train").anns.values()) == [18, 25, 54, 100]


def move(shapes, crs):
    return [shapely.geometry.shape(transform_geom(CRS, crs, shapely.geometry.mapping(shape))) for shape in shapes]


def test_spellings_of_a_class_are_one_and_are_named(tmp_path):
    uses = ["Crop", "Background", "crop", "crop"]
    shapes = [box(0, 0, 20, 20), box(30, 30, 40, 40), box(50, 50, 60, 60), box(70, 70, 80, 80)]
    found, names, summary = semantic(tmp_path, write_polygons(tmp_path / "fields.gpkg", shapes, use=uses), column="use")
    assert names == ("Background", "crop") and np.count_nonzero(found == 1) == 400 + 100 + 100
    assert "'Crop', 'crop'" in summary and "the class 'Background' of the polygons" in summary


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


@pytest.mark.parametrize("left", (0.0, 0.5))
def test_whole_complex_numbers_become_power(tmp_path, left):
    numbers = np.full((1, TILE, TILE), 3 + 4j, dtype=np.complex64)
    with rasterio.open(
        tmp_path / "slc.tif",
        "w",
        driver="GTiff",
        count=1,
        height=TILE,
        width=TILE,
        dtype="complex_int16",
        **place(left=LEFT + left),
    ) as file:
        file.write(numbers)
    write_raster_file(tmp_path / "rgb.tif", rgb(height=TILE, width=TILE), **place())
    rasters = {name: str(tmp_path / f"{name}.tif") for name in ("rgb", "slc")}
    request = TileRequest(rasters, LabelOptions(None, "pretrain"), GridOptions(TILE, reference="rgb"), split=SplitOptions(1))
    prepare_tiles(request, tmp_path / "out", num_workers=1)
    with rasterio.open(tmp_path / "out/slc/rgb_0000_0000.tif") as file:
        assert file.dtypes == ("float32",) and np.allclose(file.read()[:, 1:-1, 1:-1], 3**2 + 4**2)
