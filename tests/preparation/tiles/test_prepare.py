"""Scenes and labels become tiles: pixels, objects, and what is said about them."""

import numpy as np
import pytest
import rasterio
import shapely
from rasterio.features import rasterize
from rasterio.transform import from_origin
from rasterio.warp import Resampling, reproject

from imrsf_d2.data.dataset_yaml import read_dataset_file
from imrsf_d2.data.datasets.folder import load_folder
from imrsf_d2.geo.rasters import read_raster
from imrsf_d2.modalities import Modality
from imrsf_d2.preparation.tiles.labels import LabelOptions
from imrsf_d2.preparation.tiles.prepare import TileRequest, forecast_tiles, prepare_tiles
from imrsf_d2.preparation.tiles.scenes import GridOptions
from imrsf_d2.preparation.tiles.sensors import SensorOptions, describe_sensors
from imrsf_d2.preparation.tiles.splits import SplitOptions
from tests.preparation.tiles.places import CRS, HEIGHT, LEFT, TOP, WIDTH, box, place, rgb, write_polygons
from tests.preparation.tiles.read_tiles import SHAPES, TILE, coco, offset
from tests.raster_files import write_raster_file


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


def test_objects_of_no_class_are_crowds_of_every_class(tmp_path):
    labels = write_polygons(tmp_path / "buildings.gpkg", SHAPES[:3], use=["house", "ruin", "shed"])
    (tmp_path / "classes.csv").write_text("code,class\nhouse,house\nshed,shed\nruin,\n")
    request = TileRequest(
        {"rgb": str(write_raster_file(tmp_path / "rgb.tif", rgb(), **place()))},
        LabelOptions(labels, "instance", column="use", table=str(tmp_path / "classes.csv")),
        GridOptions(128),
        split=SplitOptions(1),
    )
    summary = prepare_tiles(request, tmp_path / "out", num_workers=1)
    data = coco(tmp_path / "out", "train")
    crowds = [annotation for annotation in data.anns.values() if annotation["iscrowd"]]
    assert [annotation["category_id"] for annotation in crowds] == [1, 2] and len(data.anns) == 4
    assert all(data.annToMask(annotation).sum() == 15 * 18 for annotation in crowds)
    assert "1 objects of no class are crowds" in summary and "| house   | 1 (50.0%)" in summary


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


@pytest.mark.parametrize(
    "stored, given, unit, transform",
    [("decibel", {}, "dB", "none"), ("m", {"sar": "db"}, "dB", "none"), ("1", {}, "", "db"), ("m", {}, "m", "none")],
)
def test_units_of_radar_have_many_spellings(stored, given, unit, transform, tmp_path):
    path = write_raster_file(tmp_path / "sar.tif", np.full((8, 8), 0.1, np.float32), **place())
    with rasterio.open(path, "r+") as file:
        file.units = [stored]
    modality = describe_sensors({"sar": str(path)}, SensorOptions(units=given))["sar"].modality
    assert (modality.unit, modality.transform) == (unit, transform)


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


def test_computed_values_that_equal_the_number_of_no_data_are_data(tmp_path):
    """An index of 0.0 is stored as 100; no data is the stored 0."""
    ndvi = np.full((32, 32), 100, dtype=np.uint8)
    ndvi[:8] = 0
    write_raster_file(tmp_path / "rgb.tif", rgb(height=64, width=64), **place())
    write_raster_file(tmp_path / "ndvi.tif", ndvi, **place(pixel=2.0))
    with rasterio.open(tmp_path / "ndvi.tif", "r+") as file:
        file.scales, file.offsets = [0.01], [-1.0]
    options = SensorOptions(nodata={"ndvi": 0.0})
    sensors = {name: str(tmp_path / f"{name}.tif") for name in ("rgb", "ndvi")}
    request = TileRequest(sensors, LabelOptions(None, "pretrain"), GridOptions(64), options, split=SplitOptions(1))
    prepare_tiles(request, tmp_path / "out", num_workers=1)
    entries = {entry["NAME"]: entry for entry in read_dataset_file(tmp_path / "out/dataset.yaml").entries}
    values, valid = read_raster(tmp_path / "out/ndvi/rgb_0000_0000.tif", Modality.from_mapping(entries["ndvi"]))
    assert not valid[:16].any() and valid[16:].all() and entries["ndvi"]["NODATA"] == 0.0
    np.testing.assert_allclose(values[0, 16:], 0, atol=1e-6)


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
