"""What `imrsf predict` does: a scene's files and a checkpoint to a map."""

from __future__ import annotations

import argparse
import hashlib
import logging
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.modeling import build_model
from rasterio.crs import CRS
from rasterio.errors import CRSError

from imrsf_d2.engine.checkpointer import Checkpointer
from imrsf_d2.engine.configuration import is_pretraining, load_config, setup_run
from imrsf_d2.engine.torchrun import read_place
from imrsf_d2.inference.areas import read_area
from imrsf_d2.inference.job import SceneJob, Settings
from imrsf_d2.inference.mapping import Progress
from imrsf_d2.inference.predictor import WindowPredictor
from imrsf_d2.inference.scene import Scene, find_files, open_scene
from imrsf_d2.modalities import ModalitySet
from imrsf_d2.utils.errors import InputError, MissingFileError
from imrsf_d2.utils.keys import flat_keys
from imrsf_d2.utils.precision import autocast

__all__ = ["class_names", "map_scene"]

logger = logging.getLogger(__name__)

#: Parts of the config that a prediction follows from.
KEYS = ("MODEL",)
#: ... but for where weights lie, which count by their content, and where the model computes.
IGNORED = ("MODEL.WEIGHTS", "MODEL.DEVICE")
#: Seconds between looks for what other processes have finished.
POLL_S = 2.0
#: Windows that are timed for a dry run.
TIMED_WINDOWS = 8


def map_scene(args: argparse.Namespace) -> None:
    """Map a scene as the command line says (see `imrsf_d2.commands.predict`).

    Raises:
        UserError: on whatever a user can mend.
    """
    place = read_place()
    share = args.shard or ((place.rank, place.world_size) if place else (0, 1))
    alone = share == (0, 1)
    output = Path(args.output)
    folder = output.with_name(f"{output.name}.parts")
    device = [] if place is None or place.world_size == 1 or "MODEL.DEVICE" in args.opts else _own_device(place.local_rank)
    cfg = load_config(args.config_file, [*args.opts, *device, "OUTPUT_DIR", str(folder)])
    if is_pretraining(cfg):
        raise InputError(
            f"{args.config_file} is of a pre-training run, whose model predicts nothing; expected a config of a task."
        )
    weights = _weights(cfg)
    scene = _scene(cfg, args)
    settings = _settings(cfg, args)
    names, colors = class_names(cfg)
    instances = bool(cfg.MODEL.MASK_FORMER.TEST.INSTANCE_ON)
    identity = {
        "weights": weights,
        **{key: value for key, value in flat_keys(cfg) if _is_part(key, KEYS) and not _is_part(key, IGNORED)},
    }
    job = SceneJob(scene, output, settings, names, instances=instances, colors=colors, identity=identity)
    if args.dry_run:
        return _dry_run(cfg, args, job)
    if args.merge:
        job.open(resume=True)
        return _finish(job)
    job.open(resume=args.resume or not alone)
    setup_run(cfg, args)
    _describe(job)
    job.compute(
        _predictor(cfg, args, instances), Progress(sum(len(b.windows) for b in job.share(share)), _tell), share=share
    )
    if args.shard:
        logger.info("Part %d of %d is computed; --merge writes the map when all are.", *args.shard)
    elif share[0] == 0:
        while not job.complete():
            time.sleep(POLL_S)  # the other processes' blocks; torchrun ends all if one fails
        _finish(job)


def class_names(cfg: CfgNode) -> tuple[list[str], list[tuple[int, ...]]]:
    """Names and colors of a model's classes: those of its datasets, if there are as many, else numbers.

    Returns:
        names; colors (red, green, blue), 0 to 255, of a label map's classes.
    """
    number = cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES
    key = "thing" if cfg.MODEL.MASK_FORMER.TEST.INSTANCE_ON else "stuff"
    names: list[str] = [f"class {i}" for i in range(number)]
    colors: list[tuple[int, ...]] = []
    for dataset in (*cfg.DATASETS.TEST, *cfg.DATASETS.TRAIN):
        metadata = MetadataCatalog.get(dataset)
        if len(metadata.get(f"{key}_classes", ())) == number:
            names, colors = list(metadata.get(f"{key}_classes")), list(metadata.get(f"{key}_colors", ()))
            break
    if len(colors) != number:
        colors = [tuple((37 * i * step) % 256 for step in (5, 3, 2)) for i in range(1, number + 1)]
    return names, colors


def _weights(cfg: CfgNode) -> str:
    """Stands for the content of the checkpoint."""
    path = cfg.MODEL.WEIGHTS
    if not path:
        raise InputError(
            "MODEL.WEIGHTS is empty, and random weights find nothing: append MODEL.WEIGHTS path/to/model_final.pth."
        )
    if not Path(path).is_file():
        raise MissingFileError(f"no checkpoint {path!r}. It is named by MODEL.WEIGHTS.")
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _scene(cfg: CfgNode, args: argparse.Namespace) -> Scene:
    modalities = ModalitySet.from_config(cfg)
    modalities.check_subset(args.sensors, "--modality")
    crs = _crs(args.crs, "--crs")
    options = {
        "reference": args.reference,
        "crs": crs,
        "resolution": args.resolution,
        "assume_crs": _crs(args.assume_crs, "--assume-crs"),
    }
    files = {name: find_files(pattern) for name, pattern in args.sensors.items()}
    bounds = tuple(args.bounds) if args.bounds else None
    if args.aoi is None:
        return open_scene(modalities, files, bounds=bounds, **options)
    if bounds is not None:
        raise InputError("--bounds and --aoi both say which part of the map is wanted; pass one of them.")
    whole = open_scene(modalities, files, **options)
    area = read_area(args.aoi, whole.grid.crs)
    return open_scene(modalities, files, bounds=area.bounds, area=area, **options)


def _crs(text: str | None, option: str) -> CRS | None:
    if text is None:
        return None
    try:
        return CRS.from_user_input(text)
    except CRSError as error:
        raise InputError(f"{option} is {text!r}, expected a coordinate system such as EPSG:32633.") from error


def _settings(cfg: CfgNode, args: argparse.Namespace) -> Settings:
    window = args.window or (max(map(int, cfg.INPUT.CROP.SIZE)) if cfg.INPUT.CROP.ENABLED else 256)
    overlap = -(-window // 4) if args.overlap is None else args.overlap
    return Settings(window, overlap, args.min_score, args.min_area, args.simplify)


def _predictor(cfg: CfgNode, args: argparse.Namespace, instances: bool) -> WindowPredictor:
    model = build_model(cfg)
    Checkpointer(model, require_all=True).load(cfg.MODEL.WEIGHTS)
    return WindowPredictor(
        model,
        ModalitySet.from_config(cfg),
        instances=instances,
        batch_size=args.batch_size,
        min_score=args.min_score,
        queries=cfg.MODEL.MASK_FORMER.NUM_OBJECT_QUERIES if instances else None,
        precision=partial(autocast, cfg),
    )


def _finish(job: SceneJob) -> None:
    number = job.write()
    logger.info("%s: %s.", job.output, "a label map" if number is None else f"{number} objects")


def _describe(job: SceneJob) -> None:
    grid = job.scene.grid
    logger.info(
        "Map: %d x %d px in %s; %d windows of %d px in %d blocks.",
        grid.width,
        grid.height,
        grid.crs,
        len(job.windows),
        job.settings.window,
        len(job.blocks),
    )
    for name in job.scene.modalities.names:
        files = job.scene.sensors.get(name, ())
        covered = (
            f"{len(files)} file{'s' * (len(files) != 1)}, {job.scene.coverage(name):.0%} of the map" if files else "missing"
        )
        logger.info("  %s: %s", name, covered)


def _dry_run(cfg: CfgNode, args: argparse.Namespace, job: SceneJob) -> None:
    """Say what would be done, and how long it would take by some windows from the middle."""
    _describe(job)
    middle = len(job.windows) // 2
    some = [job.windows[i] for i in range(middle, min(middle + TIMED_WINDOWS, len(job.windows)))]
    predictor = _predictor(cfg, args, job.instances)
    start, done = time.monotonic(), sum(1 for _ in predictor.run(job.scene, some))
    if done:
        seconds = (time.monotonic() - start) / len(some) * len(job.windows)
        logger.info("About %.0f s on %s, by %d windows from the middle.", seconds, cfg.MODEL.DEVICE, len(some))


def _tell(done: int, windows: int, objects: int, seconds: float) -> None:
    import resource

    rest = seconds / done * (windows - done)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    logger.info(
        "%d of %d windows, %d found, %.0f s to go, %.1f GiB of memory at most.", done, windows, objects, rest, memory
    )


def _own_device(local_rank: int) -> list[str]:
    return ["MODEL.DEVICE", f"cuda:{local_rank}"] if torch.cuda.is_available() else []


def _is_part(key: str, parts: Sequence[str]) -> bool:
    return any(key == part or key.startswith(f"{part}.") for part in parts)
