"""Maps of beta: the encoder's numbers, at the right place on the ground."""

import numpy as np
import pytest
import rasterio
from detectron2.data import DatasetCatalog
from detectron2.modeling import build_model
from rasterio.transform import Affine

from imrsf_d2.data.mappers import build_mapper
from imrsf_d2.engine.configuration import load_config
from imrsf_d2.evaluation.importance import ImportanceMap, importance_maps, write_importance
from imrsf_d2.geo.grids import Grid
from imrsf_d2.geo.rasters import read_grid
from tests.evaluation.test_shared_streams import gappy_root  # noqa: F401
from tests.tiny import DEMO_CONFIG, DEMO_CONFIGS, OVERRIDES, SIZE

PATCH = 8


@pytest.fixture
def instance(gappy_root, monkeypatch):  # noqa: F811
    """Config, model and samples."""
    monkeypatch.setenv("DETECTRON2_DATASETS", str(gappy_root))
    cfg = load_config(DEMO_CONFIG, OVERRIDES)
    return cfg, build_model(cfg), DatasetCatalog.get(cfg.DATASETS.TEST[0])


def test_they_are_the_weights_of_the_attention(instance):
    cfg, model, samples = instance
    weights = []

    def look(module, inputs, output):
        assert not model.training
        weights.append(output[1])

    hook = model.backbone.bilstm.register_forward_hook(look)
    items = list(importance_maps(cfg, model, samples))
    hook.remove()
    assert model.training  # as it was
    for item, expected, sample in zip(items, weights, samples, strict=True):
        assert list(item.beta) == ["sar", "rgb", "dsm"]
        beta = np.stack(list(item.beta.values()))
        assert beta.shape == (3, SIZE // PATCH, SIZE // PATCH) and beta.dtype == np.float32
        image = build_mapper(cfg, is_train=False)(sample)["image"].numpy()
        valid = image[5:].reshape(3, SIZE // PATCH, PATCH, SIZE // PATCH, PATCH).mean(axis=(2, 4)) >= 0.5
        assert np.array_equal(~np.isnan(beta), valid) and 0 < valid.mean() < 1
        assert np.nan_to_num(beta).sum(axis=0)[valid.any(axis=0)] == pytest.approx(1, abs=1e-5)
        assert np.allclose(np.nan_to_num(beta).reshape(3, -1), expected[0].detach().numpy(), atol=1e-6)


def test_a_patch_is_a_pixel_of_the_same_ground(instance, tmp_path):
    cfg, model, samples = instance
    item = next(importance_maps(cfg, model, samples[:1]))
    paths = write_importance(tmp_path, item)
    assert [path.relative_to(tmp_path).parent.name for path in paths] == ["sar", "rgb", "dsm"]
    source = read_grid(samples[0]["modalities"]["rgb"])
    assert source.located
    with rasterio.open(paths[1]) as file:
        assert file.dtypes == ("float32",) and np.isnan(file.nodata) and file.crs == source.crs
        assert file.transform.almost_equals(source.transform @ Affine.scale(PATCH))
        assert file.bounds == pytest.approx(rasterio.transform.array_bounds(SIZE, SIZE, source.transform))
        assert np.array_equal(file.read(1), item.beta["rgb"], equal_nan=True)


def test_the_last_patches_may_reach_beyond_the_image(instance, tmp_path, monkeypatch):
    cfg, model, samples = instance
    ground = Grid(36, 50, rasterio.crs.CRS.from_epsg(32633), Affine(0.5, 0, 1000.0, 0, -0.5, 2000.0))
    mapper = build_mapper(cfg, is_train=False)
    monkeypatch.setattr(mapper.reader, "grid", lambda sample: ground)
    image = mapper(samples[0])["image"][:, :36, :50]
    monkeypatch.setattr(type(mapper), "__call__", lambda self, sample: {"image": image})
    monkeypatch.setattr("imrsf_d2.evaluation.importance.build_mapper", lambda *args, **options: mapper)
    item = next(importance_maps(cfg, model, samples[:1]))
    assert item.beta["dsm"].shape == (5, 7)  # of 64 x 64 px after padding
    assert item.grid == Grid(5, 7, ground.crs, Affine(4.0, 0, 1000.0, 0, -4.0, 2000.0))


def test_images_of_several_folders_whose_files_are_called_alike_keep_their_own_maps(instance, tmp_path):
    cfg, model, samples = instance
    samples = [{**sample, "file_name": f"{city}/7.tif"} for city, sample in zip(("Rio", "Oslo"), samples)]
    written = [(item, write_importance(tmp_path, item)) for item in importance_maps(cfg, model, samples)]
    assert [item.name for item, _ in written] == ["Rio_7", "Oslo_7"]
    assert not np.array_equal(written[0][0].beta["rgb"], written[1][0].beta["rgb"], equal_nan=True)
    for item, paths in written:
        for path, beta in zip(paths, item.beta.values(), strict=True):
            with rasterio.open(path) as file:
                assert np.array_equal(file.read(1), beta, equal_nan=True)


def test_without_a_georeference_none_is_made_up(tmp_path):
    beta = np.full((2, 3), 0.5, dtype=np.float32)
    (path,) = write_importance(tmp_path, ImportanceMap("x", np.zeros((2, 16, 24), np.float32), {"a": beta}, 8, None))
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning), rasterio.open(path) as file:
        assert file.crs is None and file.shape == (2, 3)


def test_a_map_is_a_modality_too(tiny_root, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tiny_root))
    cfg = load_config(DEMO_CONFIGS["lulc"], OVERRIDES)
    item = next(importance_maps(cfg, build_model(cfg), DatasetCatalog.get(cfg.DATASETS.TEST[0])[:1]))
    assert list(item.beta) == ["s1", "s2", "dem", "dnw"]


def test_a_model_without_the_attention_is_refused(tiny_root, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tiny_root))
    cfg = load_config(DEMO_CONFIG, [*OVERRIDES, "MODEL.IMRSF.GATHER", "mean"])
    with pytest.raises(ValueError, match="GATHER is 'mean', which has none, expected 'bilstm' or 'mean_bilstm'"):
        next(importance_maps(cfg, build_model(cfg), []))
