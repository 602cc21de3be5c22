"""What processes read and find is what one process does, to the bit, however they end."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Future, wait

import numpy as np
import pytest
import torch
from rasterio.crs import CRS
from rasterio.transform import from_origin

from imrsf_d2.engine import scene_mapping
from imrsf_d2.geo.gdal import RasterError
from imrsf_d2.geo.projections import move_bounds
from imrsf_d2.inference import scene_reading
from imrsf_d2.inference.mask_bits import pack_masks, pack_on_device
from imrsf_d2.inference.predictor import WindowPredictor
from imrsf_d2.inference.scene import Scene, open_scene
from imrsf_d2.inference.scene_predictor import predict_scene
from imrsf_d2.inference.windows import WindowGrid
from imrsf_d2.inference.workers import SceneWorkers
from imrsf_d2.modalities import Modality, ModalitySet
from tests.inference import command
from tests.inference.oracle_model import OracleDetector
from tests.inference.oracle_scene import draw_scene
from tests.inference.scene_files import LEFT, OTHER_UTM, TOP, UTM, write
from tests.tiny import REPOSITORY

MODALITIES = ModalitySet([Modality("truth", 1), Modality("sar", 2)])
PLACE = from_origin(LEFT, TOP, 0.5, 0.5)
TILE_PX = 64


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A scene, and a sensor in another system that covers a part of it."""
    folder = tmp_path_factory.mktemp("scene")
    write(folder / "truth.tif", draw_scene(3, 300, 420, tries=200).astype(np.float32), PLACE)
    left, _, _, top = move_bounds(
        (LEFT, TOP - 150, LEFT + 210, TOP), CRS.from_user_input(UTM), CRS.from_user_input(OTHER_UTM)
    )
    noise = np.random.default_rng(0).random((2, 130, 110), dtype=np.float32)
    write(folder / "sar.tif", noise, from_origin(left, top, 0.9, 0.9), OTHER_UTM)
    return {name: [str(folder / f"{name}.tif")] for name in MODALITIES.names}


@pytest.fixture(autouse=True)
def few_small_tiles(monkeypatch):
    """Of which so few are kept that rooms are used again, and some are read twice."""
    monkeypatch.setattr(scene_reading, "TILE_PX", TILE_PX)
    monkeypatch.setattr(scene_reading, "CACHE_BYTES", 12 * 4 * MODALITIES.num_channels * TILE_PX**2)


@pytest.fixture
def begun(monkeypatch):
    """Processes are waited for, so that they do all the work."""
    made = []

    def make(*args):
        made.append(SceneWorkers(*args))
        wait(made[-1]._begun)
        return made[-1]

    monkeypatch.setattr("imrsf_d2.inference.predictor.SceneWorkers", make)
    return made


def part_of(files):
    """A part of the map, which is read in the tiles of the whole."""
    return open_scene(MODALITIES, files, reference="truth", bounds=(LEFT + 15, TOP - 140, LEFT + 200, TOP - 8))


def results_of(scene, number):
    """What is found in the windows, in a form that can be compared."""
    windows = WindowGrid(*scene.grid.shape, 100, 25)
    predictor = WindowPredictor(OracleDetector(), MODALITIES, instances=True, batch_size=3, num_workers=number)
    return [
        [
            (d.window, d.number, d.label, d.score, d.top, d.left, d.sensors, d.mask.shape, d.mask.tobytes())
            for d in r.detections
        ]
        for r in predictor.run(scene, windows)
    ]


def test_what_is_found_is_the_same_and_all_work_is_done_by_the_processes(files, begun, monkeypatch):
    alone = results_of(part_of(files), 0)
    assert len({found[6] for window in alone for found in window}) > 1  # with SAR and without
    monkeypatch.setattr(Scene, "read_area", None)
    monkeypatch.setattr("imrsf_d2.inference.predictor.find_detections", None)
    assert results_of(part_of(files), 2) == alone
    assert len(begun) == 1 and not multiprocessing.active_children()


def test_until_a_process_is_there_its_work_is_done_without_it(files, monkeypatch):
    scene, read = part_of(files), Scene.read_area
    expected = [scene.read(window) for window in WindowGrid(*scene.grid.shape, 100, 25)]
    with SceneWorkers(scene, 2) as processes:
        wait(processes._begun)
        begun, processes._begun = processes._begun, [Future(), Future()]
        calls = []
        monkeypatch.setattr(Scene, "read_area", lambda *args: calls.append(1) or read(*args))
        for number, (window, wanted) in enumerate(processes.ahead(WindowGrid(*scene.grid.shape, 100, 25))):
            if number == 9:
                processes._begun, before = begun, len(calls)
            assert wanted
            np.testing.assert_array_equal(scene.read(window, None, processes.tile), expected[number])
        assert len(calls) == before > 0
        assert number == len(expected) - 1


def test_a_damaged_file_is_told_with_the_same_words(files, begun, tmp_path):
    path = tmp_path / "truth.tif"
    path.write_bytes(open(files["truth"][0], "rb").read())
    scene = open_scene(MODALITIES, {"truth": [str(path)]})
    os.truncate(path, 1000)
    said = set()
    for number in (0, 2):
        with pytest.raises(RasterError, match=r"cannot read .*truth\.tif") as error:
            results_of(scene, number)
        said.add(str(error.value))
    assert len(said) == 1 and len(begun) == 1
    assert not multiprocessing.active_children()


def test_a_process_that_is_killed_is_told_of(files):
    scene = part_of(files)
    with SceneWorkers(scene, 1) as processes:
        os.kill(processes._begun[0].result(), signal.SIGKILL)
        with pytest.raises(RuntimeError, match="process that reads the scene has ended"):
            processes.tile((0, 0))


def test_what_is_in_the_memory_of_this_process_is_read_by_it(monkeypatch):
    monkeypatch.setattr("imrsf_d2.inference.predictor.SceneWorkers", None)
    truth = draw_scene(3, 150, 150, tries=50).astype(np.float32)
    found = predict_scene(
        OracleDetector(),
        {"truth": (truth, PLACE, UTM)},
        modalities=MODALITIES,
        classes=["building"],
        window=100,
        min_score=0,
        num_workers=2,
    )
    assert len(list(found)) == len(np.unique(truth)) - 1


@pytest.mark.parametrize("width", [1, 7, 8, 13])
def test_masks_are_packed_on_a_gpu_as_on_a_cpu(width):
    """What a GPU does, done by the CPU."""
    rng = np.random.default_rng(width)
    masks = [torch.from_numpy(rng.random((number, 5, width), dtype=np.float32)) for number in (3, 0, 4)]
    masks.append(masks[0] > 0.3)
    chosen = [np.array(indices, dtype=np.int64) for indices in ([2, 0], [], [1], [0, 1, 2])]
    packed = pack_masks(masks, chosen)
    for some, other in zip(packed, pack_on_device(masks, chosen), strict=True):
        np.testing.assert_array_equal(some, other)
    np.testing.assert_array_equal(np.unpackbits(packed[0], axis=-1, count=width), masks[0][[2, 0]] > 0.5)
    np.testing.assert_array_equal(np.unpackbits(packed[3], axis=-1, count=width), masks[3])


@pytest.mark.parametrize("task", ["instance", "semantic"])
def test_the_command_writes_the_same_map(begun, tmp_path, task):
    command.write_sensors(tmp_path)
    maps = {"instance": "geojson", "semantic": "tif"}
    for number in "01":
        output = tmp_path / number / f"map.{maps[task]}"
        output.parent.mkdir()
        given = *command.sensors_in(tmp_path), "--min-score", "0", "--num-workers", number
        assert command.predict(output, *given, task=task).code == 0
    assert (tmp_path / "0" / output.name).read_bytes() == (tmp_path / "1" / output.name).read_bytes()
    assert len(begun) == 1


@pytest.mark.parametrize(
    "device, cores, windows, expected",
    [("cpu", 16, 1000, 0), ("cuda", 16, 1000, 4), ("cuda", 16, 50, 0), ("cuda:1", 4, 1000, 2), ("cuda", 1, 1000, 0)],
)
def test_processes_are_for_a_gpu_that_many_windows_keep_busy(monkeypatch, device, cores, windows, expected):
    monkeypatch.setattr(scene_mapping, "usable_cores", lambda: cores)
    assert scene_mapping.default_workers(device, windows) == expected
    for name, value in {
        "RANK": 0,
        "WORLD_SIZE": 2,
        "LOCAL_RANK": 0,
        "LOCAL_WORLD_SIZE": 2,
        "MASTER_ADDR": 0,
        "MASTER_PORT": 0,
    }.items():
        monkeypatch.setenv(name, str(value))
    assert scene_mapping.default_workers(device, windows) <= max(0, cores // 2 - 2)


#: A command whose processes have nothing to do; says which they are.
WAITING = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # also where a shell started this in the background
from imrsf_d2.inference.scene import open_scene
from imrsf_d2.inference.workers import SceneWorkers
from imrsf_d2.modalities import Modality, ModalitySet
from imrsf_d2.utils.errors import exit_code

def work():
    scene = open_scene(ModalitySet([Modality("truth", 1)]), {"truth": [sys.argv[1]]})
    with SceneWorkers(scene, 2) as processes:
        print(*(begun.result() for begun in processes._begun), "torch" in sys.modules, flush=True)
        time.sleep(60)

if __name__ == "__main__":
    sys.exit(exit_code(work))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_they_end_with_the_process_that_started_them_without_a_word(files, tmp_path, number):
    (tmp_path / "waiting.py").write_text(WAITING)
    called = [sys.executable, str(tmp_path / "waiting.py"), files["truth"][0]]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen(
        called, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    *children, with_torch = process.stdout.readline().split()
    assert len(children) == 2 and with_torch == "False"  # so that they take little memory
    (os.kill if number == signal.SIGKILL else os.killpg)(process.pid, number)
    _, said = process.communicate(timeout=60)  # the streams end with the last process that holds them
    if number == signal.SIGINT:
        assert said == "interrupted.\n"
    assert "Traceback" not in said  # a kill lets Python say that it cleans up
    deadline = time.monotonic() + 60
    while any(os.path.exists(f"/proc/{child}") for child in children) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(os.path.exists(f"/proc/{child}") for child in children)
