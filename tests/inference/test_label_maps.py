import os
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from rasterio.crs import CRS
from rasterio.transform import from_origin
from rasterio.windows import Window

from imrsf_d2.geo.grids import Grid
from imrsf_d2.inference.cogs import cog
from imrsf_d2.inference.label_maps import NO_LABEL, class_table_path, label_map, write_class_table
from tests.inference.disks import full_disk
from tests.inference.tiff_structure import NODATA, PALETTE, check_cog

GRID = Grid(1100, 1300, CRS.from_epsg(32633), from_origin(500_000, 5_800_000, 0.5, 0.5))
NAMES, COLORS = ["water", "trees & <shrub>", "Äcker"], [(0, 0, 255), (0, 128, 0), (255, 255, 0)]


@pytest.fixture(scope="module")
def labels():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, (1100, 1300)).astype(np.uint8)
    labels[:200, :300] = NO_LABEL
    return labels


def write(path, labels):
    with label_map(path, GRID, NAMES, COLORS) as part:
        for top in range(0, 1100, 400):
            part(labels[top : top + 400], Window(0, top, 1300, min(400, 1100 - top)))
    write_class_table(class_table_path(path), NAMES, COLORS)
    return path


def test_a_label_map_is_a_cog_whose_every_level_has_the_palette(tmp_path, labels):
    directories = check_cog(write(tmp_path / "map.tif", labels))
    assert [d.size for d in directories] == [(1300, 1100), (650, 550), (325, 275)]
    for directory in directories:
        palette = np.reshape(directory.tags[PALETTE], (3, 256)).T // 257
        assert palette[:3].tolist() == [list(color) for color in COLORS]
        assert directory.tags[NODATA][0].rstrip(b"\0") == b"255"


def test_overviews_show_the_class_that_most_pixels_have(tmp_path, labels):
    with rasterio.open(write(tmp_path / "map.tif", labels), overview_level=0) as file:
        found = file.read(1)
    fours = labels.reshape(550, 2, 650, 2).swapaxes(1, 2).reshape(550, 650, 4)
    counts = np.stack([(fours == i).sum(axis=2) for i in range(3)], axis=2)
    clear = counts.max(axis=2) >= 3
    assert clear.mean() > 0.2
    np.testing.assert_array_equal(found[clear], counts.argmax(axis=2)[clear])
    assert (found[:100, :150] == NO_LABEL).all() and set(np.unique(found)) == {0, 1, 2, NO_LABEL}


def test_gdal_knows_the_classes_by_name(tmp_path, labels):
    rasterio.shutil.copy(write(tmp_path / "map.tif", labels), tmp_path / "map.vrt", driver="VRT")
    band = ElementTree.parse(tmp_path / "map.vrt").find("VRTRasterBand")
    assert [category.text for category in band.find("CategoryNames")] == NAMES
    rows = [[cell.text for cell in row] for row in band.find("GDALRasterAttributeTable").iter("Row")]
    assert rows == [[str(i), name, *map(str, color), "255"] for i, (name, color) in enumerate(zip(NAMES, COLORS))]
    with rasterio.open(tmp_path / "map.tif") as file:
        assert file.tags(1)["CLASS_1"] == NAMES[1]


@pytest.mark.parametrize("bands", [1, 4])
def test_any_bands_are_a_cog(tmp_path, rng, bands):
    grid = GRID.part(slice(0, 540), slice(0, 600))
    values = rng.random((bands, *grid.shape), dtype=np.float32)
    values[:, :300] = np.nan
    path = tmp_path / "values.tif"
    with cog(path, grid, count=bands, dtype="float32", nodata=float("nan"), overviews="average") as file:
        file.descriptions = tuple(f"band {i}" for i in range(bands))
        file.write(values)
    check_cog(path)
    with rasterio.open(path) as file:
        np.testing.assert_array_equal(file.read(), values)
        assert file.descriptions == tuple(f"band {i}" for i in range(bands)) and np.isnan(file.nodata)
    with rasterio.open(path, overview_level=0) as file:
        expected = values.reshape(bands, 270, 2, 300, 2).mean(axis=(2, 4))
        np.testing.assert_allclose(file.read(), expected, rtol=1e-5)


@pytest.mark.parametrize("lacking", [1, 1000, 60_000, 200_000, 400_000])
def test_a_full_disk_is_said_and_leaves_what_was_there(tmp_path, labels, lacking):
    """... also if it is full only when a file is closed, and GDAL says nothing."""
    size = write(tmp_path / "map.tif", labels).stat().st_size
    path = write(tmp_path / "map.tif", np.zeros_like(labels))
    before = path.read_bytes()
    said = r"cannot write .*map\.tif.*MiB left.*was there before is unchanged"
    with pytest.raises(ValueError, match=said), full_disk(size - lacking):
        write(path, labels)
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["map.tif", "map.tif.aux.xml"]


@pytest.mark.parametrize("which", ["tiled", "map"])
def test_what_was_lost_when_a_file_was_closed_is_noticed(tmp_path, labels, monkeypatch, which):
    real = rasterio.shutil.copy

    def lose(source, target, **options):
        real(source, target, **options)
        os.truncate(target, os.path.getsize(target) - 100)

    if which == "map":
        monkeypatch.setattr(rasterio.shutil, "copy", lose)
    with pytest.raises(ValueError, match=r"map\.tif: it was closed, but is incomplete"):
        with label_map(tmp_path / "map.tif", GRID, NAMES, COLORS) as part:
            part(labels, Window(0, 0, 1300, 1100))
            if which == "tiled":
                monkeypatch.setattr(rasterio.io.DatasetWriter, "close", cut_short(tmp_path))
    assert not list(tmp_path.iterdir())


def cut_short(folder):
    """A close after which the file lacks its end."""
    real = rasterio.io.DatasetWriter.close

    def close(self):
        real(self)
        for file in folder.glob("*.tiled.tif"):
            os.truncate(file, file.stat().st_size - 100)

    return close
