"""However the command is run, interrupted or shared out, the map is the same."""

import errno
import functools
import os
import random
import re
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
from detectron2.modeling import build_model

from imrsf_d2.engine import scene_mapping
from imrsf_d2.engine.configuration import load_config
from imrsf_d2.inference import scene_reading
from imrsf_d2.inference.detection_files import load_detections
from imrsf_d2.inference.predictor import WindowPredictor
from imrsf_d2.inference.scene import Scene, open_scene
from imrsf_d2.inference.windows import WindowGrid
from imrsf_d2.modalities import ModalitySet
from tests.inference.command import (
    HEIGHT,
    SENSORS,
    WIDTH,
    left_in,
    predict,
    sensors_in,
    set_block_side,
    words,
    write_sensors,
)
from tests.tiny import DEMO_CONFIG, REPOSITORY

TASKS = {"instance": "map.geojson", "semantic": "map.tif"}


@pytest.fixture
def scene(tmp_path, monkeypatch):
    set_block_side(100, monkeypatch.setattr)
    write_sensors(tmp_path)
    return [*sensors_in(tmp_path), "--min-score", "0"]


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """Task -> the map of a run that nothing happens to."""
    folder = tmp_path_factory.mktemp("expected")
    arguments = [*write_sensors(folder), "--min-score", "0"]

    @functools.cache
    def run(task):
        (folder / task).mkdir()
        assert predict(folder / task / TASKS[task], *arguments, task=task).code == 0
        assert left_in(folder / task) == with_log(TASKS[task])
        return content(folder / task / TASKS[task])

    return run


def with_log(name):
    return [name, f"{name}.log.txt"]


def content(path):
    if path.suffix == ".geojson":
        return path.read_bytes()
    with rasterio.open(path) as file:
        return file.read().tobytes()


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("parts, batch", [(2, "1"), (3, "8")])
def test_parts_in_any_order_and_batches_of_any_size_give_the_same_map(scene, expected, tmp_path, task, parts, batch):
    whole, output = expected(task), tmp_path / TASKS[task]
    order = list(range(parts))
    random.Random(parts).shuffle(order)
    for part in order:
        done = predict(output, *scene, "--batch-size", batch, "--shard", f"{part}/{parts}", task=task)
        assert done.code == 0, done.warned
    assert predict(output, *scene, "--merge", task=task).code == 0
    assert content(output) == whole
    assert left_in(tmp_path) == with_log(output.name)


def test_a_model_of_the_size_of_the_demos_gives_the_same_numbers_in_batches_of_any_size(scene, tmp_path):
    cfg = load_config(DEMO_CONFIG, ["MODEL.DEVICE", "cpu"])
    model, modalities = build_model(cfg), ModalitySet.from_config(cfg)
    opened = open_scene(modalities, {name: [str(tmp_path / f"{name}.tif")] for name in SENSORS})
    windows = list(WindowGrid(*opened.grid.shape, 128, 32))[:8]  # with SAR, with a part of it, and without

    def numbers(batch):
        predictor = WindowPredictor(model, modalities, instances=True, batch_size=batch, min_score=0.0)
        found = [one for result in predictor.run(opened, windows) for one in result.detections]
        return [(one.window, one.score, one.top, one.left, one.mask.tobytes()) for one in found]

    alone = numbers(1)
    assert len({window for window, *_ in alone}) == 8
    assert numbers(8) == alone


@pytest.mark.parametrize("processes", [2, 3])
def test_the_first_of_several_processes_waits_for_the_others_and_writes_the_same_map(
    scene, expected, tmp_path, monkeypatch, processes
):
    """As torchrun starts them, here one after the other; a test below has processes."""
    output, begun = tmp_path / "map.geojson", iter(range(1, processes))

    def run(rank):
        place = {"RANK": rank, "WORLD_SIZE": processes, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": processes}
        with monkeypatch.context() as patch:
            for name, value in {**place, "MASTER_ADDR": "localhost", "MASTER_PORT": 0}.items():
                patch.setenv(name, str(value))
            done = predict(output, *scene)
        assert done.code == 0, done.warned

    def meanwhile(_):
        assert not output.exists()
        run(next(begun))

    monkeypatch.setattr(scene_mapping, "time", SimpleNamespace(sleep=meanwhile, monotonic=time.monotonic))
    run(0)
    assert not list(begun) and content(output) == expected("instance") and left_in(tmp_path) == with_log("map.geojson")


@pytest.mark.long
@pytest.mark.parametrize("processes", [2, 3])
def test_torchrun_gives_the_same_map(tmp_path, processes):
    arguments = [*write_sensors(tmp_path), "--min-score", "0", "--window", "64", "--overlap", "48"]
    (tmp_path / "alone").mkdir()
    assert predict(tmp_path / "alone/map.geojson", *arguments).code == 0
    called = [sys.executable, "-m", "torch.distributed.run", f"--nproc_per_node={processes}", "--master_port=0"]
    called += ["-m", "tests.inference.torchrun_predict", *words(tmp_path / "map.geojson", *arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(called, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    assert content(tmp_path / "map.geojson") == content(tmp_path / "alone/map.geojson")
    assert left_in(tmp_path) == ["alone", *with_log("map.geojson")]


def test_where_a_sensor_has_nothing_the_map_is_that_of_a_run_without_it(scene, tmp_path):
    """SAR covers the left half, to column 160."""

    def windows_of(name, *sensors):
        done = predict(tmp_path / name, *sensors_in(tmp_path, sensors), "--min-score", "0", "--shard", "0/1")
        assert done.code == 0, done.warned
        files = (tmp_path / f"{name}.parts").glob("block_*.npz")
        return {index: found for file in files for index, found in load_detections(file).items()}

    half, without = windows_of("half.gpkg", "rgb", "sar", "dsm"), windows_of("without.gpkg", "rgb", "dsm")
    grid = WindowGrid(HEIGHT, WIDTH, 64, 16)

    def numbers(found):
        return [(one.score, one.label, one.top, one.left, one.mask.tobytes(), one.sensors) for one in found]

    equal = {index for index in without if numbers(half[index]) == numbers(without[index])}
    beyond = {window.index for window in grid if window.left >= WIDTH // 2}
    assert half.keys() == without.keys() and beyond and beyond <= equal
    assert any(window.index not in equal for window in grid if window.right <= WIDTH // 2)  # SAR is listened to


def test_ctrl_c_says_how_to_go_on_and_resume_does(scene, expected, tmp_path, monkeypatch):
    whole, output = expected("instance"), tmp_path / "map.geojson"
    real, calls = WindowPredictor._compute, []

    def interrupted(self, *args):
        calls.append(1)
        if len(calls) == 6:
            os.kill(os.getpid(), signal.SIGINT)
        return real(self, *args)

    monkeypatch.setattr(WindowPredictor, "_compute", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # also where a shell started this in the background
    try:
        done = predict(output, *scene)
    finally:
        signal.signal(signal.SIGINT, before)
    assert done.code == 130 and "the same command with --resume goes on from here" in done.warned.splitlines()[-1]
    assert left_in(tmp_path) == ["map.geojson.parts"]
    again = predict(output, *scene)
    assert again.code == 2 and "Pass --resume to continue it" in again.warned
    before = len(calls)
    assert predict(output, *scene, "--resume").code == 0 and content(output) == whole
    assert 0 < len(calls) - before < before + 4


@pytest.mark.parametrize(
    "change, said",
    [
        (("--window", "80"), "window was 64, now 80"),
        (("--min-score", "0.1"), "min_score was 0.0, now 0.1"),
        (("--bounds", "500000", "5799900", "500150", "5800000"), "size of the map was 320 x 240 px, now 300 x 200 px"),
        ((), r"sar file 1 \(.*sar.tif\) was .* bytes of .*, now .* bytes of"),
    ],
)
def test_what_was_computed_from_something_else_is_not_gone_on_with(scene, tmp_path, change, said):
    output = tmp_path / "map.geojson"
    assert predict(output, *scene, "--shard", "0/2").code == 0
    if not change:
        (tmp_path / "sar.tif").touch()
    done = predict(output, *scene, *change, "--resume")
    assert done.code == 2
    assert re.search(said, done.warned), done.warned


def test_nor_is_a_config_by_which_the_model_finds_something_else(scene, tmp_path):
    output = tmp_path / "map.geojson"
    assert predict(output, *scene, "--shard", "0/2").code == 0
    for opts, said in (
        (("TEST.DETECTIONS_PER_IMAGE", 3), "TEST.DETECTIONS_PER_IMAGE was 5, now 3"),
        (("SOLVER.AMP.ENABLED", True), "SOLVER.AMP.ENABLED was False, now True"),
    ):
        done = predict(output, *scene, "--resume", opts=opts)
        assert done.code == 2 and said in done.warned


def test_a_file_that_is_damaged_on_the_way_costs_only_what_was_not_finished(scene, expected, tmp_path, monkeypatch):
    whole, output = expected("instance"), tmp_path / "map.geojson"
    real, calls = Scene.read, []
    content_before, kept = (tmp_path / "rgb.tif").read_bytes(), (tmp_path / "rgb.tif").stat()
    monkeypatch.setattr(scene_reading, "CACHE_BYTES", 1)  # else this scene is read at once
    monkeypatch.setattr(scene_reading, "TILE_PX", 64)

    def damage(self, *args):
        calls.append(1)
        if len(calls) == 6:
            os.truncate(tmp_path / "rgb.tif", 1000)
        return real(self, *args)

    monkeypatch.setattr(Scene, "read", damage)
    output.write_text("an older map")
    done = predict(output, *scene)
    assert done.code == 2 and "cannot read" in done.warned and "rgb.tif" in done.warned
    assert output.read_text() == "an older map"
    (tmp_path / "rgb.tif").write_bytes(content_before)
    os.utime(tmp_path / "rgb.tif", ns=(kept.st_atime_ns, kept.st_mtime_ns))
    assert predict(output, *scene, "--resume").code == 0 and content(output) == whole


@pytest.mark.slow
@pytest.mark.parametrize(
    "moments",
    [[9, 15, 6], pytest.param([9, 12, 7, 14, 10, 8, 13, 11, 15, 6], marks=pytest.mark.long)],
    ids=["three moments", "ten moments"],
)
def test_killed_and_resumed_the_map_is_the_same(scene, expected, tmp_path, moments):
    whole, output = expected("instance"), tmp_path / "map.geojson"
    arguments = (*scene, "--batch-size", "1", "--resume")
    called = [sys.executable, "-m", "tests.inference.killed_runs", tmp_path, *moments, "--", *words(output, *arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(list(map(str, called)), env=environment, capture_output=True, text=True, timeout=600)
    codes = [int(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("exit ")]
    assert codes[-1] == 0 and -signal.SIGKILL in codes, done.stdout[-1000:] + done.stderr[-2000:]
    assert content(output) == whole
    computed = np.loadtxt(tmp_path / "windows.txt", dtype=int)
    per_run = [set(computed[computed[:, 0] == number, 1]) for number in range(len(codes))]
    # Those of a block of four that was not finished, one of the next, and seven on their way from the model to a file.
    again = [len(first & second) for first, second in zip(per_run, per_run[1:])]
    print(f"\nwindows computed again after each kill: {again}")
    assert max(again) <= 4 + 1 + 7


def test_a_full_disk_half_way_leaves_the_older_map_and_can_be_gone_on_from(scene, expected, tmp_path, monkeypatch):
    whole, output = expected("instance"), tmp_path / "map.geojson"
    output.write_text("an older map")
    real, calls = np.savez_compressed, []

    def fill(file, **arrays):
        calls.append(1)
        if len(calls) == 3:
            file.write(b"half of it")
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(file, **arrays)

    monkeypatch.setattr(np, "savez_compressed", fill)
    done = predict(output, *scene)
    assert done.code == 2 and "No space left on device" in done.warned.splitlines()[-1]
    assert output.read_text() == "an older map" and not list(tmp_path.rglob("*.tmp"))
    assert predict(output, *scene, "--resume").code == 0 and content(output) == whole
    assert left_in(tmp_path) == with_log("map.geojson")
