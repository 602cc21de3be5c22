"""A checkpoint to maps, from Python and by the command: the same, feature for feature."""

import numpy as np
import pyogrio.raw
import pytest
import rasterio
import shapely
import torch
from detectron2.modeling import build_model
from rasterio.crs import CRS
from rasterio.transform import from_origin

from imrsf_d2.commands import predict
from imrsf_d2.engine.configuration import load_config
from imrsf_d2.engine.scene_predictor import build_scene_predictor, class_names, training_window
from imrsf_d2.inference import predict_scene
from tests.tiny import DEMO_CONFIG, DEMO_CONFIGS, OVERRIDES, PRETRAINING, SIZE

PLACE, UTM = from_origin(500_000, 5_800_000, 0.5, 0.5), CRS.from_epsg(32633)


@pytest.fixture
def weights(tiny_config, tmp_path):
    """A checkpoint of a tiny model that has learned nothing; its masks are where they are."""
    path = tmp_path / "model.pth"
    torch.save({"model": build_model(tiny_config()).state_dict()}, path)
    return str(path)


@pytest.fixture
def sensors(tmp_path, rng):
    """Arrays, and files of the same pixels: SAR covers only a part, there is no DSM."""
    arrays = {
        "rgb": rng.integers(1, 255, (3, 150, 170)).astype(np.uint8),
        "sar": rng.gamma(1.0, 0.1, (1, 150, 90)).astype(np.float32),
    }
    files = {}
    for name, array in arrays.items():
        files[name] = str(tmp_path / f"{name}.tif")
        options = {"driver": "GTiff", "count": len(array), "height": array.shape[1], "width": array.shape[2]}
        with rasterio.open(files[name], "w", dtype=array.dtype, crs=UTM, transform=PLACE, **options) as file:
            file.write(array)
    return {name: (array, PLACE, UTM) for name, array in arrays.items()}, files


def rows_of(features):
    """What a file keeps of features."""
    return [(shapely.normalize(feature.geometry), *feature.attributes.values()) for feature in features]


def test_the_command_and_python_find_the_same(tiny_config, weights, sensors, tmp_path):
    arrays, files = sensors
    output = tmp_path / "out.gpkg"
    modalities = [word for name, file in files.items() for word in ("--modality", f"{name}={file}")]
    options = ["--reference", "rgb", "--min-score", "0.02", "--min-area", "3", "--simplify", "0.3", "--batch-size", "3"]
    code = predict.main(
        ["--config-file", str(DEMO_CONFIG), *modalities, "--output", str(output), *options]
        + [*OVERRIDES, "MODEL.WEIGHTS", weights]
    )
    assert code == 0
    _, _, geometry, columns = pyogrio.raw.read(output, columns=["class", "score", "area_m2", "sensors", "cut"])
    shapes = [shapely.normalize(shape.geoms[0] if len(shape.geoms) == 1 else shape) for shape in shapely.from_wkb(geometry)]
    written = list(zip(shapes, *(column.tolist() for column in columns)))
    assert len(written) > 3

    cfg = tiny_config("MODEL.WEIGHTS", weights)
    settings = {"min_score": 0.02, "min_area": 3, "simplify": 0.3, "batch_size": 3}
    predictor = build_scene_predictor(cfg, **settings)
    assert predictor.settings.window == SIZE and predictor.model.device.type == "cpu"
    assert rows_of(predictor.predict(files, reference="rgb")) == written
    assert rows_of(predictor.predict(arrays, reference="rgb")) == written
    # ... and the model alone says all but its training crop
    assert rows_of(predict_scene(predictor.model, arrays, reference="rgb", window=SIZE, **settings)) == written


def test_the_command_and_python_draw_the_same_label_map(tiny_root, sensors, tmp_path, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tiny_root))
    (tmp_path / "run").mkdir()
    weights, output = tmp_path / "model.pth", tmp_path / "run/out.tif"
    cfg = load_config(DEMO_CONFIGS["semantic"], [*OVERRIDES, "MODEL.WEIGHTS", str(weights)])
    torch.save({"model": build_model(cfg).state_dict()}, weights)
    arrays, files = sensors
    modalities = [word for name, file in files.items() for word in ("--modality", f"{name}={file}")]
    config_file = ["--config-file", str(DEMO_CONFIGS["semantic"])]
    options = ["--output", str(output), "--reference", "rgb", *OVERRIDES, "MODEL.WEIGHTS", str(weights)]
    assert predict.main([*config_file, *modalities, *options]) == 0
    found = build_scene_predictor(cfg).label_map(arrays, reference="rgb")
    with rasterio.open(output) as file:
        np.testing.assert_array_equal(file.read(1), found.labels)
        assert file.transform == found.grid.transform and file.crs == found.grid.crs
        assert [file.colormap(1)[i][:3] for i in range(len(found.classes.names))] == list(found.classes.colors)


@pytest.mark.parametrize(
    "changes, error, message",
    [
        ((), ValueError, "MODEL.WEIGHTS is empty"),
        (("MODEL.WEIGHTS", "nowhere.pth"), FileNotFoundError, "no checkpoint 'nowhere.pth'"),
        (PRETRAINING, ValueError, "the config is of a pre-training run"),
    ],
)
def test_a_model_that_predicts_nothing_is_refused(tiny_config, changes, error, message):
    with pytest.raises(error, match=message):
        build_scene_predictor(tiny_config(*changes))


def test_weights_of_another_model_are_refused(tiny_config, weights):
    with pytest.raises(ValueError, match="missing|shape|parameters"):
        build_scene_predictor(
            tiny_config("MODEL.WEIGHTS", weights, "MODEL.IMRSF.DEPTH", "3", "MODEL.IMRSF.OUT_LAYERS", "[0, 1, 2, 2]")
        )


def test_names_and_window_are_those_of_training(tiny_config, tiny_root, monkeypatch):
    cfg = tiny_config()
    assert class_names(cfg).names == ("building",) and training_window(cfg) == SIZE
    assert class_names(tiny_config("DATASETS.TEST", "()", "DATASETS.TRAIN", "('not_registered',)")).names == ("class 0",)
    assert training_window(tiny_config("INPUT.CROP.ENABLED", "False")) == 256
