"""Detectron2's loaders around our mappers, with a training stream that reproduces and resumes exactly.

The training stream is one endless shuffled sequence, numbered 0, 1, 2, ... Its n-th sample, its *draw*, depends on
SEED and n alone: not on the number of workers, nor on where the training was interrupted. With W processes, process r
takes the draws r, r + W, r + 2W, ... as in Detectron2; so the batches of an iteration hold together the same samples
for any W that divides IMS_PER_BATCH.

To resume after k iterations: `build_train_loader(cfg, start_draw=k * cfg.SOLVER.IMS_PER_BATCH)`. SEED must be 0 or
more for that: a negative one is replaced by a random seed in every run, as in Detectron2.
"""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import (
    DatasetFromList,
    build_detection_test_loader,
    build_detection_train_loader,
    get_detection_dataset_dicts,
)
from detectron2.data.samplers import TrainingSampler
from detectron2.utils import comm
from torch.utils.data import DataLoader, Dataset

import imrsf_d2.data.datasets  # noqa: F401 (registers the built-in datasets)
from imrsf_d2.data.dataset_checks import check_task
from imrsf_d2.data.mappers import build_mapper
from imrsf_d2.data.sample_checks import check_rasters, with_sensors
from imrsf_d2.modalities import ModalitySet
from imrsf_d2.utils.errors import InputError

__all__ = ["build_train_loader", "build_test_loader", "read_test_samples", "take_share", "DrawSampler", "DrawnSamples"]

logger = logging.getLogger(__name__)


class DrawSampler(TrainingSampler):
    """Detectron2's endless shuffled stream, each index with its place in the stream, from any place on.

    Yields `draw * size + index` as one int, which `DrawnSamples` takes apart.

    Args:
        size: number of samples in the dataset.
        seed: of the shuffle; the same in all processes.
        start: draws of all processes together that are already consumed.
    """

    def __init__(self, size: int, seed: int, start: int = 0):
        super().__init__(size, shuffle=True, seed=seed)
        self._start = start

    def __iter__(self) -> Iterator[int]:
        first_epoch = self._start // self._size
        stream = itertools.islice(self._stream(first_epoch), self._start % self._size + self._rank, None, self._world_size)
        return iter(stream)

    def _stream(self, first_epoch: int) -> Iterator[int]:
        generator = torch.Generator()
        generator.manual_seed(self._seed)
        for epoch in itertools.count():
            # The generator has to pass through the epochs before the start, but nobody counts their samples one by one.
            order = torch.randperm(self._size, generator=generator)
            if epoch >= first_epoch:
                yield from (order + torch.arange(self._size).add(epoch * self._size) * self._size).tolist()


class DrawnSamples(Dataset):
    """Mapped samples by the numbers that `DrawSampler` yields.

    Does the mapping itself: Detectron2's `MapDataset` keeps every number it has ever seen, and replaces a sample that
    cannot be mapped by a random one.

    Args:
        samples: dataset dicts.
        mapper: takes a dataset dict with `draw`.
    """

    def __init__(self, samples: Sequence[dict], mapper: Callable[[dict], dict]):
        self.samples, self.mapper = samples, mapper

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, number: int) -> dict:
        draw, index = divmod(int(number), len(self.samples))
        return self.mapper({**self.samples[index], "draw": draw})


def build_train_loader(cfg: CfgNode, start_draw: int = 0) -> DataLoader:
    """The endless training batches of this process.

    Args:
        start_draw: training samples already consumed, by all processes together.

    Returns:
        A loader of lists of IMS_PER_BATCH / (number of processes) mapped samples.

    Raises:
        InputError: if a key asks for what this loader does not do, or mapper, classes or modalities are not the dataset's.
        MissingFileError: if a sample has no raster of any of the model's modalities.
    """
    if cfg.DATALOADER.SAMPLER_TRAIN != "TrainingSampler":
        raise InputError(
            f"DATALOADER.SAMPLER_TRAIN is {cfg.DATALOADER.SAMPLER_TRAIN!r}, expected 'TrainingSampler', "
            "the only one that can be resumed exactly."
        )
    # Samples of different size are no problem to the model's padding; grouping them would change their order.
    samples = _dataset_dicts(cfg, cfg.DATASETS.TRAIN, "DATASETS.TRAIN", cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS)
    samples = with_sensors(samples, ModalitySet.from_config(cfg).names)  # from nothing nothing is learned
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
        aspect_ratio_grouping=False,
        num_workers=cfg.DATALOADER.NUM_WORKERS,
    )


def take_share(samples: Sequence[dict], share: float) -> list[dict]:
    """A fixed random choice of samples, which every larger share of the same samples includes.

    Args:
        samples: in the order of the dataset.
        share: above 0 and up to 1.

    Returns:
        ceil(share * n) of the n samples, in the same order.
    """
    count = math.ceil(share * len(samples) - 1e-9)  # 0.07 of 100 are 7, though 0.07 * 100 is a little more
    chosen = np.random.default_rng(0).permutation(len(samples))[: max(count, 1)]
    return [samples[index] for index in sorted(chosen)]


def read_test_samples(cfg: CfgNode, dataset_name: str) -> list[dict]:
    """The dataset dicts of a test set, for several loaders.

    Raises:
        InputError: if mapper, classes or modalities are not the dataset's.
        MissingFileError: if a sample has no raster of any of the model's modalities.
    """
    return _dataset_dicts(cfg, [dataset_name], "the test loader's dataset")


def build_test_loader(
    cfg: CfgNode, dataset_name: str, modalities: Sequence[str] | None = None, samples: Sequence[dict] | None = None
) -> DataLoader:
    """Every sample of a dataset once, whole, in order; shared out over the processes.

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
    check_task(cfg, names)  # only now do they know their classes
    known = ModalitySet.from_config(cfg).names
    counts = check_rasters(samples, known, names)
    logger.info(
        "%s: %d samples; %s", ", ".join(names), len(samples), ", ".join(f"{name} in {counts.get(name, 0)}" for name in known)
    )
    for name in known:
        if not counts.get(name):
            logger.warning("No sample of %s has the modality %r; the dataset has %s.", list(names), name, sorted(counts))
    return samples
