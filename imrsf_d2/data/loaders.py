"""Detectron2's loaders around our mappers: samples that were checked, in the order of the training stream or of the dataset.

To resume after k iterations: `build_train_loader(cfg, start_draw=k * cfg.SOLVER.IMS_PER_BATCH)`. SEED must be 0 or
more for that: a negative one is replaced by a random seed in every run, as in Detectron2.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from detectron2.config import CfgNode
from detectron2.data import (
    DatasetFromList,
    build_detection_test_loader,
    build_detection_train_loader,
    get_detection_dataset_dicts,
)
from detectron2.utils import comm
from torch.utils.data import DataLoader

import imrsf_d2.data.datasets  # noqa: F401 (registers the built-in datasets)
from imrsf_d2.data.dataset_checks import check_task
from imrsf_d2.data.mappers import build_mapper
from imrsf_d2.data.sample_checks import check_rasters, with_sensors
from imrsf_d2.data.training_stream import DrawnSamples, DrawSampler, take_share
from imrsf_d2.modalities import ModalitySet
from imrsf_d2.utils.errors import InputError

__all__ = ["build_test_loader", "build_train_loader", "read_test_samples"]

logger = logging.getLogger(__name__)


def build_train_loader(cfg: CfgNode, start_draw: int = 0) -> DataLoader:
    """The endless training batches of this process.

    Args:
        start_draw: training samples that all processes together have already consumed.

    Returns:
        A loader of lists of IMS_PER_BATCH / (number of processes) mapped samples.

    Raises:
        InputError: if a key asks for what this loader does not do, or if mapper, classes or modalities do not match the
            dataset's.
        MissingFileError: if a sample has no file of any sensor.
    """
    if cfg.DATALOADER.SAMPLER_TRAIN != "TrainingSampler":
        raise InputError(
            f"DATALOADER.SAMPLER_TRAIN is {cfg.DATALOADER.SAMPLER_TRAIN!r}, expected 'TrainingSampler', "
            "the only one that can be resumed exactly."
        )
    samples = _dataset_dicts(cfg, cfg.DATASETS.TRAIN, "DATASETS.TRAIN", cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS)
    samples = with_sensors(samples, ModalitySet.from_config(cfg).names)  # the others would teach the model nothing
    if cfg.DATALOADER.TRAIN_SHARE < 1:
        whole, samples = len(samples), take_share(samples, cfg.DATALOADER.TRAIN_SHARE)
        logger.info(
            "DATALOADER.TRAIN_SHARE %g: training on %d of the %d samples.", cfg.DATALOADER.TRAIN_SHARE, len(samples), whole
        )
    seed = cfg.SEED
    if seed < 0:
        seed = comm.shared_random_seed()
        logger.info("SEED is negative: the training stream uses the random seed %d; SEED %d repeats it.", seed, seed)
    mapper = build_mapper(cfg, is_train=True, seed=seed)
    return build_detection_train_loader(
        DrawnSamples(DatasetFromList(samples, copy=False), mapper),
        mapper=None,
        sampler=DrawSampler(len(samples), seed, start_draw),
        total_batch_size=cfg.SOLVER.IMS_PER_BATCH,
        aspect_ratio_grouping=False,  # the model pads samples of different sizes; grouping them would change their order
        num_workers=cfg.DATALOADER.NUM_WORKERS,
    )


def read_test_samples(cfg: CfgNode, dataset_name: str) -> list[dict]:
    """The dataset dicts of a test set, which several loaders may share.

    Raises:
        InputError: if mapper, classes or modalities do not match the dataset's.
        MissingFileError: if a sample has no file of any sensor.
    """
    return _dataset_dicts(cfg, [dataset_name], "the test loader's dataset")


def build_test_loader(
    cfg: CfgNode, dataset_name: str, modalities: Sequence[str] | None = None, samples: Sequence[dict] | None = None
) -> DataLoader:
    """Every sample of a dataset once, uncropped and in order, divided among the processes.

    Args:
        dataset_name: a registered name.
        modalities: keep only these; None leaves it to INPUT.TEST_MODALITIES.
        samples: of `read_test_samples`; None reads them.

    Returns:
        A loader of lists of one mapped sample.

    Raises:
        InputError: if a modality is unknown; and, as MissingFileError, see `read_test_samples`.
    """
    samples = read_test_samples(cfg, dataset_name) if samples is None else samples
    mapper = build_mapper(cfg, is_train=False, keep=modalities)
    return build_detection_test_loader(samples, mapper=mapper, num_workers=cfg.DATALOADER.NUM_WORKERS)


def _dataset_dicts(cfg: CfgNode, names: Sequence[str], source: str, filter_empty: bool = False) -> list[dict]:
    if not names:
        raise InputError(f"{source} is empty, expected the name of a registered dataset.")
    samples = get_detection_dataset_dicts(list(names), filter_empty=filter_empty)
    check_task(cfg, names)  # after loading them: some know their classes only then
    known = ModalitySet.from_config(cfg).names
    counts = check_rasters(samples, known, names)
    logger.info(
        "%s: %d samples; %s", ", ".join(names), len(samples), ", ".join(f"{name} in {counts.get(name, 0)}" for name in known)
    )
    for name in known:
        if not counts.get(name):
            logger.warning("No sample of %s has the modality %r; the dataset has %s.", list(names), name, sorted(counts))
    return samples
