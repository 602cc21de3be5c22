"""Which tiles have which sensors: a weak sensor and missing data are two things, and a score alone shows neither."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from imrsf_d2.modalities import ModalitySet, subset_label
from imrsf_d2.utils.errors import InputError

__all__ = ["Coverage", "warn_of_empty_files", "warn_of_tiles_without"]

logger = logging.getLogger(__name__)

Subset = tuple[str, ...]
#: So many tiles are named in a message.
NAMED = 3


@dataclass(frozen=True, eq=False)
class Coverage:
    """Which of a model's modalities the tiles of a dataset have a file of, or, once they were read, data of.

    Args:
        dataset: its name, for messages.
        modalities: the model's.
        image_ids: of the I tiles.
        file_names: of the I tiles, for messages.
        has: [I, M] bool, True = the tile has that modality.
        empty: how many files of each modality were read and hold no valid pixel: `has` is False there. Only those that
            have such files.
    """

    dataset: str
    modalities: ModalitySet
    image_ids: tuple
    file_names: Subset
    has: np.ndarray
    empty: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of_samples(cls, dataset: str, samples: Sequence[Mapping], modalities: ModalitySet) -> Coverage:
        """Read it off dataset dicts; no file is opened."""
        files = [sample.get("modalities", {}) for sample in samples]
        has = [[paths.get(name) is not None for name in modalities.names] for paths in files]
        return cls(
            dataset,
            modalities,
            tuple(sample["image_id"] for sample in samples),
            tuple(str(sample["file_name"]) for sample in samples),
            np.array(has, dtype=bool).reshape(len(samples), len(modalities)),
        )

    def with_data(self, read: Mapping[str, Collection]) -> Coverage:
        """The same, but a file without a valid pixel is a missing sensor: that only reading shows.

        Args:
            read: for each modality that was read, the ids of the images in which it holds data.
        """
        holds = np.ones_like(self.has)
        for name, image_ids in read.items():
            known = frozenset(image_ids)
            holds[:, self.modalities.index_of(name)] = [image_id in known for image_id in self.image_ids]
        lost = (self.has & ~holds).sum(axis=0).tolist()
        return replace(
            self, has=self.has & holds, empty={name: number for name, number in zip(self.modalities.names, lost) if number}
        )

    @property
    def existing(self) -> Subset:
        """The modalities that at least one tile has, in config order."""
        return tuple(name for name, any_has in zip(self.modalities.names, self.has.any(axis=0)) if any_has)

    @property
    def absent(self) -> Subset:
        """The modalities that no tile has."""
        return tuple(name for name in self.modalities.names if name not in self.existing)

    def with_any(self, subset: Sequence[str]) -> np.ndarray:
        """[I] bool: tiles that have at least one modality of a subset."""
        return self._columns(subset).any(axis=1)

    def with_all(self, subset: Sequence[str]) -> np.ndarray:
        """[I] bool: tiles that have every modality of a subset."""
        return self._columns(subset).all(axis=1)

    def ordered(self, image_ids: Sequence) -> Coverage:
        """The same of the tiles with these ids, in this order."""
        places = {image_id: place for place, image_id in enumerate(self.image_ids)}
        chosen = [places[image_id] for image_id in image_ids]
        return replace(
            self,
            image_ids=tuple(image_ids),
            file_names=tuple(self.file_names[place] for place in chosen),
            has=self.has[chosen],
        )

    def choose(self, subsets: Iterable[Sequence[str]] | None, source: str) -> list[Subset]:
        """The subsets to evaluate: those asked for, or all of the modalities that exist, largest first.

        Args:
            subsets: names of modalities; None for all.
            source: where they were written, for the message.

        Raises:
            InputError: if a subset names a modality that is unknown, given twice, or that no tile has.
        """
        if subsets is None:
            return ModalitySet(self.modalities[name] for name in self.existing).subsets()
        subsets = [self.modalities.check_subset(subset, source) for subset in subsets]
        for subset in subsets:
            absent = [name for name in subset if name in self.absent]
            if absent:
                raise InputError(
                    f"{source} names {absent[0]!r} in {subset_label(subset)}, but no tile of "
                    f"{self.dataset!r} has it: name some of {list(self.existing)}."
                )
        return subsets

    def _columns(self, subset: Sequence[str]) -> np.ndarray:
        return self.has[:, [self.modalities.index_of(name) for name in subset]]


def warn_of_tiles_without(coverage: Coverage, subsets: Iterable[Sequence[str]]) -> None:
    """Say in the log, in one warning, how many tiles have none of the modalities that a model will be given."""
    found = []
    for subset in subsets:
        without = np.flatnonzero(~coverage.with_any(subset))
        if len(without):
            named = ", ".join(coverage.file_names[place] for place in without[:NAMED])
            more = f" and {len(without) - NAMED} more" if len(without) > NAMED else ""
            found.append(f"{subset_label(subset)}: {len(without)} of {len(coverage.image_ids)} tiles ({named}{more})")
    if found:
        logger.warning(
            "Tiles of %r that have none of the sensors the model is given count in the score all the same, "
            "with what it predicts from nothing. %s.",
            coverage.dataset,
            "; ".join(found),
        )


def warn_of_empty_files(coverage: Coverage) -> None:
    """Say in the log how many files were read that hold no data.

    Args:
        coverage: as from `Coverage.with_data`.
    """
    if coverage.empty:
        numbers = ", ".join(f"{number} of {name!r}" for name, number in coverage.empty.items())
        logger.warning(
            "Files of %r without a single valid pixel: %s, of %d tiles. They count as missing sensors.",
            coverage.dataset,
            numbers,
            len(coverage.image_ids),
        )
