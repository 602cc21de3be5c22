from dataclasses import replace

import numpy as np
import pytest
import rasterio
import shapely

from imrsf_d2.inference import importance_maps
from imrsf_d2.inference.blocks import BlockFolder, area_blocks, window_blocks
from imrsf_d2.inference.importance import save_importance
from imrsf_d2.inference.importance_maps import IMPORTANCE, blend_importance, write_importance
from imrsf_d2.inference.scene import open_scene
from imrsf_d2.inference.windows import WindowGrid
from imrsf_d2.modalities import Modality, ModalitySet
from tests.inference.scene_files import LEFT, TOP, write_landscape
from tests.inference.tiff_structure import check_cog

MODALITIES = ModalitySet([Modality("rgb", 1), Modality("sar", 1), Modality("dem", 1)])
PATCH, SIZE, HEIGHT, WIDTH = 8, 40, 150, 203


def weights(rng, patches=SIZE // PATCH):
    """[3, n, n] that sum to 1 over the sensors of a patch; some patches lack some sensors, one lacks all."""
    beta = rng.random((3, patches, patches)).astype(np.float32)
    beta[1, :, 3:] = np.nan
    beta[2, 1:, :1] = np.nan
    beta[:, 2, 4] = np.nan
    with np.errstate(invalid="ignore"):
        return beta / np.nansum(beta, axis=0)


def pixel_by_pixel(found, rows, columns, size):
    """The map by its definition: each pixel of the scene has the weights of the patches over it."""
    sums = np.zeros((3, rows * PATCH, columns * PATCH))
    total, here = np.zeros(sums.shape[1:]), np.zeros(sums.shape, dtype=bool)
    for window, beta in found:
        n = beta.shape[-1]
        side = np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2
        for down in range(size):
            for across in range(size):
                y, x = window.top + down, window.left + across
                if y < rows * PATCH and x < columns * PATCH:
                    i, j = down // PATCH, across // PATCH
                    share = side[i] * side[j]
                    of_patch = beta[:, i, j]
                    if not np.isnan(of_patch).all():
                        sums[:, y, x] += share * np.nan_to_num(of_patch)
                        total[y, x] += share
                        here[:, y, x] |= ~np.isnan(of_patch)
    cells = (rows, PATCH, columns, PATCH)
    with np.errstate(invalid="ignore"):
        mean = sums.reshape(3, *cells).sum(axis=(2, 4)) / total.reshape(cells).sum(axis=(1, 3))
    return np.where(here.reshape(3, *cells).any(axis=(2, 4)), mean, np.nan)


@pytest.mark.parametrize("height, width, size", [(40, 40, 40), (51, 67, 40), (20, 60, 44), (9, 5, 40)])
def test_windows_that_share_no_patches_are_blended_by_area(rng, height, width, size):
    windows = WindowGrid(height, width, size, 13)
    found = [(window, weights(rng, -(-size // PATCH))) for window in windows]
    rows, columns = -(-height // PATCH), -(-width // PATCH)
    result = blend_importance(iter(found), (0, rows), columns, 3, PATCH)
    np.testing.assert_allclose(result, pixel_by_pixel(found, rows, columns, size), rtol=1e-5)
    some = ~np.isnan(result).all(axis=0)
    np.testing.assert_allclose(np.nansum(result, axis=0)[some], 1, rtol=1e-6)


def test_patches_that_are_pixels_stay_as_they_are(rng):
    beta = weights(rng)
    window = WindowGrid(SIZE, SIZE, SIZE, 10)[0]
    np.testing.assert_allclose(blend_importance(iter([(window, beta)]), (0, 5), 5, 3, PATCH), beta, rtol=1e-6)


def test_equal_weights_show_no_seam():
    beta = np.broadcast_to(np.float32([0.5, 0.3, 0.2])[:, None, None], (3, 5, 5))
    windows = WindowGrid(HEIGHT, WIDTH, SIZE, 13)
    result = blend_importance(((window, beta) for window in windows), (0, 19), 26, 3, PATCH)
    assert np.ptp(result, axis=(1, 2)).max() <= 1e-6


def test_a_part_of_a_map_is_what_the_whole_has_there(rng):
    """... if it begins where a patch of the whole does; its windows begin before it and end behind it."""
    found = [(window, weights(rng)) for window in WindowGrid(HEIGHT, WIDTH, SIZE, 13)]
    whole = blend_importance(iter(found), (0, 19), 26, 3, PATCH)
    moved = [(replace(window, top=window.top - 5 * PATCH, left=window.left - 9 * PATCH), beta) for window, beta in found]
    touching = [(w, beta) for w, beta in moved if 0 < w.right and w.left < 11 * PATCH and 0 < w.bottom and w.top < 7 * PATCH]
    np.testing.assert_array_equal(blend_importance(iter(touching), (0, 7), 11, 3, PATCH), whole[:, 5:12, 9:20])


@pytest.fixture
def scene(tmp_path):
    files = {"rgb": [str(write_landscape(tmp_path / "rgb.tif", 0.5, HEIGHT, WIDTH))]}
    return open_scene(MODALITIES, files)


def write(tmp_path, scene, make, side, name, found):
    windows = WindowGrid(HEIGHT, WIDTH, SIZE, 13)
    blocks = make(windows, side) if make is window_blocks else make(windows, side, scene.grid.shape)
    folder = BlockFolder(tmp_path / f"{name}.parts", {}, resume=False)
    for block in blocks:
        save_importance(folder.file(block, IMPORTANCE), {w.index: found[w.index] for w in block.windows if w.index in found})
    write_importance(tmp_path / f"{name}.tif", scene, blocks, folder, PATCH)
    return tmp_path / f"{name}.tif"


def test_the_map_is_a_located_cog_with_a_band_per_sensor_whatever_the_blocks(tmp_path, scene, rng, monkeypatch):
    found = {w.index: weights(rng) for w in WindowGrid(HEIGHT, WIDTH, SIZE, 13)}
    del found[3]  # no sensor has data there
    paths = [write(tmp_path, scene, window_blocks, 60, "a", found), write(tmp_path, scene, area_blocks, 70, "b", found)]
    monkeypatch.setattr(importance_maps, "BAND_ROWS", 4)
    paths.append(write(tmp_path, scene, area_blocks, 1000, "c", found))
    with rasterio.open(paths[0]) as file:
        first = file.read()
        assert file.descriptions == ("rgb", "sar", "dem") and file.shape == (19, 26) and np.isnan(file.nodata)
        assert file.transform.a == 4.0 and (file.bounds.left, file.bounds.top) == (LEFT, TOP)
        assert file.crs == scene.grid.crs
    check_cog(paths[0])
    order = [(window, found[window.index]) for window in WindowGrid(HEIGHT, WIDTH, SIZE, 13) if window.index in found]
    np.testing.assert_allclose(first, pixel_by_pixel(order, 19, 26, SIZE), rtol=1e-5)
    for path in paths[1:]:
        with rasterio.open(path) as file:
            np.testing.assert_array_equal(file.read(), first)


def test_outside_the_area_nothing_is_known(tmp_path, scene, rng):
    scene.area = shapely.box(LEFT, TOP - 10, LEFT + 20, TOP)
    found = {w.index: weights(rng) for w in WindowGrid(HEIGHT, WIDTH, SIZE, 13)}
    with rasterio.open(write(tmp_path, scene, window_blocks, 100, "a", found)) as file:
        known = ~np.isnan(file.read()).all(axis=0)
    assert known[:2, :5].all() and not known[3:].any() and not known[:, 6:].any()
