"""Throughput of the training input, in tiles per second, and the time spent in each stage."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from unittest import mock

import numpy as np
import rasterio
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog
from rasterio.windows import Window

from imrsf_d2.data.geometry import Geometry
from imrsf_d2.data.loaders import build_train_loader
from imrsf_d2.data.mappers import SampleMapper, build_mapper
from imrsf_d2.data.reading import assemble
from imrsf_d2.evaluation.tables import markdown_table
from imrsf_d2.geo.rasters import read_raster
from projects.benchmarks.timing import Measurement, measure

__all__ = ["benchmark_loader"]


def benchmark_loader(cfg: CfgNode, workers: Sequence[int] = (1, 2), repeats: int = 5) -> str:
    """Measure the training input of a config.

    Args:
        cfg: its DATASETS.TRAIN is read once before anything is timed, so the files are in the operating system's cache for
            all measurements.
        workers: numbers of loader processes to try.
        repeats: repetitions of each measurement.

    Returns:
        Markdown: throughput of whole tiles and of training samples, and the time of each stage for a whole tile.
    """
    samples = [sample for name in cfg.DATASETS.TRAIN for sample in DatasetCatalog.get(name)]
    whole = cfg.clone()
    whole.defrost()
    whole.INPUT.MODALITY_DROPOUT.ENABLED = False
    whole.INPUT.CROP.ENABLED = False
    kinds = {"whole tile, all sensors": whole, "as in training": cfg}
    rows = []
    for kind, config in kinds.items():
        mapper = build_mapper(config, is_train=True)
        timings = {"0, in this process": measure(partial(_map_all, mapper, samples), repeats)}
        for number in workers:
            timings[str(number)] = _time_loader(config, number, len(samples), repeats)
        rows += [[kind, number, timed.rate(len(samples)), timed.in_ms(len(samples))] for number, timed in timings.items()]
    decoder = _time_decoder(build_mapper(cfg, is_train=True), samples, repeats)
    rows.append(
        ["as in training, decoder alone", "0, in this process", decoder.rate(len(samples)), decoder.in_ms(len(samples))]
    )
    stages = _time_stages(build_mapper(whole, is_train=True), samples, repeats)
    total = sum(timed.median for timed in stages.values())
    shares = [[stage, timed.in_ms(len(samples)), f"{timed.median / total:.0%}"] for stage, timed in stages.items()]
    size = f"{samples[0]['width']} x {samples[0]['height']} px"
    return "\n\n".join(
        [
            f"{len(samples)} tiles of {size}; median (fastest to slowest) of {repeats} passes over all of them.",
            markdown_table(["sample", "workers", "tiles per second", "ms per tile"], rows, centered=2),
            "Decoder alone: rasterio opens the files that a training sample needs and decodes its windows, and nothing else "
            "is done.",
            "Time spent in each stage for a whole tile with all sensors, without loader processes:",
            markdown_table(["stage", "ms per tile", "share"], shares, centered=1),
        ]
    )


def _map_all(mapper: SampleMapper, samples: Sequence[Mapping]) -> None:
    for draw, sample in enumerate(samples):
        mapper({**sample, "draw": draw})


def _time_loader(cfg: CfgNode, workers: int, number: int, repeats: int) -> Measurement:
    """Time `number` samples from the loader; its start and the batches queued meanwhile are not included."""
    cfg = cfg.clone()
    cfg.defrost()
    cfg.DATALOADER.NUM_WORKERS = workers
    cfg.SOLVER.IMS_PER_BATCH = 1
    batches = iter(build_train_loader(cfg))
    for _ in itertools.islice(batches, 2 * workers + 1):
        pass
    return measure(lambda: [None for _ in itertools.islice(batches, number)], repeats)


def _time_decoder(mapper: SampleMapper, samples: Sequence[Mapping], repeats: int) -> Measurement:
    """Time that GDAL alone takes for the windows that training samples read: no loader can be faster."""
    wanted = []

    def note(path, modality, **options):
        wanted.append((path, Window.from_slices(*options["window"]) if options.get("window") else None))
        return read_raster(path, modality, **options)

    with mock.patch("imrsf_d2.data.reading.read_raster", note):
        _map_all(mapper, samples)

    def decode() -> None:
        for path, window in wanted:
            with rasterio.open(path) as file:
                file.read(window=window)

    with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="TRUE"):  # as read_raster does
        return measure(decode, repeats)


def _time_stages(mapper: SampleMapper, samples: Sequence[Mapping], repeats: int) -> dict[str, Measurement]:
    """Time each stage of loading on all samples."""

    def read(name: str) -> list:
        return [read_raster(paths[name], mapper.modalities[name]) for paths in files if name in paths]

    files = [mapper.reader.paths(sample) for sample in samples]
    rasters = [mapper.reader.read(sample, list(paths)) for sample, paths in zip(samples, files)]
    geometries = [Geometry(0, 0, sample["height"], sample["width"], turns=1) for sample in samples]
    rng = np.random.default_rng(0)
    augmented = [mapper.augment(*pair, rng) for pair in zip(rasters, geometries)]
    stages: dict[str, Callable[[], object]] = {f"read {name}": partial(read, name) for name in mapper.modalities.names}
    stages["augment"] = lambda: [mapper.augment(*pair, rng) for pair in zip(rasters, geometries)]
    stages["assemble"] = lambda: [
        assemble(mapper.modalities, turned, geometry.output_size) for turned, geometry in zip(augmented, geometries)
    ]
    stages["targets"] = lambda: [mapper.targets(*pair) for pair in zip(samples, geometries)]
    return {stage: measure(work, repeats) for stage, work in stages.items()}
