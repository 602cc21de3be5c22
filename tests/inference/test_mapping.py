"""Scenes of files through a model that knows the truth, to features and label maps."""

import random
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
import torch
from rasterio.features import rasterize
from rasterio.transform import from_origin

from imrsf_d2.data.object_limits import DETECTIONS, QUERIES
from imrsf_d2.inference.blocks import BlockFolder, area_blocks, window_blocks
from imrsf_d2.inference.detection_files import load_detections
from imrsf_d2.inference.label_blocks import write_label_map
from imrsf_d2.inference.mapping import _held_back, compute_blocks
from imrsf_d2.inference.objects import features, merged_objects
from imrsf_d2.inference.predictor import WindowPredictor
from imrsf_d2.inference.scene import open_scene
from imrsf_d2.inference.windows import WindowGrid
from imrsf_d2.modalities import Modality, ModalitySet
from tests.inference.oracle_model import OracleClassifier, OracleDetector
from tests.inference.oracle_scene import draw_scene
from tests.inference.scene_files import LEFT, TOP, UTM, write

MODALITIES = ModalitySet([Modality("truth", 1), Modality("sar", 1)])
SIZE, OVERLAP = 128, 32
PLACE = from_origin(LEFT, TOP, 0.5, 0.5)


@pytest.fixture(scope="module")
def truth():
    return draw_scene(3, 500, 640, halls=1, tries=300)


@pytest.fixture
def scene(tmp_path, truth):
    write(tmp_path / "truth.tif", truth.astype(np.float32), PLACE)
    write(tmp_path / "sar.tif", np.ones((500, 300), np.float32), PLACE)
    files = {"truth": [str(tmp_path / "truth.tif")], "sar": [str(tmp_path / "sar.tif")]}
    return open_scene(MODALITIES, files, reference="truth")


def load(folder, blocks):
    return (load_detections(folder.file(block)) for block in blocks)


def objects_of(scene, folder, *, batch_size=1, shuffled=False, side=256, **options):
    windows = WindowGrid(*scene.grid.shape, SIZE, OVERLAP)
    blocks = window_blocks(windows, side)
    parts = BlockFolder(folder, {}, resume=False)
    order = list(blocks)
    if shuffled:
        random.Random(0).shuffle(order)
    compute_blocks(
        WindowPredictor(OracleDetector(), MODALITIES, instances=True, batch_size=batch_size, **options), scene, order, parts
    )
    return list(features(scene, merged_objects(windows, blocks, load(parts, blocks)), ["building"]))


def test_every_building_is_a_polygon_of_its_pixels(scene, truth, tmp_path):
    found = objects_of(scene, tmp_path / "parts")
    assert len(found) == len(np.unique(truth)) - 1
    for feature in found:
        (number,) = np.unique(truth[rasterize([feature.geometry], truth.shape, transform=PLACE) > 0])
        np.testing.assert_array_equal(rasterize([feature.geometry], truth.shape, transform=PLACE) > 0, truth == number)
        assert feature.area_m2 == pytest.approx(0.25 * (truth == number).sum())
        assert feature.geometry.is_valid and feature.label == "building"
        half = 2 * (np.nonzero(truth == number)[1] < 300).sum() >= (truth == number).sum()
        assert feature.sensors == (("truth", "sar") if half else ("truth",))


def test_blocks_batches_and_their_order_change_nothing(scene, tmp_path):
    def summary(found):
        return [(f.geometry.wkb, f.score, f.area_m2, f.sensors, f.cut) for f in found]

    first = summary(objects_of(scene, tmp_path / "a"))
    assert len(first) > 50
    assert summary(objects_of(scene, tmp_path / "b", batch_size=8, shuffled=True)) == first
    assert summary(objects_of(scene, tmp_path / "c", side=10_000)) == first
    assert summary(objects_of(scene, tmp_path / "d", side=1, shuffled=True)) == first


def test_finished_blocks_are_not_computed_again(scene, tmp_path):
    windows = WindowGrid(*scene.grid.shape, SIZE, OVERLAP)
    blocks = window_blocks(windows, 256)
    model = OracleDetector()
    predictor = WindowPredictor(model, MODALITIES, instances=True)
    compute_blocks(predictor, scene, blocks[:3], BlockFolder(tmp_path / "parts", {}, resume=False))
    before = len(model.calls)
    compute_blocks(predictor, scene, blocks, BlockFolder(tmp_path / "parts", {}, resume=True))
    assert len(model.calls) == len(windows) and before == sum(len(block.windows) for block in blocks[:3])


def test_windows_without_data_cost_no_call_of_the_model(tmp_path):
    values = np.zeros((300, 900), dtype=np.float32)
    values[100:120, 50:70] = 1
    values[:, 200:] = -1
    write(tmp_path / "truth.tif", values, PLACE, nodata=-1)
    scene = open_scene(MODALITIES, {"truth": [str(tmp_path / "truth.tif")]})
    windows = WindowGrid(300, 900, SIZE, OVERLAP)
    model = OracleDetector()
    parts = BlockFolder(tmp_path / "parts", {}, resume=False)
    compute_blocks(WindowPredictor(model, MODALITIES, instances=True), scene, window_blocks(windows, 256), parts)
    assert len(model.calls) == sum(window.left < 200 for window in windows)
    blocks = window_blocks(windows, 256)
    assert len(list(merged_objects(windows, blocks, load(parts, blocks)))) == 1


@pytest.mark.parametrize("known, found", [(29, []), (31, ["truth"])])
def test_an_object_that_lies_mostly_where_nothing_is_known_is_left_out(tmp_path, known, found):
    class Sees(OracleDetector):
        def _find(self, numbers):
            box = torch.zeros_like(numbers)
            box[10:40, 10:50] = 1
            return super()._find(box)

    band = np.full((128, 128), np.nan, np.float32)
    band[:, :known] = 0
    write(tmp_path / "truth.tif", band, PLACE)
    write(tmp_path / "sar.tif", np.full_like(band, np.nan), PLACE)
    opened = open_scene(MODALITIES, {name: [str(tmp_path / f"{name}.tif")] for name in ("truth", "sar")})
    (result,) = WindowPredictor(Sees(), MODALITIES, instances=True).run(opened, WindowGrid(128, 128, SIZE, OVERLAP))
    assert [MODALITIES.names[0] for one in result.detections if one.sensors == 1] == found
    assert len(result.detections) == len(found)


@pytest.mark.parametrize(
    "queries, kept, said",
    [
        (3, 9, f"({QUERIES} 3): it probably holds more. Take a smaller window, or a model with more queries."),
        (9, 3, f"({DETECTIONS} 3): it probably holds more. Take a smaller window, or a larger {DETECTIONS}."),
        (3, 3, f"({QUERIES} 3 and {DETECTIONS} 3): it probably holds more. Take a smaller window, or a model with more"),
    ],
)
def test_as_many_objects_as_the_model_can_find_are_warned_of_with_the_cure(scene, tmp_path, caplog, queries, kept, said):
    objects_of(scene, tmp_path / "parts", object_limits={QUERIES: queries, DETECTIONS: kept})
    (warning,) = (record.getMessage() for record in caplog.records if record.levelname == "WARNING")
    assert said in warning and "row 0, column 0" in warning


def test_an_error_in_a_file_is_raised_where_the_windows_are_asked_for(scene, tmp_path):
    (tmp_path / "truth.tif").write_bytes((tmp_path / "truth.tif").read_bytes()[:40_000])
    with pytest.raises(ValueError, match="truth.tif"):
        objects_of(scene, tmp_path / "parts")


NAMES, COLORS = ["water", "trees", "fields"], [(0, 0, 255), (0, 128, 0), (255, 255, 0)]


def label_map_of(scene, folder, path, *, side=256, batch_size=1):
    windows = WindowGrid(*scene.grid.shape, SIZE, OVERLAP)
    blocks = area_blocks(windows, side, scene.grid.shape)
    parts = BlockFolder(folder, {}, resume=False)
    predictor = WindowPredictor(OracleClassifier(3), MODALITIES, instances=False, batch_size=batch_size)
    compute_blocks(predictor, scene, blocks, parts, classes=3)
    write_label_map(path, scene, blocks, parts, NAMES, COLORS)
    return path


@pytest.fixture
def classes(tmp_path, rng):
    labels = np.kron(rng.integers(0, 3, (25, 32)), np.ones((20, 20))).astype(np.float32)
    labels[200:260, 300:390] = -1  # no sensor has data there
    write(tmp_path / "classes.tif", labels, PLACE, nodata=-1)
    return labels, open_scene(MODALITIES, {"truth": [str(tmp_path / "classes.tif")]})


def test_a_label_map_is_the_truth_with_no_data_where_no_sensor_has_any(classes, tmp_path):
    labels, scene = classes
    with rasterio.open(label_map_of(scene, tmp_path / "parts", tmp_path / "out.tif")) as file:
        expected = np.where(labels < 0, 255, labels)
        np.testing.assert_array_equal(file.read(1), expected)
        assert file.crs == UTM and file.transform == PLACE and file.nodata == 255
        assert file.colormap(1)[2] == (255, 255, 0, 255)
        assert file.tags(1)["CLASS_1"] == "trees" and file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["classes.tif", "out.tif", "parts"]


def test_blocks_and_batches_change_no_pixel(classes, tmp_path):
    _, scene = classes
    maps = []
    for name, side, batch in (("a", 256, 1), ("b", 100, 8), ("c", 10_000, 3)):
        with rasterio.open(
            label_map_of(scene, tmp_path / name, tmp_path / f"{name}.tif", side=side, batch_size=batch)
        ) as file:
            maps.append(file.read(1))
    assert (maps[0] == maps[1]).all() and (maps[0] == maps[2]).all()


def test_a_map_that_fails_half_way_leaves_what_was_there(classes, tmp_path):
    _, scene = classes
    path = label_map_of(scene, tmp_path / "parts", tmp_path / "out.tif")
    before = path.read_bytes()
    blocks = area_blocks(WindowGrid(*scene.grid.shape, SIZE, OVERLAP), 256, scene.grid.shape)
    (tmp_path / "parts/block_000002.npz").unlink()
    with pytest.raises(FileNotFoundError):
        write_label_map(path, scene, blocks, BlockFolder(tmp_path / "parts", {}, resume=True), NAMES, COLORS)
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["classes.tif", "out.tif", "parts"]


@pytest.mark.parametrize("windows, taken", [(5, 2), (1, 1), (0, 0)])
def test_most_windows_of_a_block_are_taken_when_the_block_before_is_saved(windows, taken):
    passed, saving = [], []
    saved = SimpleNamespace(result=lambda: saving.append(len(passed)))
    for result in _held_back(range(windows), 2, saved):
        passed.append(result)
    assert saving[0] == taken and passed == list(range(windows))
