"""What figures call an image."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["sample_name", "sample_names"]


def sample_name(sample: Mapping) -> str:
    """The name of a sample in figures.

    Args:
        sample: a dataset dict or mapped sample: with `tile`, or else `file_name`.

    Returns:
        `north_7` for the tile `north/7`, whatever its files are called; `7` for a file `north/7.tif` of a sample without `tile`.
    """
    return _name(sample, 0)


def sample_names(samples: Sequence[Mapping]) -> list[str]:
    """A name of its own for each of some samples, for figures that show several of them and for files about each.

    Args:
        samples: as of `sample_name`, which names those that no other one is called like.

    Returns:
        For files `north/7.tif` and `south/7.tif` `north_7` and `south_7`, with as many folders as tell them apart; what not even all
        folders tell apart is numbered: `north_7`, `north_7-2`.
    """
    folders = [0] * len(samples)
    most = [0 if "tile" in sample else len(_folders(sample)) for sample in samples]
    while True:
        names = [_name(sample, number) for sample, number in zip(samples, folders)]
        counts = Counter(names)
        alike = [i for i, name in enumerate(names) if counts[name] > 1 and folders[i] < most[i]]
        if not alike:
            return _numbered(names)
        for i in alike:
            folders[i] += 1


def _name(sample: Mapping, folders: int) -> str:
    """The name, led by so many folders of the file if it is that of a file."""
    if "tile" in sample:
        return str(sample["tile"]).replace("/", "_")
    parts = _folders(sample)
    return "_".join([*parts[len(parts) - folders :], Path(sample["file_name"]).stem])


def _folders(sample: Mapping) -> tuple[str, ...]:
    parent = Path(sample["file_name"]).parent
    return parent.relative_to(parent.anchor).parts


def _numbered(names: Sequence[str]) -> list[str]:
    """The names, each again with the first number from 2 on that makes it another one than all others."""
    taken, given = set(names), set()
    unique = []
    for name in names:
        if name in given:
            name = next(new for number in itertools.count(2) if (new := f"{name}-{number}") not in taken)
            taken.add(name)
        given.add(name)
        unique.append(name)
    return unique
