"""Objects that a process of its own writes while blocks are computed are those that are written afterwards."""

import multiprocessing
import os
import random
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from rasterio.transform import from_origin

from imrsf_d2.inference import job as job_module
from imrsf_d2.inference import plan
from imrsf_d2.inference.coarse_outlines import CoarseOutlines
from imrsf_d2.inference.follower import Follower
from imrsf_d2.inference.job import SceneJob
from imrsf_d2.inference.outputs import Extras
from imrsf_d2.inference.plan import ScenePlan, Settings
from imrsf_d2.inference.predictor import WindowPredictor
from imrsf_d2.inference.scene import open_scene
from imrsf_d2.modalities import Modality, ModalitySet
from imrsf_d2.utils.errors import InputError
from tests.inference.disks import full_disk
from tests.inference.oracle_model import OracleDetector
from tests.inference.oracle_scene import draw_scene
from tests.inference.scene_files import LEFT, TOP, write
from tests.tiny import REPOSITORY

MODALITIES = ModalitySet([Modality("truth", 1)])
NAMES, SETTINGS = ["building"], Settings(window=128, overlap=32)
PLACE = from_origin(LEFT, TOP, 0.5, 0.5)


@pytest.fixture(autouse=True)
def small_scenes_are_followed(monkeypatch):
    monkeypatch.setattr(plan, "BLOCK_PX", 200)
    monkeypatch.setattr(job_module, "FOLLOWED_WINDOWS", 4)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    path = tmp_path_factory.mktemp("scene") / "truth.tif"
    write(path, draw_scene(3, 500, 640, halls=1, tries=300).astype(np.float32), PLACE)
    return open_scene(MODALITIES, {"truth": [str(path)]})


class Picture:
    def __init__(self):
        self.outlines = CoarseOutlines(PLACE, NAMES)

    def save(self, path, output):
        with open(path, "wb") as file:
            file.write(b"picture")


def job_of(scene, output, resume=False):
    job = SceneJob(scene, output, SETTINGS, NAMES, instances=True, extras=Extras(picture=True))
    job.open(resume=resume)
    return job


def predictor(model=None):
    return WindowPredictor(model or OracleDetector(), MODALITIES, instances=True)


def files_in(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def expected(scene, tmp_path):
    """The files of a run in one process, and what its picture was shown."""

    def run(name):
        (tmp_path / "alone").mkdir()
        job, picture = job_of(scene, tmp_path / "alone" / name), Picture()
        job.compute(predictor())
        number = job.write(picture)
        return number, files_in(tmp_path / "alone"), picture.outlines.objects

    return run


@pytest.mark.parametrize("name", ["map.gpkg", "map.fgb", "map.geojson", "map.parquet"])
def test_the_files_are_the_same_to_the_last_byte(scene, expected, tmp_path, monkeypatch, name):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    monkeypatch.setenv("OGR_CURRENT_DATE", "2026-01-01T00:00:00Z")  # which a GeoPackage tells
    number, files, shown = expected(name)
    (tmp_path / "followed").mkdir()
    job, picture = job_of(scene, tmp_path / "followed" / name), Picture()
    with job.following(picture):
        assert len(multiprocessing.active_children()) == 1
        parts = len(job.blocks)
        order = random.Random(0).sample(range(parts), parts)
        for part in order:  # as if other processes came first
            job.compute(predictor(), share=(part, parts))
        assert job.complete() and job.write(picture) == number > 50
    assert files_in(tmp_path / "followed") == files
    assert [len(rings) for rings in shown["building"]] == [len(rings) for rings in picture.outlines.objects["building"]]
    for rings, others in zip(shown["building"], picture.outlines.objects["building"]):
        for ring, other in zip(rings, others):
            np.testing.assert_array_equal(ring, other)
    assert not multiprocessing.active_children()


def test_few_windows_are_not_worth_a_process(scene, tmp_path, monkeypatch):
    monkeypatch.setattr(job_module, "FOLLOWED_WINDOWS", 36)
    job = job_of(scene, tmp_path / "map.gpkg")  # of 35 windows
    with job.following():
        assert not multiprocessing.active_children()
        job.compute(predictor())
        assert job.write()


def test_a_full_disk_is_told_with_its_own_words_and_the_map_that_was_there_stays(scene, tmp_path):
    (tmp_path / "map.gpkg").write_text("old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    job = job_of(scene, tmp_path / "map.gpkg")
    said = r"cannot write .*map\.gpkg: .* MiB left"
    with pytest.raises(InputError, match=said) as error, full_disk(2000), job.following():
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)  # only the process that writes meets the limit
        job.compute(predictor())
        job.write()
    assert not hasattr(error.value, "__notes__")
    assert (tmp_path / "map.gpkg").read_text() == "old"
    assert {path.name for path in job.folder.iterdir()} == {
        "job.json",
        "lock",
        *(f"block_{b.index:06d}.npz" for b in job.blocks),
    }
    with job.following():
        job.write(None)
    assert [path.name for path in tmp_path.iterdir()] == ["map.gpkg"] and (tmp_path / "map.gpkg").stat().st_size > 10_000


def test_an_error_ends_the_computing_at_the_next_block(scene, tmp_path):
    job = job_of(scene, tmp_path / "map.gpkg")
    job._folder.file(job.blocks[0]).write_bytes(b"not a block")

    class Waiting(OracleDetector):
        def forward(self, inputs):
            assert job._follower._outcome.poll(60)  # until the other process has failed
            return super().forward(inputs)

    model = Waiting()
    with pytest.raises(Exception, match="pickle") as error, job.following():
        job.compute(predictor(model))
    assert "load_detections" in error.value.__notes__[0]  # where it was
    assert 0 < len(model.calls) < len(job.windows) / 2
    assert not job._folder.objects.exists() and not multiprocessing.active_children()


def test_a_process_that_is_killed_is_told_of(scene, tmp_path):
    with Follower(
        ScenePlan(scene, SETTINGS, NAMES, instances=True), [tmp_path / "never"], tmp_path / "own/map.gpkg"
    ) as follower:
        follower.check()
        follower._process.kill()
        with pytest.raises(RuntimeError, match="exit code -9"):
            follower.finish()


#: A command that waits for blocks that never come, and says which process follows.
WAITING = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # also where a shell started this in the background
from imrsf_d2.inference.follower import Follower
from imrsf_d2.inference.plan import ScenePlan, Settings
from imrsf_d2.inference.scene import open_scene
from imrsf_d2.modalities import Modality, ModalitySet
from imrsf_d2.utils.errors import exit_code
from pathlib import Path

def work():
    scene = open_scene(ModalitySet([Modality("truth", 1)]), {"truth": [sys.argv[1]]})
    folder = Path(sys.argv[2])
    plan = ScenePlan(scene, Settings(128), ["building"], instances=True)
    with Follower(plan, [folder / "never"], folder / "own/map.gpkg") as follower:
        print(follower._process.pid, "torch" in sys.modules, flush=True)
        time.sleep(float(sys.argv[3]))
        follower.check()
        print("ready", flush=True)
        time.sleep(60)

sys.exit(exit_code(work))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("after_s", [0, 2], ids=["while it begins", "while it waits"])
def test_it_ends_with_the_process_that_started_it_without_a_word(scene, tmp_path, number, after_s):
    """All processes of a terminal get Ctrl-C, and a scheduler's SIGTERM; SIGKILL goes to one."""
    called = [sys.executable, "-c", WAITING, scene.sensors["truth"][0].path, str(tmp_path), str(after_s)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen(
        called, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    child, with_torch = process.stdout.readline().split()
    assert with_torch == "False"  # so that it begins in no time and takes little memory
    assert process.stdout.readline() == "ready\n"
    if number == signal.SIGINT:
        os.kill(int(child), number)  # which may hear of it long before the other
        time.sleep(0.5)
    (os.kill if number == signal.SIGKILL else os.killpg)(process.pid, number)
    _, said = process.communicate(timeout=60)  # the streams end with the last process that holds them
    assert said.splitlines() == (["interrupted."] if number == signal.SIGINT else [])
    deadline = time.monotonic() + 60
    while os.path.exists(f"/proc/{child}") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not os.path.exists(f"/proc/{child}")
