"""Scenes to maps from Python: as the files of the command have them, in memory, and as they become final."""

import gc
import threading
import types
import weakref

import numpy as np
import pytest
import rasterio
import shapely
import torch
from detectron2.data import Metadata
from rasterio.transform import Affine, from_origin

import imrsf_d2.inference
from imrsf_d2.inference import ScenePredictor, plan, predict_scene, write_features
from imrsf_d2.inference.detections import Detection
from imrsf_d2.inference.job import SceneJob
from imrsf_d2.inference.label_maps import NO_LABEL
from imrsf_d2.inference.plan import Settings
from imrsf_d2.inference.predictor import WindowPredictor
from imrsf_d2.inference.scene import open_scene
from imrsf_d2.inference.windows import WindowGrid
from imrsf_d2.modalities import Modality, ModalitySet
from tests.inference.oracle_model import OracleClassifier, OracleDetector
from tests.inference.oracle_scene import draw_scene
from tests.inference.scene_files import LEFT, TOP, UTM, write

MODALITIES = ModalitySet([Modality("truth", 1), Modality("sar", 1)])
PLACE = from_origin(LEFT, TOP, 0.5, 0.5)
OPTIONS = {"modalities": MODALITIES, "classes": ["building"], "window": 128}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(plan, "BLOCK_PX", 200)


@pytest.fixture(scope="module")
def truth():
    return draw_scene(3, 520, 300, halls=0, tries=150)


@pytest.fixture
def arrays(truth):
    return {"truth": (truth.astype(np.float32), PLACE, UTM), "sar": (np.ones((520, 200), np.float32), PLACE, UTM)}


def everything_of(features):
    return [(feature.geometry.wkb, *feature.attributes.values()) for feature in features]


def test_features_are_those_that_the_command_writes(arrays, tmp_path):
    """... with blocks in files, read again and merged."""
    files = {name: [str(write(tmp_path / f"{name}.tif", *array))] for name, array in arrays.items()}
    scene = open_scene(MODALITIES, files, reference="truth")
    job = SceneJob(scene, tmp_path / "out.gpkg", Settings(128, 32, 0.6, 20.0, 0.4), ["building"], instances=True)
    job.open()
    job.compute(WindowPredictor(OracleDetector(), MODALITIES, instances=True, min_score=0.6))
    expected = everything_of(job.features())
    assert len(expected) > 30
    options = {"min_score": 0.6, "min_area": 20, "simplify": 0.4, "batch_size": 3, **OPTIONS}
    found = predict_scene(OracleDetector(), arrays, reference="truth", **options)
    assert everything_of(found) == expected and found.crs == UTM
    assert everything_of(predict_scene(OracleDetector(), files, reference="truth", **options)) == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.gpkg.parts", "sar.tif", "truth.tif"]


def test_features_come_as_they_become_final(arrays, monkeypatch):
    monkeypatch.setattr(imrsf_d2.inference.mapping, "TELL_S", 0)
    model = OracleDetector()
    predictor = ScenePredictor(model, batch_size=1, **OPTIONS)
    windows = WindowGrid(520, 300, 128, 32)
    came, told = {}, []  # windows that the model has seen -> features that came then
    for feature in predictor.predict(arrays, reference="truth", progress=lambda *numbers: told.append(numbers)):
        came.setdefault(len(model.calls), []).append(feature)
    counts = sorted(came)
    # Three rows of blocks, of two rows of windows each; the model is some windows ahead, but not a whole scene.
    assert len(windows) == 6 * 3 and 2 * 3 <= counts[0] <= 2 * 3 + 8 and counts[-1] == 6 * 3
    for count in counts[:-1]:
        assert all((TOP - feature.geometry.bounds[1]) / 0.5 <= windows[count].top for feature in came[count])
    done, total, objects, seconds = told[-1]
    assert done == total == len(windows) and objects >= sum(map(len, came.values())) and seconds >= 0
    assert [numbers[0] for numbers in told] == sorted({numbers[0] for numbers in told})


def test_memory_follows_the_front_and_not_the_scene(truth, monkeypatch):
    alive = weakref.WeakSet()

    class Counted(Detection):
        def __new__(cls, *_):
            detection = super().__new__(cls)
            alive.add(detection)
            return detection

    monkeypatch.setattr(imrsf_d2.inference.reduction, "Detection", Counted)
    monkeypatch.setattr(imrsf_d2.inference.mapping, "TELL_S", 0)

    def most_held(times):
        """Detections at a time, at most, of a scene so many times as long."""
        held = []
        tall = np.tile(truth, (times, 1)).astype(np.float32)
        sensors = {"truth": (tall, PLACE, UTM)}
        found = predict_scene(OracleDetector(), sensors, progress=lambda *_: held.append(len(alive)), **OPTIONS)
        assert sum(1 for _ in found) >= times * 20
        return max(held)

    # The model may be some windows ahead, or not: that alone can be as much as a short scene holds.
    assert 0 < most_held(12) <= 2 * most_held(3)


@pytest.mark.parametrize("how", ["let go", "close"])
def test_who_stops_asking_stops_the_model(arrays, how):
    model = OracleDetector()
    found = predict_scene(model, arrays, reference="truth", **OPTIONS)
    assert not model.calls  # nothing is computed before the first is asked for
    next(found)
    if how == "close":
        found.close()
        assert not list(found)
    del found
    gc.collect()
    assert 0 < len(model.calls) < len(WindowGrid(520, 300, 128, 32))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("scene")]


def memory_of(found):
    (name,) = {file.path for files in found.gi_frame.f_locals["plan"].scene.sensors.values() for file in files}
    return name


@pytest.mark.parametrize("until", ["never asked", "stopped", "end"])
def test_arrays_are_gone_from_memory_with_the_last_feature(truth, until):
    found = predict_scene(OracleDetector(), {"truth": (truth.astype(np.float32), PLACE, UTM)}, **OPTIONS)
    name = memory_of(found._found)
    assert rasterio.shutil.exists(name)
    if until == "stopped":
        next(found)
    if until == "end":
        assert len(list(found)) == len(np.unique(truth)) - 1
    else:
        del found
    gc.collect()
    assert not rasterio.shutil.exists(name)


def test_what_is_wrong_with_the_sensors_is_said_before_anything_is_asked_for(arrays):
    model = OracleDetector()
    for sensors, where, message in (
        ({"lidar": arrays["truth"]}, {}, "unknown modality 'lidar'"),
        (arrays, {"reference": "dsm"}, "the reference is 'dsm'"),
        (arrays, {"bounds": (0, 0, 1, 1)}, "holds no pixel"),
        ({}, {}, "no sensor"),
        ({"truth": None}, {}, "no sensor"),
        (arrays, {"overlap": 5}, "the overlap is 5"),
        (arrays, {"min_score": 2}, "the minimum score is 2"),
        (arrays, {"min_area": -1}, "min area is -1"),
        (arrays, {"batch_size": 0}, "the batch size is 0"),
    ):
        with pytest.raises(ValueError, match=message):
            predict_scene(model, sensors, **OPTIONS | where)
    with pytest.raises(TypeError, match="extent"):
        predict_scene(model, arrays, extent=(0, 0, 1, 1), **OPTIONS)


def test_one_predictor_maps_many_scenes_each_by_itself(arrays):
    predictor = ScenePredictor(OracleDetector(), **OPTIONS)
    whole = everything_of(predictor.predict(arrays, reference="truth"))
    part = shapely.box(LEFT, TOP - 150, LEFT + 200, TOP - 50)
    cut = list(predictor.predict(arrays, reference="truth", area=part))
    assert 0 < len(cut) < len(whole) and all(feature.geometry.intersects(part) for feature in cut)
    one, other = predictor.predict(arrays, reference="truth"), predictor.predict(arrays, reference="truth")
    assert everything_of(feature for pair in zip(one, other) for feature in pair) == [row for row in whole for _ in range(2)]


class ShakyDetector(OracleDetector):
    """What it finds, where and with which score depends on all that a window shows."""

    def _find(self, numbers):
        found = super()._find(numbers)
        places = torch.arange(numbers.numel(), dtype=torch.float64).reshape(numbers.shape)
        seed = int((numbers * places % 1009).sum())
        draws = torch.rand(3, len(found), generator=torch.Generator().manual_seed(seed))
        found.scores = 0.5 + 0.5 * draws[0]
        for mask, right, down in zip(found.pred_masks, *(draws[1:] < 0.3)):
            mask[:] = mask.roll((int(down), int(right)), (0, 1))
        return found[draws[0] < 0.9]


@pytest.mark.parametrize("turned", [0.0, 30.0])
def test_a_map_of_an_area_has_the_objects_of_the_map_of_everything_that_touch_it(turned):
    transform = PLACE * Affine.rotation(turned)
    truth = draw_scene(5, 900, 800, halls=0, tries=2000)
    truth[400:416, 300:800] = truth.max() + 1  # a wall, far out of the area
    sensors = {"truth": (truth.astype(np.float32), transform, UTM)}
    pixels = shapely.Polygon([(250, 300), (500, 300), (250, 520)])
    area = shapely.transform(pixels, lambda corners: np.transpose(transform * corners.T))
    predictor = ScenePredictor(ShakyDetector(), min_score=0.0, **OPTIONS)
    whole = [feature for feature in predictor.predict(sensors) if feature.geometry.intersects(area)]
    part = predictor.predict(sensors, area=area)
    assert part.grid.height * part.grid.width < 0.8 * 900 * 800
    found = list(part)
    near = area.buffer(0.5 * 128)
    inside = [feature for feature in whole if feature.geometry.within(near)]
    assert 10 < len(inside) < len(whole)
    assert everything_of(feature for feature in found if feature.geometry.within(near)) == everything_of(inside)
    assert any(not feature.geometry.within(area.envelope) for feature in inside)
    assert all(feature.cut for feature in found if not feature.geometry.within(near))  # the wall


def test_features_are_written_and_read_by_others(arrays, tmp_path):
    found = predict_scene(OracleDetector(), arrays, reference="truth", **OPTIONS)
    features = list(found)
    assert write_features(tmp_path / "out.fgb", features, found.crs) == len(features)
    mapping = features[0].__geo_interface__
    assert shapely.geometry.shape(mapping["geometry"]).equals(features[0].geometry)
    assert mapping["type"] == "Feature" and mapping["properties"]["class"] == "building"


def test_a_label_map_is_the_truth_and_that_of_its_file(rng, tmp_path):
    labels = np.kron(rng.integers(0, 3, (12, 14)), np.ones((20, 20))).astype(np.float32)
    labels[100:140, 200:260] = -1  # no sensor has data there
    sensors = {"truth": (labels, PLACE, UTM, -1)}
    predictor = ScenePredictor(OracleClassifier(3), **OPTIONS | {"classes": ["water", "trees", "fields"]})
    told = []
    found = predictor.label_map(sensors, progress=lambda *numbers: told.append(numbers))
    np.testing.assert_array_equal(found.labels, np.where(labels < 0, 255, labels))
    assert found.grid.transform == PLACE and found.grid.crs == UTM and told[-1][0] == told[-1][1]

    scene = open_scene(MODALITIES, {"truth": [str(write(tmp_path / "truth.tif", labels, PLACE, nodata=-1))]})
    names, colors = found.classes.names, found.classes.colors
    job = SceneJob(scene, tmp_path / "job.tif", Settings(128), names, instances=False, colors=colors)
    job.open()
    job.compute(WindowPredictor(OracleClassifier(3), MODALITIES, instances=False))
    job.write()
    found.write(tmp_path / "found.tif")
    with rasterio.open(tmp_path / "job.tif") as one, rasterio.open(tmp_path / "found.tif") as other:
        np.testing.assert_array_equal(one.read(), other.read())
        assert one.profile == other.profile and one.tags(1) == other.tags(1) and one.colormap(1) == other.colormap(1)
        assert other.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    with pytest.raises(ValueError, match="ends in .tif"):
        found.write(tmp_path / "found.png")


@pytest.mark.parametrize("kind", ["objects", "a label map"])
def test_the_processes_that_read_begin_once_for_a_map_and_not_for_each_block(arrays, monkeypatch, kind):
    begun, begin = [], WindowPredictor._workers
    monkeypatch.setattr(WindowPredictor, "_workers", lambda self, scene: (begun.append(scene), begin(self, scene))[1])
    if kind == "objects":
        assert list(ScenePredictor(OracleDetector(), **OPTIONS).predict(arrays, reference="truth"))
    else:
        predictor = ScenePredictor(OracleClassifier(3), **OPTIONS | {"classes": ["water", "trees", "fields"]})
        labels = predictor.label_map(arrays, reference="truth").labels
        np.testing.assert_array_equal(labels, np.clip(arrays["truth"][0], 0, 2))
        assert labels.size > 3 * plan.BLOCK_PX**2
    assert len(begun) == 1


class ShakyClassifier(OracleClassifier):
    """Which class it finds depends on all that a window shows, and on the place in it."""

    def forward(self, inputs):
        outputs = super().forward(inputs)
        for sample, output in zip(inputs, outputs):
            draws = torch.Generator().manual_seed(int(sample["image"].double().sum()) % 2**31)
            output["sem_seg"] += 40 * torch.rand(output["sem_seg"].shape, generator=draws)
        return outputs


def test_a_label_map_of_a_part_is_what_the_map_of_everything_has_there(rng):
    height, width = 350, 430
    sensors = {"truth": (rng.integers(0, 3, (height, width)).astype(np.float32), PLACE, UTM)}
    predictor = ScenePredictor(ShakyClassifier(3), **OPTIONS | {"classes": ["water", "trees", "fields"]})
    whole = predictor.label_map(sensors)
    own = ScenePredictor(ShakyClassifier(3), **OPTIONS | {"classes": ["a", "b", "c"], "overlap": 40}).label_map(sensors)
    assert (own.labels != whole.labels).mean() > 0.2  # other windows, another map
    for top, left, rows, columns in ((37, 101, 210, 220), (0, 300, 99, 130), (345, 0, 5, 430), (200, 200, 1, 3)):
        here = np.s_[top : top + rows, left : left + columns]
        part = predictor.label_map(sensors, bounds=whole.grid.part(*here).bounds)
        assert part.grid == whole.grid.part(*here)
        np.testing.assert_array_equal(part.labels, whole.labels[here])
    (x, y), radius = PLACE * (260, 180), 40
    circle = shapely.Point(x, y).buffer(radius)
    part = predictor.label_map(sensors, area=circle)
    top, left = whole.grid.offset_of(part.grid, 1e-3)
    there = whole.labels[top : top + part.grid.height, left : left + part.grid.width]
    inside = part.labels != NO_LABEL
    assert abs(inside.sum() * 0.25 / circle.area - 1) < 0.01
    np.testing.assert_array_equal(part.labels[inside], there[inside])


def model_that_knows(number=1, **attributes):
    model = OracleDetector()
    model.backbone = torch_module(modalities=MODALITIES)
    model.sem_seg_head = torch_module(num_classes=number)
    for name, value in attributes.items():
        setattr(model, name, value)
    return model


def torch_module(**attributes):
    module = imrsf_d2.inference.scene_predictor.nn.Module()
    vars(module).update(attributes)
    return module


def test_the_model_says_what_is_not_given(arrays, caplog):
    metadata = Metadata(name="buildings", thing_classes=["house"])
    found = list(predict_scene(model_that_knows(metadata=metadata), arrays, reference="truth", window=128))
    assert {feature.label for feature in found} == {"house"}
    found = list(predict_scene(model_that_knows(3, metadata=metadata), arrays, reference="truth", window=128))
    assert {feature.label for feature in found} == {"class 0"}
    assert not caplog.records


@pytest.mark.parametrize(
    "attributes, said",
    [
        ({"num_queries": 2}, "NUM_OBJECT_QUERIES 2"),
        ({"num_queries": 2, "test_topk_per_image": 100}, "NUM_OBJECT_QUERIES 2"),
        ({"num_queries": 200, "test_topk_per_image": 2}, "(TEST.DETECTIONS_PER_IMAGE 2)"),
        ({"roi_heads": {"test_topk_per_image": 2}}, "(TEST.DETECTIONS_PER_IMAGE 2)"),
        ({"num_queries": 200, "test_topk_per_image": 100}, None),
    ],
)
def test_a_window_is_full_at_what_the_model_keeps_of_its_queries(arrays, caplog, attributes, said):
    model = model_that_knows(
        **{name: torch_module(**value) if isinstance(value, dict) else value for name, value in attributes.items()}
    )
    list(predict_scene(model, arrays, reference="truth", window=128))
    warned = [record.getMessage() for record in caplog.records if "can find" in record.getMessage()]
    assert len(warned) == (said is not None) and (said is None or said in warned[0])


def test_what_the_model_does_not_say_is_asked_for(arrays):
    with pytest.raises(ValueError, match="OracleDetector has no backbone .* pass modalities"):
        predict_scene(OracleDetector(), arrays)
    with pytest.raises(ValueError, match="how many classes it has; pass classes"):
        predict_scene(OracleDetector(), arrays, modalities=MODALITIES)
    with pytest.raises(ValueError, match="2 names of classes are given, but the model has 1"):
        predict_scene(model_that_knows(), arrays, classes=["a", "b"])
    with pytest.raises(ValueError, match="no label map"):
        ScenePredictor(OracleDetector(), **OPTIONS).label_map(arrays)


def test_names_are_loaded_when_they_are_used():
    assert isinstance(imrsf_d2.inference, types.ModuleType)
    for name in imrsf_d2.inference.__all__:
        assert getattr(imrsf_d2.inference, name).__name__ == name
    with pytest.raises(AttributeError, match="nothing"):
        imrsf_d2.inference.nothing
