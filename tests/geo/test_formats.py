"""docs/formats.md: what GDAL opens is read as it is, and the page's lines make GeoTIFFs of the rest."""

import json
import re
import shutil
import warnings

import numpy as np
import pytest
import rasterio
from rasterio.errors import NotGeoreferencedWarning
from rasterio.shutil import copy
from rasterio.transform import from_origin
from scipy.io import savemat

from imrsf_d2.geo.rasters import read_band, read_grid, read_raster
from imrsf_d2.inference.scene_files import find_files
from imrsf_d2.modalities import Modality
from tests.raster_files import write_raster_file
from tests.tiny import REPOSITORY

BANDS = (np.arange(2 * 40 * 50).reshape(2, 40, 50) % 4001 + 1).astype("<u2")
PLACE = {"crs": "EPSG:32632", "transform": from_origin(500_000, 5_000_000, 10, 10)}
PAGE = (REPOSITORY / "docs/formats.md").read_text()
SAR = Modality("sar", channels=2)
LOSSLESS = {"QUALITY": "100", "REVERSIBLE": "YES", "YCBCR420": "NO"}


@pytest.fixture
def tile(tmp_path):
    path = write_raster_file(tmp_path / "tile.tif", BANDS, **PLACE)
    with rasterio.open(path, "r+") as file:
        file.descriptions = ("VV", "VH")
    return path


def write_zarr(path, dimensions):
    """A Zarr as xarray writes it, by the letter of its format."""

    def array(name, values, names, **attributes):
        (path / name).mkdir(parents=True)
        (path / name / ".zarray").write_text(
            json.dumps(
                {
                    "zarr_format": 2,
                    "shape": values.shape,
                    "chunks": values.shape,
                    "dtype": values.dtype.str,
                    "compressor": None,
                    "fill_value": None,
                    "order": "C",
                    "filters": None,
                }
            )
        )
        (path / name / ".zattrs").write_text(json.dumps({"_ARRAY_DIMENSIONS": names, **attributes}))
        (path / name / (".".join("0" * values.ndim) or "0")).write_bytes(values.tobytes())

    array("bands", BANDS.reshape((1,) * (len(dimensions) - 3) + BANDS.shape), dimensions, grid_mapping="spatial_ref")
    array("x", 500_005.0 + 10 * np.arange(50), ["x"])
    array("y", 4_999_995.0 - 10 * np.arange(40), ["y"])
    array("spatial_ref", np.array(0), [], crs_wkt=rasterio.CRS.from_epsg(32632).to_wkt())
    (path / ".zgroup").write_text('{"zarr_format": 2}')
    return path


@pytest.mark.parametrize(
    "driver, name, options",
    [
        ("COG", "copy.tif", {}),
        ("VRT", "copy.vrt", {}),
        ("JP2OpenJPEG", "copy.jp2", LOSSLESS),
        ("HFA", "copy.img", {}),
        ("ENVI", "copy.bin", {}),
        ("PNG", "copy.png", {}),
    ],
)
def test_formats_are_read_as_they_are(tile, driver, name, options):
    path = tile.with_name(name)
    copy(tile, path, driver=driver, **options)
    bands, valid = read_raster(path, SAR)
    np.testing.assert_array_equal(bands, BANDS)
    assert valid.all() and read_grid(path).equals(read_grid(tile)) and find_files(path) == [str(path)]
    if driver in ("COG", "VRT", "JP2OpenJPEG"):  # as the page says
        np.testing.assert_array_equal(read_raster(path, Modality("sar", bands=("VH",)))[0], BANDS[1:])


@pytest.mark.parametrize("dimensions", [["band", "y", "x"], ["time", "band", "y", "x"]], ids=len)
def test_a_zarr_is_one_raster_also_in_an_archive(tmp_path, tile, dimensions):
    path = write_zarr(tmp_path / "zarrs" / "tile.zarr", dimensions)
    shutil.make_archive(str(tmp_path / "tile.zarr"), "zip", path)
    for name in (path, f"{path}/", f"/vsizip/{tmp_path}/tile.zarr.zip"):
        bands, valid = read_raster(name, SAR)
        np.testing.assert_array_equal(bands, BANDS)
        assert valid.all() and read_grid(name).equals(read_grid(tile)) and find_files(name) == [str(name)]
    assert find_files(tmp_path / "zarrs") == [str(path)]
    assert find_files(path.rename(tmp_path / "another")) == [str(tmp_path / "another")]  # whatever it is called


def test_a_part_of_a_netcdf_is_named_and_the_whole_lists_its_parts(tmp_path, tile):
    path = tmp_path / "tile.nc"
    copy(tile, path, driver="netCDF")
    part = f"netcdf:{path}:Band2"
    np.testing.assert_array_equal(read_raster(part, Modality("vh"))[0], BANDS[1:])
    assert read_grid(part).equals(read_grid(tile)) and find_files(part) == [part]
    for read in (lambda: read_raster(path, SAR), lambda: read_band(path, "the labels")):
        with pytest.raises(ValueError, match=rf"tile\.nc holds 2 rasters, expected one: .*'netcdf:{path}:Band1'"):
            read()
    copy(write_raster_file(tmp_path / "one.tif", BANDS[0], **PLACE), tmp_path / "one.nc", driver="netCDF")
    np.testing.assert_array_equal(read_raster(tmp_path / "one.nc", Modality("vv"))[0], BANDS[:1])


def test_the_lines_of_the_page_make_geotiffs(tmp_path, tile, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("npy", "mat", "h5"):
        (tmp_path / folder).mkdir()
    np.save("npy/tile.npy", BANDS)
    savemat("mat/tile.mat", {"image": np.moveaxis(BANDS, 0, -1)})
    # A NetCDF of version 4 is an HDF5; its rows begin in the south.
    with rasterio.open("one.tif", "w", driver="GTiff", count=1, height=40, width=50, dtype="uint16", **PLACE) as file:
        file.write(BANDS[0], 1)
    copy("one.tif", "one.nc", driver="netCDF", FORMAT="NC4")
    shutil.move("one.nc", "h5/tile.h5")
    *before, hdf5 = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(before) == 2 and "://bands" in hdf5
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        exec("\n".join([*before, hdf5.replace("://bands", "://Band1")]), {})
    for path, expected in (("npy/tile.tif", BANDS), ("mat/tile.tif", BANDS), ("h5/tile.tif", BANDS[:1, ::-1])):
        bands, valid = read_raster(path, Modality("any", channels=len(expected)))
        np.testing.assert_array_equal(bands, expected)
        assert valid.all() and read_grid(path).equals(read_grid(tile))
    np.testing.assert_array_equal(read_raster("npy/tile.tif", Modality("vh", bands=("VH",)))[0], BANDS[1:])
