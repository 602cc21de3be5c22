"""In which order modalities travel, which channels of the image tensor each one owns, and their subsets."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence

from imrsf_d2.modalities.modality import Modality
from imrsf_d2.utils.errors import InputError

__all__ = ["ModalitySet", "subset_label", "subset_title"]


class ModalitySet(Sequence[Modality]):
    """The modalities of a model in config order, and the channel layout of its `image` tensor [C + M, H, W].

    The C bands come first, modality after modality; then one validity channel per modality (1 = this pixel holds
    data, 0 = it does not), in the same order.

    Args:
        modalities: at least one, with distinct names; mappings are read by `Modality.from_mapping`.

    Raises:
        ValueError: if there is none, or two share a name.
    """

    def __init__(self, modalities: Iterable[Modality | Mapping]):
        self._modalities = tuple(m if isinstance(m, Modality) else Modality.from_mapping(m) for m in modalities)
        if not self._modalities:
            raise InputError(
                "MODEL.IMRSF.MODALITIES is empty, expected at least one modality, e.g. [{NAME: rgb, CHANNELS: 3}], "
                "or a dataset whose dataset.yaml has them: --data DIR."
            )
        repeated = {name for name in self.names if self.names.count(name) > 1}
        if repeated:
            raise InputError(f"MODEL.IMRSF.MODALITIES names {sorted(repeated)} twice; names must differ.")
        ends = list(itertools.accumulate(m.channels for m in self._modalities))
        self._slices = {m.name: slice(end - m.channels, end) for m, end in zip(self._modalities, ends)}

    @classmethod
    def from_config(cls, cfg) -> ModalitySet:
        """Read `MODEL.IMRSF.MODALITIES` of a Detectron2 config."""
        return cls(cfg.MODEL.IMRSF.MODALITIES)

    def __len__(self) -> int:
        return len(self._modalities)

    def __getitem__(self, index):
        if isinstance(index, str):
            return self._modalities[self.index_of(index)]
        return self._modalities[index]

    def __iter__(self) -> Iterator[Modality]:
        return iter(self._modalities)

    def __repr__(self) -> str:
        return f"ModalitySet({', '.join(f'{m.name}[{m.channels}]' for m in self)})"

    @property
    def names(self) -> tuple[str, ...]:
        """Names in config order."""
        return tuple(m.name for m in self._modalities)

    @property
    def num_bands(self) -> int:
        """C, the bands of all modalities without the validity channels."""
        return sum(m.channels for m in self._modalities)

    @property
    def num_channels(self) -> int:
        """C + M, the channels of `image`."""
        return self.num_bands + len(self)

    def index_of(self, name: str) -> int:
        """Position of a modality in config order.

        Raises:
            ValueError: if no modality has that name; the message lists the known ones.
        """
        if name not in self.names:
            raise InputError(f"unknown modality {name!r}, expected one of {list(self.names)}.")
        return self.names.index(name)

    def bands(self, name: str) -> slice:
        """The channels of `image` that hold this modality's bands."""
        self.index_of(name)
        return self._slices[name]

    def validity(self, name: str) -> int:
        """The channel of `image` that holds this modality's validity."""
        return self.num_bands + self.index_of(name)

    @property
    def pixel_mean(self) -> list[float]:
        """C band means, then 0 for each validity channel, so that Detectron2's normalization leaves validity alone."""
        return [value for m in self for value in m.mean] + [0.0] * len(self)

    @property
    def pixel_std(self) -> list[float]:
        """C band standard deviations, then 1 for each validity channel."""
        return [value for m in self for value in m.std] + [1.0] * len(self)

    def subsets(self) -> list[tuple[str, ...]]:
        """All 2^M - 1 non-empty subsets, largest first, each in config order."""
        sizes = range(len(self), 0, -1)
        return [subset for size in sizes for subset in itertools.combinations(self.names, size)]

    def check_subset(self, names: Iterable[str], source: str) -> tuple[str, ...]:
        """Bring a user's choice of modalities into config order.

        Args:
            names: modality names; empty means all.
            source: where the choice was written (a config key or an option), for the message.

        Raises:
            ValueError: if a name is unknown or given twice.
        """
        names = list(names)
        for name in names:
            if name not in self.names:
                raise InputError(
                    f"{source} names the unknown modality {name!r}; MODEL.IMRSF.MODALITIES has {list(self.names)}."
                )
            if names.count(name) > 1:
                raise InputError(f"{source} names the modality {name!r} twice.")
        return tuple(name for name in self.names if name in names) or self.names


def subset_label(names: Iterable[str]) -> str:
    """How a subset is written in file names, logs and test ids: `sar+rgb`."""
    return "+".join(names)


def subset_title(names: Iterable[str]) -> str:
    """How a subset is written in headings and figures: `SAR + RGB`."""
    return " + ".join(name.upper() for name in names)
