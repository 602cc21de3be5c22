"""Mapping a scene, from files to a file, compared with the model alone on the same windows."""

from __future__ import annotations

import itertools
import math
import tempfile
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from detectron2.structures import Instances
from rasterio.crs import CRS
from rasterio.transform import Affine
from torch import Tensor, nn

from imrsf_d2.engine.checkpointer import Checkpointer
from imrsf_d2.engine.scene_mapping import default_workers
from imrsf_d2.geo.grids import Grid
from imrsf_d2.geo.projections import move_bounds
from imrsf_d2.inference.job import SceneJob, Settings
from imrsf_d2.inference.predictor import WindowPredictor
from imrsf_d2.inference.scene import Scene, open_scene
from imrsf_d2.modalities import Modality, ModalitySet
from imrsf_d2.utils.precision import autocast
from projects.benchmarks.results import Line, Result
from projects.benchmarks.scene_files import PITCH_PX, write_houses
from projects.benchmarks.timing import measure_together

__all__ = ["benchmark_scene"]

#: Throughput of the whole, over that of the model alone.
TARGET = 0.90


def benchmark_scene(
    cfg: CfgNode, *, side: int, batch_size: int = 4, num_workers: int | None = None, repeats: int = 3
) -> Result:
    """Map a synthetic scene of houses with a config's model, on its device.

    The model alone gets the same windows in the same batches, on its device already, and its outputs are thrown away. With
    no MODEL.WEIGHTS the model is as it is made, and what it finds is replaced by the houses that are there: noise
    would be objects without end. What takes the place is part of the time of the whole.

    Args:
        cfg: of a task; INPUT.CROP.SIZE is the side of the windows.
        side: of the scene, px.
        batch_size: windows that go through the model together.
        num_workers: processes that read and reduce windows; None takes as many as `imrsf predict`.
        repeats: timed rounds.
    """
    modalities = ModalitySet.from_config(cfg)
    model = build_model(cfg).eval()
    if cfg.MODEL.WEIGHTS:
        Checkpointer(model, require_all=True).load(cfg.MODEL.WEIGHTS)
    instances = bool(cfg.MODEL.MASK_FORMER.TEST.INSTANCE_ON)
    window = max(map(int, cfg.INPUT.CROP.SIZE))
    reference = _numbered(modalities)
    numbers = min(math.ceil(window / PITCH_PX) + 2, 15)  # those of 8 bits
    classes = [str(i) for i in range(cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES)]
    with tempfile.TemporaryDirectory() as folder:
        files = _write_sensors(Path(folder), modalities, reference, side, numbers)
        scene = open_scene(modalities, files, reference=reference.name)
        houses = partial(_Houses, channel=modalities.bands(reference.name).start, numbers=numbers**2)
        nothing = _Nothing(len(classes), model.device)
        in_place = instances and not cfg.MODEL.WEIGHTS
        mapping = partial(
            _Mapping, cfg, scene, Path(folder), classes, window=window, batch_size=batch_size, num_workers=num_workers
        )
        whole = mapping(houses(model) if in_place else model)
        rest = mapping(houses(nothing) if instances else nothing)
        batches = _batches(whole, batch_size, model.device)
        works: dict[str, Callable[[], object]] = {
            "from files to a file": whole,
            "the model alone": partial(_run, model, batches, partial(autocast, cfg)),
            "all but the model": rest,
        }
        synchronize = torch.cuda.synchronize if model.device.type == "cuda" else lambda: None
        timed = measure_together(works, repeats, synchronize=synchronize)
    number = sum(map(len, batches))
    lines = [
        Line(
            "windows per second, over the model alone",
            timed["the model alone"].over(timed["from files to a file"]),
            TARGET,
            ">=",
        ),
        *(Line(name, tuple(number / s for s in timed[name].seconds), unit=" windows/s") for name in works),
        Line("windows computed, over those of the scene", (number / len(whole.job().windows),), unit="x"),
    ]
    if instances:
        lines.append(Line("objects written, for each window", (whole.objects / number,)))
    title = f"Scene of {side} x {side} px to {'objects' if instances else 'a label map'}, windows of {window} px"
    note = (
        f"{number} windows in batches of {batch_size}, processes that read and reduce them: {whole.predictor.num_workers}; sensors {', '.join(modalities.names)}, one of them in another "
        f"coordinate system and resolution; {model.device}, {'bfloat16 or fp16' if cfg.SOLVER.AMP.ENABLED else 'float32'}"
        f"{', houses in place of what an untrained model finds' if in_place else ''}."
    )
    return Result(title, lines, timed, [note])


class _Mapping:
    """A scene to its map, from the start at each call."""

    def __init__(
        self,
        cfg: CfgNode,
        scene: Scene,
        folder: Path,
        classes: list[str],
        model: nn.Module,
        *,
        window: int,
        batch_size: int,
        num_workers: int | None,
    ):
        self.scene, self.classes = scene, classes
        self.instances = bool(cfg.MODEL.MASK_FORMER.TEST.INSTANCE_ON)
        self.output = folder / ("map.gpkg" if self.instances else "map.tif")
        self.settings = Settings(window, -(-window // 4))
        if num_workers is None:
            num_workers = default_workers(cfg.MODEL.DEVICE, sum(len(block.windows) for block in self.job().blocks))
        self.predictor = WindowPredictor(
            model,
            scene.modalities,
            instances=self.instances,
            batch_size=batch_size,
            precision=partial(autocast, cfg),
            num_workers=num_workers,
        )
        self.objects = 0

    def job(self) -> SceneJob:
        scene = Scene(self.scene.modalities, self.scene.grid, self.scene.sensors)  # of which nothing is read yet
        colors = [(i, i, i) for i in range(len(self.classes))]
        return SceneJob(scene, self.output, self.settings, self.classes, colors=colors, instances=self.instances)

    def __call__(self) -> None:
        job = self.job()
        with job.open(), job.following():
            job.compute(self.predictor)
            self.objects = job.write() or 0


class _Houses(nn.Module):
    """A model of which the outputs are replaced by the houses whose numbers a channel holds, without waiting for a GPU."""

    numbers: Tensor

    def __init__(self, model: nn.Module, channel: int, numbers: int):
        super().__init__()
        self.model, self.channel = model, channel
        device = next(model.parameters()).device
        self.register_buffer("numbers", torch.arange(1, numbers + 1, device=device)[:, None, None], persistent=False)

    def forward(self, inputs: list[dict]) -> list[dict]:
        self.model(inputs)
        return [{"instances": self._houses(sample["image"][self.channel])} for sample in inputs]

    def _houses(self, band: Tensor) -> Instances:
        masks = torch.eq(band.round().to(torch.int64)[None], self.numbers)
        return Instances(
            tuple(band.shape),
            pred_masks=masks,
            scores=masks.flatten(1).any(dim=1) * 0.9,
            pred_classes=torch.zeros(len(masks), dtype=torch.long, device=band.device),
        )


class _Nothing(nn.Module):
    """Takes the place of a model, and no time."""

    def __init__(self, classes: int, device: torch.device):
        super().__init__()
        self.classes, self.device = classes, device
        self.anchor = nn.Parameter(torch.zeros(1, device=device))  # tells where the model computes

    def forward(self, inputs: list[dict]) -> list[dict]:
        return [{"sem_seg": sample["image"].new_ones(self.classes, *sample["image"].shape[1:])} for sample in inputs]


def _numbered(modalities: ModalitySet) -> Modality:
    """The sensor whose first band can hold numbers."""
    return next(m for m in modalities if not m.categorical and m.transform != "db" and (m.clip is None or m.clip[1] >= 255))


def _write_sensors(
    folder: Path, modalities: ModalitySet, reference: Modality, side: int, numbers: int
) -> dict[str, list[str]]:
    grid = Grid.north_up(CRS.from_epsg(32633), 499_000.0, 5_800_000.0, 0.5, side, side)
    other = CRS.from_epsg(32632)
    left, bottom, right, top = move_bounds(grid.bounds, grid.crs, other)
    moved = next((modality for modality in modalities if modality is not reference), None)
    files = {}
    for modality in modalities:
        place = grid
        if modality is moved:
            shape = math.ceil((top - bottom) / 0.8), math.ceil((right - left) / 0.8)
            place = Grid(*shape, other, Affine.translation(left, top) * Affine.scale(0.8, -0.8))
        path = folder / f"{modality.name}.tif"
        write_houses(path, place, modality, numbers)
        files[modality.name] = [str(path)]
    return files


def _batches(mapping: _Mapping, size: int, device: torch.device) -> list[list[dict]]:
    windows = (window for block in mapping.job().blocks for window in block.windows)
    read = ((window, mapping.scene.read(window)) for window in windows)
    samples: Iterable[dict] = (
        {"image": torch.from_numpy(image).to(device), "height": window.size, "width": window.size}
        for window, image in read
        if image is not None
    )
    batches = []
    while batch := list(itertools.islice(samples, size)):
        batches.append(batch)
    return batches


@torch.no_grad()
def _run(model: nn.Module, batches: list[list[dict]], precision: Callable[[], AbstractContextManager]) -> None:
    for batch in batches:
        with precision():
            model(batch)
