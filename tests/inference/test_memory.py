"""What a map takes of memory does not follow the size of the scene."""

import json
import os
import subprocess
import sys

import pytest
from rasterio.crs import CRS
from rasterio.transform import Affine

from imrsf_d2.geo.grids import Grid
from imrsf_d2.geo.projections import move_bounds
from imrsf_d2.modalities import Modality
from projects.benchmarks.scene_files import write_houses

NUMBERS = 6
#: Maps scenes with a model that knows the houses, each in a process of its own. Says of each how many MiB are held before, how
#: many windows and objects there are, and how many MiB more are held at most.
MAP = """
import json, os, sys
from types import SimpleNamespace
import numpy as np, torch
from imrsf_d2.geo import gdal
from imrsf_d2.inference import scene_reading
from imrsf_d2.inference.job import SceneJob, Settings
from imrsf_d2.inference.predictor import WindowPredictor
from imrsf_d2.inference.scene import open_scene
from imrsf_d2.modalities import Modality, ModalitySet

torch.set_num_threads(1)
kept_mib, *folders = int(sys.argv[1]), *sys.argv[2:]
gdal.DECODED_MIB, scene_reading.CACHE_BYTES = kept_mib, kept_mib << 20
modalities = ModalitySet([Modality("rgb", 3), Modality("sar", 1), Modality("dsm", 1)])

class Houses(torch.nn.Module):
    def forward(self, inputs):
        return [{"instances": self.find(sample["image"][0].numpy())} for sample in inputs]

    def find(self, band):
        numbers = np.unique(band[band > 0])
        return SimpleNamespace(
            pred_masks=torch.from_numpy((band == numbers[:, None, None]).astype(np.float32)),
            scores=torch.full((len(numbers),), 0.9),
            pred_classes=torch.zeros(len(numbers), dtype=torch.long),
        )

def held(key):
    return next(int(line.split()[1]) / 1024 for line in open("/proc/self/status") if line.startswith(key))

def map_scene(folder):
    before = held("VmRSS")
    files = {name: [f"{folder}/{name}.tif"] for name in modalities.names}
    opened = open_scene(modalities, files, reference="rgb")
    job = SceneJob(opened, f"{folder}/map.gpkg", Settings(256, 64), ["house"], instances=True)
    with job.open():
        job.compute(WindowPredictor(Houses(), modalities, instances=True, batch_size=4))
        print(json.dumps([before, len(job.windows), job.write(), held("VmHWM") - before]), flush=True)

if __name__ == "__main__":
    for folder in folders:
        if (child := os.fork()) == 0:
            map_scene(folder)
            os._exit(0)
        if os.waitpid(child, 0)[1]:
            sys.exit(1)
"""
#: What glibc keeps of freed memory differs by tens of MiB from run to run, the more the more threads there are.
ALLOCATOR = {"MALLOC_ARENA_MAX": "1", "MALLOC_TRIM_THRESHOLD_": "65536"}
needs_proc = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc, which only Linux has")


def map_in_new_processes(folder, heights, width, kept_mib):
    """What `MAP` says of scenes, of which so much is kept as GDAL decodes it, and as the model gets it.

    In a process for each scene: one that has mapped another before holds what the allocator keeps of that.
    """
    folders = [str(write_scene(folder / str(height), height, width)) for height in heights]
    command = [sys.executable, "-W", "ignore", "-c", MAP, str(kept_mib), *folders]
    done = subprocess.run(command, env={**os.environ, **ALLOCATOR}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def write_scene(folder, height, width):
    """Three sensors of a scene, one of them in another system and resolution."""
    folder.mkdir()
    grid = Grid.north_up(CRS.from_epsg(32633), 499_000.0, 5_800_000.0, 0.5, height, width)
    other = CRS.from_epsg(32632)
    left, bottom, right, top = move_bounds(grid.bounds, grid.crs, other)
    shape = int((top - bottom) / 0.8) + 1, int((right - left) / 0.8) + 1
    moved = Grid(*shape, other, Affine.translation(left, top) * Affine.scale(0.8, -0.8))
    for name, place, bands in (("rgb", grid, 3), ("sar", moved, 1), ("dsm", grid, 1)):
        write_houses(folder / f"{name}.tif", place, Modality(name, bands), NUMBERS)
    return folder


def check(short, long, *, times, windows, objects, growth):
    """So many times the length adds no more than a share."""
    for before, windows_, objects_, more in (short, long):
        print(f"\n{windows_} windows, {objects_} objects: {before:.0f} MiB before, {before + more:.0f} at the peak")
    assert short[1] > windows and short[2] > objects
    assert long[1] >= 0.95 * times * short[1] and long[2] > 0.95 * times * short[2]
    assert long[0] + long[3] <= (1 + growth) * (short[0] + short[3])


@needs_proc
def test_four_times_the_length_takes_no_more_memory(tmp_path):
    """Of files, little is kept, so that it is full early, as it is on a large scene.

    How far reading is ahead of the model at the worst moment differs by some 30 MiB from run to run; the images of the longer
    scene's further windows alone would be 380.
    """
    short, long = map_in_new_processes(tmp_path, (4096, 16_384), 512, kept_mib=16)
    check(short, long, times=4, windows=60, objects=400, growth=0.15)


@needs_proc
@pytest.mark.long
def test_a_scene_of_20000_px_takes_two_gib_more_than_the_model(tmp_path):
    once, twice = map_in_new_processes(tmp_path, (20_000, 40_000), 20_000, kept_mib=256)
    check(once, twice, times=2, windows=10_000, objects=50_000, growth=0.05)
    assert once[3] <= 2048
