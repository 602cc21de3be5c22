"""Which tiles have which sensors, to tell a weak sensor from missing data: a low score may be due to either."""

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
#: At most this many tiles are named in a message.
NAMED = 3


@dataclass(frozen=True, eq=False)
class Coverage:
    """For each tile of a dataset and each modality of a model, whether there is a file or, once files were read, data.

    Args:
        dataset: its name, for messages.
        modalities: of the model.
        image_ids: of the I tiles.
        file_names: of the I tiles, for messages.
        has: [I, M] bool, True = the tile has that modality.
        empty: the number of files of each modality that were read and have no valid pixel, for which `has` is False;
            without the modalities that have no such file.
    """

    dataset: str
    modalities: ModalitySet
    image_ids: tuple
    file_names: Subset
    has: np.ndarray
    empty: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of_samples(cls, dataset: str, samples: Sequence[Mapping], modalities: ModalitySet) -> Coverage:
        """From the file names in dataset dicts; no file is opened."""
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
        """The same, with files that turned out to have no valid pixel counted as missing.

        Args:
            read: modality -> ids of the images in which it has data, for each modality that was read.
        """
        has_data = np.ones_like(self.has)
        for name, image_ids in read.items():
            known = frozenset(image_ids)
            has_data[:, self.modalities.index_of(name)] = [image_id in known for image_id in self.image_ids]
        counts = (self.has & ~has_data).sum(axis=0).tolist()
        empty = {name: number for name, number in zip(self.modalities.names, counts) if number}
        return replace(self, has=self.has & has_data, empty=empty)

    @property
    def existing(self) -> Subset:
        """The modalities that at least one tile has, in config order."""
        return tuple(name for name, of_tiles in zip(self.modalities.names, self.has.T) if of_tiles.any())

    @property
    def absent(self) -> Subset:
        """The modalities that no tile has."""
        return tuple(name for name in self.modalities.names if name not in self.existing)

    def with_any(self, subset: Sequence[str]) -> np.ndarray:
        """[I] bool: tiles that have at least one modality of a subset."""
        return np.asarray(self._columns(subset).any(axis=1))

    def with_all(self, subset: Sequence[str]) -> np.ndarray:
        """[I] bool: tiles that have every modality of a subset."""
        return np.asarray(self._columns(subset).all(axis=1))

    def ordered(self, image_ids: Sequence) -> Coverage:
        """The coverage of the tiles with these ids, in this order."""
        places = {image_id: place for place, image_id in enumerate(self.image_ids)}
        chosen = [places[image_id] for image_id in image_ids]
        return replace(
            self,
            image_ids=tuple(image_ids),
            file_names=tuple(self.file_names[place] for place in chosen),
            has=self.has[chosen],
        )

    def choose(self, subsets: Iterable[Sequence[str]] | None, source: str) -> list[Subset]:
        """The subsets to evaluate: the requested ones, or all subsets of the existing modalities, largest first.

        Args:
            subsets: names of modalities; None for all.
            source: the option or key that requested them, for the message.

        Raises:
            InputError: if a subset names a modality that is unknown, repeated, or that no tile has.
        """
        if subsets is None:
            return ModalitySet(self.modalities[name] for name in self.existing).subsets()
        checked = [self.modalities.check_subset(subset, source) for subset in subsets]
        for subset in checked:
            absent = [name for name in subset if name in self.absent]
            if absent:
                raise InputError(
                    f"{source} names {absent[0]!r} in {subset_label(subset)}, but no tile of {self.dataset!r} has it: choose from "
                    f"{list(self.existing)}."
                )
        return checked

    def _columns(self, subset: Sequence[str]) -> np.ndarray:
        return self.has[:, [self.modalities.index_of(name) for name in subset]]


def warn_of_tiles_without(coverage: Coverage, subsets: Iterable[Sequence[str]]) -> None:
    """Log one warning with the number of tiles that have none of the modalities of each subset."""
    found = []
    for subset in subsets:
        without = np.flatnonzero(~coverage.with_any(subset))
        if len(without):
            named = ", ".join(coverage.file_names[place] for place in without[:NAMED])
            more = f" and {len(without) - NAMED} more" if len(without) > NAMED else ""
            found.append(f"{subset_label(subset)}: {len(without)} of {len(coverage.image_ids)} tiles ({named}{more})")
    if found:
        logger.warning(
            "Some tiles of %r have none of the sensors that the model is given. They count in the scores, with what the "
            "model predicts without any data. %s.",
            coverage.dataset,
            "; ".join(found),
        )


def warn_of_empty_files(coverage: Coverage) -> None:
    """Log a warning with the number of files without a valid pixel.

    Args:
        coverage: as returned by `Coverage.with_data`.
    """
    if coverage.empty:
        numbers = ", ".join(f"{number} of {name!r}" for name, number in coverage.empty.items())
        logger.warning(
            "Files of %r without a valid pixel: %s (%d tiles). They count as missing sensors.",
            coverage.dataset,
            numbers,
            len(coverage.image_ids),
        )
