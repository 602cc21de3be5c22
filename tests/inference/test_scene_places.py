"""Where pixels land: sensors that record the coordinates of their own pixels, read onto the pixels of a map."""

import numpy as np
import pytest
import rasterio
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.transform import from_origin
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform

from imrsf_d2.geo.grids import Grid
from imrsf_d2.geo.warp import Warp
from imrsf_d2.inference import scene_reading
from imrsf_d2.inference.scene import open_scene
from imrsf_d2.inference.windows import Window, WindowGrid
from imrsf_d2.modalities import Modality, ModalitySet
from tests.inference.scene_files import DEGREES, LEFT, OTHER_UTM, TOP, UTM, centers, write, write_landscape

PLACES = ModalitySet([Modality("fine", 2), Modality("coarse", 2), Modality("dem", 2)])


def write_places(path, resolution, height, width, crs=UTM, left=LEFT, top=TOP):
    """A raster whose bands are how far east and south of (LEFT, TOP) in UTM its pixels' centers are, m."""
    (x,), (y,) = transform(UTM, crs, [left], [top])
    place = from_origin(x, y, resolution, resolution)
    xs, ys = centers(place, height, width)
    if crs != UTM:
        xs, ys = (np.reshape(side, (height, width)) for side in transform(crs, UTM, xs.ravel(), ys.ravel()))
    return str(write(path, np.stack([xs - LEFT, TOP - ys]).astype(np.float32), place, crs))


def test_sensors_in_three_systems_and_resolutions_lie_within_a_tenth_of_a_pixel(tmp_path):
    files = {
        "fine": [write_places(tmp_path / "fine.tif", 0.5, 500, 500)],
        "coarse": [write_places(tmp_path / "coarse.tif", 10.0, 60, 60, OTHER_UTM, LEFT - 100, TOP + 100)],
        "dem": [write_places(tmp_path / "dem.tif", 3e-5, 150, 260, DEGREES, LEFT - 50, TOP + 50)],
    }
    scene = open_scene(PLACES, files)
    image = scene.read(Window(0, 0, 0, 500))
    xs, ys = centers(scene.grid.transform, 500, 500)
    for name in PLACES.names:
        assert image[PLACES.validity(name)].all()
        east, south = image[PLACES.bands(name)]
        error_px = np.hypot(east - (xs - LEFT), south - (TOP - ys)) / 0.5
        print(f"\n{name}: {error_px.max():.3f} px at most")
        assert error_px.max() <= 0.1, name


def warp_whole(path, grid, kind):
    """A file on a grid, warped by GDAL at once and without approximation; the kernel is as wide as ours."""
    with rasterio.open(path) as file:
        rows, columns = Warp.between(Grid.of(file), grid).scale
        options = {"XSCALE": str(columns), "YSCALE": str(rows), "tolerance": 1e-9, "nodata": np.nan}
        size = {"width": grid.width, "height": grid.height}
        with WarpedVRT(file, crs=grid.crs, transform=grid.transform, resampling=Resampling[kind], **size, **options) as vrt:
            return vrt.read(1, out_dtype="float32")


@pytest.mark.parametrize("kind", ["bilinear", "nearest"])
@pytest.mark.parametrize("ratio", [0.4, 1.0, 4.0])
@pytest.mark.parametrize("crs", [UTM, OTHER_UTM, DEGREES], ids=["one system", "two zones", "degrees"])
def test_windows_and_parts_are_what_the_whole_has_there(tmp_path, monkeypatch, kind, ratio, crs):
    """To the bit, and what GDAL makes of the whole file: measurements are interpolated, with a kernel as wide as a map pixel
    where the sensor is finer; classes are not."""
    monkeypatch.setattr(scene_reading, "TILE_PX", 80)
    monkeypatch.setattr(scene_reading, "CACHE_BYTES", 1)
    seen = Modality("seen", 1, classes=200) if kind == "nearest" else Modality("seen", 1)
    modalities = ModalitySet([Modality("map", 1), seen])
    pixel = 0.3  # no sum of which is exact, so that rounding shows as well
    write_landscape(tmp_path / "map.tif", pixel, 140, 160)
    side = pixel * ratio if crs != DEGREES else pixel * ratio / 111_320
    path = write_landscape(tmp_path / "seen.tif", side, int(160 / ratio), int(180 / ratio), crs, LEFT + 1.3, TOP - 0.7)
    with rasterio.open(path, "r+") as file:
        file.write(np.random.default_rng(0).integers(0, 200, (1, *file.shape)).astype(np.float32))
    files = {"map": [str(tmp_path / "map.tif")], "seen": [str(path)]}
    scene = open_scene(modalities, files, reference="map")
    whole = scene.read(Window(0, 0, 0, 160))[:, : scene.grid.height, : scene.grid.width]
    valid = whole[modalities.validity("seen")] > 0
    assert valid.mean() > 0.6
    expected = warp_whole(path, scene.grid, kind)
    assert np.isfinite(expected).mean() > 0.6 and np.isfinite(expected)[valid].all()
    # Within one system GDAL's places differ in the last bit from part to part, and so may a value.
    (tolerance, found) = (2**-23 if crs == UTM else 0), whole[modalities.bands("seen")][0]
    np.testing.assert_allclose(found[valid], expected[valid], rtol=tolerance)
    parts = np.full_like(whole, np.nan)
    for window in WindowGrid(*scene.grid.shape, 64, 16):
        parts[:, window.top : window.bottom, window.left : window.right] = scene.read(window)
    np.testing.assert_array_equal(parts, whole)
    for top, left, height, width in ((0, 31, 90, 100), (5, 0, 100, 47), (50, 49, 37, 111), (97, 95, 43, 65), (61, 70, 1, 2)):
        rows, columns = slice(top, top + height), slice(left, left + width)
        part = open_scene(modalities, files, reference="map", bounds=scene.grid.part(rows, columns).bounds)
        assert part.grid.shape == (height, width)
        found = part.read(Window(0, 0, 0, 128))[:, :height, :width]
        np.testing.assert_array_equal(found, whole[:, rows, columns], err_msg=f"{top, left, height, width}")


SIDES = ModalitySet([Modality("fine", 1), Modality("sar", 1)])


@pytest.mark.parametrize("crs", [DEGREES, CRS.from_epsg(32760)], ids=["degrees", "UTM"])
@pytest.mark.parametrize("first", [-180.0, 180.0])
def test_files_on_both_sides_of_180_degrees_are_neighbors(tmp_path, crs, first):
    """A map across 180 degrees; another sensor's file begins there, in longitudes of either spelling."""
    pixel = 5e-6
    (x,), (y,) = transform(DEGREES, crs, [179.9997], [-17.0])
    side = pixel if crs == DEGREES else pixel * 111_320
    write(tmp_path / "fine.tif", np.ones((100, 120), np.float32), from_origin(x, y, side, side), crs=crs)
    columns = np.arange(90, dtype=np.float32)[None].repeat(140, axis=0)
    write(tmp_path / "sar.tif", columns, from_origin(first, -17.0 + 20 * pixel, pixel, pixel), crs=DEGREES)
    files = {"fine": [str(tmp_path / "fine.tif")], "sar": [str(tmp_path / "sar.tif")]}
    scene = open_scene(SIDES, files, reference="fine")
    image = scene.read(Window(0, 0, 0, 120))[:, :100, :120]
    valid = image[SIDES.validity("sar")] > 0
    expected = np.arange(120) - 60 if crs == DEGREES else None
    assert not valid[:, :50].any() and valid[:, 70:110].all()
    if expected is not None:
        assert valid[:, 60:].all() and not valid[:, :60].any()
        np.testing.assert_allclose(image[SIDES.bands("sar")][0][50, 60:], expected[60:], atol=0.01)
