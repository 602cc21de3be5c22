"""The training stream: one endless shuffled sequence of samples that reproduces and resumes exactly.

Its samples are numbered 0, 1, 2, ... The n-th one, its *draw*, depends on SEED and n alone: not on the number of workers,
nor on where training was interrupted. With W processes, process r takes the draws r, r + W, r + 2W, ... as in Detectron2;
so the processes' batches of an iteration together hold the same samples for any W that divides IMS_PER_BATCH.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from detectron2.data.samplers import TrainingSampler
from torch.utils.data import Dataset

__all__ = ["DrawSampler", "DrawnSamples", "take_share"]


class DrawSampler(TrainingSampler):
    """Detectron2's endless shuffled stream, started anywhere, with the position of each sample in it.

    Yields `draw * size + index` as one int, which `DrawnSamples` takes apart.

    Args:
        size: number of samples in the dataset.
        seed: of the shuffle; the same in all processes.
        start: draws that all processes together have already consumed.
    """

    def __init__(self, size: int, seed: int, start: int = 0):
        super().__init__(size, shuffle=True, seed=seed)
        self._start = start

    def __iter__(self) -> Iterator[int]:
        first_epoch = self._start // self._size
        return itertools.islice(self._stream(first_epoch), self._start % self._size + self._rank, None, self._world_size)

    def _stream(self, first_epoch: int) -> Iterator[int]:
        generator = torch.Generator()
        generator.manual_seed(self._seed)
        for epoch in itertools.count():
            # The generator must pass through the epochs before the start; their samples need not be yielded one by one.
            order = torch.randperm(self._size, generator=generator)
            if epoch >= first_epoch:
                yield from (order + torch.arange(self._size).add(epoch * self._size) * self._size).tolist()


class DrawnSamples(Dataset):
    """Mapped samples by the numbers that `DrawSampler` yields.

    It maps the samples itself: Detectron2's `MapDataset` keeps every number that it has ever seen, and replaces a sample
    that cannot be mapped by a random one.

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


def take_share(samples: Sequence[dict], share: float) -> list[dict]:
    """A fixed random subset of the samples, which the subset of every larger share includes.

    Args:
        samples: in the order of the dataset.
        share: above 0 and up to 1.

    Returns:
        ceil(share * n) of the n samples, in the same order.
    """
    count = math.ceil(share * len(samples) - 1e-9)  # 0.07 of 100 are 7, though 0.07 * 100 is a little more
    chosen = np.random.default_rng(0).permutation(len(samples))[: max(count, 1)]
    return [samples[index] for index in sorted(chosen)]
