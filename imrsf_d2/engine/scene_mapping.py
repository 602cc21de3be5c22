"""What `imrsf predict` does: a scene's files and a checkpoint to a map."""

from __future__ import annotations

import argparse
import contextlib
import logging
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import torch
from detectron2.config import CfgNode

from imrsf_d2.data.heads import finds_instances
from imrsf_d2.engine.configuration import load_config, setup_run
from imrsf_d2.engine.scene_page import ScenePage, check_page
from imrsf_d2.engine.scene_picture import ScenePicture
from imrsf_d2.engine.scene_predictor import (
    build_scene_predictor,
    check_mappable,
    check_weights,
    class_names,
    training_window,
)
from imrsf_d2.engine.torchrun import is_first_process, read_place
from imrsf_d2.inference.job import FOLLOWED_WINDOWS, SceneJob
from imrsf_d2.inference.mapping import Progress
from imrsf_d2.inference.opening import open_sensors
from imrsf_d2.inference.outputs import Extras
from imrsf_d2.inference.plan import Settings
from imrsf_d2.inference.predictor import WindowPredictor
from imrsf_d2.inference.scene import Scene
from imrsf_d2.inference.scene_checks import check_scene_values
from imrsf_d2.inference.sensors import NamedRasters
from imrsf_d2.modalities import ModalitySet, computed_part
from imrsf_d2.modeling.gather import check_weighing
from imrsf_d2.utils.console import show_progress
from imrsf_d2.utils.errors import InputError, OccupiedError, UserError, counted
from imrsf_d2.utils.file_state import file_digest
from imrsf_d2.utils.keys import flat_keys, is_part
from imrsf_d2.utils.memory import peak_memory
from imrsf_d2.utils.parallel import usable_cores

__all__ = ["default_workers", "map_scene"]

logger = logging.getLogger(__name__)

#: Parts of the config that a prediction follows from: the model, how many objects it may find in a window, and in which precision
#: it computes.
KEYS = ("MODEL", "TEST.DETECTIONS_PER_IMAGE", "SOLVER.AMP")
#: ... but for where weights lie, which count by their content, and where the model computes.
IGNORED = ("MODEL.WEIGHTS", "MODEL.DEVICE")
#: Seconds between looks for what other processes have finished.
POLL_S = 2.0
#: Processes that read and reduce windows, at most, if nobody says: two do for a model of 250 windows of 256 px a second.
MOST_WORKERS = 4
#: That of the model, and the one that writes objects.
OTHER_PROCESSES = 2
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
    if not output.name:
        raise InputError(f"--output is {args.output!r}, expected the name of a file, such as buildings.gpkg.")
    folder = output.with_name(f"{output.name}.parts")
    device = [] if place is None or place.world_size == 1 or "MODEL.DEVICE" in args.opts else _own_device(place.local_rank)
    cfg = load_config(args.config_file, [*args.opts, *device, "OUTPUT_DIR", str(folder)], need_data=False)
    check_mappable(cfg)
    check_weights(cfg, args.config_file)
    settings = _settings(cfg, args)
    classes = class_names(cfg)
    instances = finds_instances(cfg)
    scene = _scene(cfg, args, settings.windows if instances else None)
    identity = {
        "weights": file_digest(cfg.MODEL.WEIGHTS),
        **{key: value for key, value in flat_keys(cfg) if is_part(key, KEYS) and not is_part(key, IGNORED)},
        "MODEL.IMRSF.MODALITIES": computed_part(cfg.MODEL.IMRSF.MODALITIES),
    }
    if args.importance:
        check_weighing(cfg.MODEL.IMRSF.GATHER)
    if args.html:
        check_page(output)
    extras = Extras(args.probabilities, args.importance, args.png, args.html)
    job = SceneJob(
        scene,
        output,
        settings,
        classes.names,
        instances=instances,
        colors=classes.colors,
        identity=identity,
        extras=extras,
        patch_px=cfg.MODEL.IMRSF.PATCH_SIZE,
        inputs=[args.aoi] if args.aoi else [],
    )
    if args.dry_run:
        return _dry_run(cfg, args, job)
    if args.merge:
        with job.open(resume=True):
            show_progress()
            return _finish(job, _picture(job))
    if is_first_process():
        check_scene_values(scene)
    with _kept(job), job.open(resume=args.resume or not alone, shared=not alone):
        setup_run(cfg, args)
        _describe(job)
        if args.shard:
            return _compute_part(cfg, args, job)
        if share[0] > 0:
            return _compute(cfg, args, job, share)
        picture = _picture(job)
        with job.following(picture):  # begins while the model is loaded
            _compute(cfg, args, job, share)
            while not job.complete():
                time.sleep(POLL_S)  # the other processes' blocks; torchrun ends all if one fails
            _finish(job, picture)


@contextlib.contextmanager
def _kept(job: SceneJob) -> Iterator[None]:
    """If the block fails, say where what was computed is kept."""
    try:
        yield
    except OccupiedError:
        raise  # it is not ours
    except (UserError, OSError):
        if job.folder.is_dir():
            logger.warning("What is computed is kept in %s; the same command with --resume goes on from there.", job.folder)
        raise


def _scene(cfg: CfgNode, args: argparse.Namespace, windows: tuple[int, int] | None) -> Scene:
    modalities = ModalitySet.from_config(cfg)
    return open_sensors(
        modalities,
        NamedRasters(modalities, args.sensors),  # files alone, so that nothing in memory must be kept
        reference=args.reference,
        crs=args.crs,
        resolution=args.resolution,
        bounds=tuple(args.bounds) if args.bounds else None,
        area=args.aoi,
        windows=windows,
        assume_crs=args.assume_crs,
    )


def _settings(cfg: CfgNode, args: argparse.Namespace) -> Settings:
    window = training_window(cfg) if args.window is None else args.window
    return Settings(window, args.overlap, args.min_score, args.min_area, args.simplify)


def _predictor(cfg: CfgNode, args: argparse.Namespace, job: SceneJob, num_workers: int) -> WindowPredictor:
    predictor = build_scene_predictor(cfg, batch_size=args.batch_size, num_workers=num_workers, **asdict(job.settings))
    return predictor.windows(instances=job.instances, importance=args.importance)


def _compute(cfg: CfgNode, args: argparse.Namespace, job: SceneJob, share: tuple[int, int]) -> None:
    windows = sum(len(block.windows) for block in job.share(share))
    num_workers = default_workers(cfg.MODEL.DEVICE, windows) if args.num_workers is None else args.num_workers
    predictor = _predictor(cfg, args, job, num_workers)
    job.compute(predictor, Progress(windows, _tell), share=share)
    if predictor.full_windows > 1:
        logger.warning("%d windows had as many objects as the model can find.", predictor.full_windows)


def _compute_part(cfg: CfgNode, args: argparse.Namespace, job: SceneJob) -> None:
    index, count = args.shard
    if not job.share(args.shard):
        return logger.info(
            "Part %d of %d is empty: the map has only %s. There is nothing to compute.",
            index,
            count,
            counted(len(job.blocks), "block"),
        )
    _compute(cfg, args, job, args.shard)
    logger.info("Part %d of %d is computed; --merge writes the map when all are.", index, count)


def default_workers(device: str, windows: int) -> int:
    """How many processes read and reduce windows, if nobody says: a model on a CPU is slower than reading, and needs the cores."""
    if not device.startswith("cuda") or windows < FOLLOWED_WINDOWS:
        return 0
    place = read_place()
    cores = usable_cores() // (place.local_world_size if place else 1)
    return max(0, min(MOST_WORKERS, cores - OTHER_PROCESSES))


def _picture(job: SceneJob) -> ScenePicture | None:
    if not job.extras.picture:
        return None
    return ScenePicture(job.scene, job.output.name, job.classes, () if job.instances else job.colors)


def _page(job: SceneJob) -> ScenePage | None:
    if not job.extras.page:
        return None
    return ScenePage(job.scene, job.output.name, job.classes, () if job.instances else job.colors)


def _finish(job: SceneJob, picture: ScenePicture | None) -> None:
    number = job.write(picture, _page(job))
    logger.info("%s: %s.", job.output, "a label map" if number is None else counted(number, "object"))
    for path in job.outputs()[1:]:
        logger.info("%s", path)
    if job.log.is_file():
        logger.info("%s: how it was made, with the config, the model and all versions.", job.log)


def _describe(job: SceneJob) -> None:
    grid = job.scene.grid
    logger.info(
        "Map: %d x %d px in %s; %s of %d px in %s.",
        grid.width,
        grid.height,
        grid.crs,
        counted(len(job.windows), "window"),
        job.settings.window,
        counted(len(job.blocks), "block"),
    )
    for name in job.scene.modalities.names:
        number = len(job.scene.sensors.get(name, ()))
        logger.info("  %s: %s", name, counted(number, "file") if number else "missing")
    shares = [f"{'+'.join(names) or 'none'} {share:.0%}" for names, share in job.scene.coverages().items() if share >= 0.005]
    logger.info("Sensors by share of the map, as far as their files reach: %s.", ", ".join(shares))


def _dry_run(cfg: CfgNode, args: argparse.Namespace, job: SceneJob) -> None:
    """Say what would be done, and how long it would take by some windows from the middle."""
    show_progress()
    _describe(job)
    check_scene_values(job.scene)
    for path in job.outputs():
        logger.info("Would write %s%s", path, ", in place of the one there." if path.exists() else ".")
    middle = len(job.windows) // 2
    some = [job.windows[i] for i in range(middle, min(middle + TIMED_WINDOWS, len(job.windows)))]
    predictor = _predictor(cfg, args, job, num_workers=0)
    for _ in predictor.run(job.scene, some[: args.batch_size]):
        pass  # the first windows take longer
    start, done = time.monotonic(), sum(1 for _ in predictor.run(job.scene, some))
    if not done:
        return logger.info("How long it takes is not known: in the middle no sensor has data.")
    windows = sum(len(block.windows) for block in job.blocks)
    seconds = (time.monotonic() - start) / done * windows
    logger.info(
        "It takes about %s on %s, by %s from the middle, if there is data everywhere.",
        _duration(seconds),
        cfg.MODEL.DEVICE,
        counted(done, "window"),
    )


def _tell(done: int, windows: int, objects: int, rest: float) -> None:
    logger.info(
        "%d of %s (%.0f %%), %d found in them, %s to go, %.1f GiB of memory at most.",
        done,
        counted(windows, "window"),
        100 * done / windows,
        objects,
        _duration(rest),
        peak_memory() / 2**30,
    )


def _duration(seconds: float) -> str:
    """A time as people say it: "40 s", "12 min", "3 h 20 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def _own_device(local_rank: int) -> list[str]:
    """A GPU for each process; where there are more processes, they share the GPUs."""
    number = torch.cuda.device_count()
    return ["MODEL.DEVICE", f"cuda:{local_rank % number}"] if number else []
