"""What a `dataset.yaml` says of a dataset, its sensors, labels, classes and splits, and how its splits are called.

`imrsf_d2.data.dataset_yaml` reads and writes the file; `datasets/README.md` is the reference of its keys.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imrsf_d2.data.tasks import SEMANTIC
from imrsf_d2.modalities import Modality, ModalitySet, unmeasured

__all__ = [
    "BACKGROUND",
    "DATASET_FILE",
    "STATISTICS_FILE",
    "TILE",
    "DatasetClass",
    "DatasetFile",
    "is_coco",
    "is_folder_name",
    "measure_command",
    "short_name",
    "split_name",
]

#: The usual name of the file.
DATASET_FILE = "dataset.yaml"
#: Beside it, for statistics that were measured later: {NAME: {MEAN: [...], STD: [...]}}.
STATISTICS_FILE = "statistics.yaml"
#: What stands for the name of a tile in FILES and LABELS.
TILE = "{tile}"

#: Added in front of the classes of COCO files that are rasterized: what no object covers.
BACKGROUND = "background"


@dataclass(frozen=True)
class DatasetClass:
    """A class of the labels.

    Args:
        name: in reports and figures.
        color: (red, green, blue) from 0 to 255; None for a natural color by its name.
        codes: the numbers that stand for it in the labels: values of label rasters, or category ids of COCO files.
        thing: of panoptic labels, whether each object is a segment of its own; otherwise all pixels of the class are one.
    """

    name: str
    color: tuple[int, int, int] | None
    codes: tuple[int, ...]
    thing: bool = False


@dataclass(frozen=True)
class DatasetFile:
    """The content of a `dataset.yaml`.

    Args:
        path: of the file, absolute.
        root: where the paths of rasters begin, absolute.
        task: the name of a `Task`, or PRETRAIN.
        modalities: entries as of MODEL.IMRSF.MODALITIES, without FILES, as they are written in the file.
        files: modality -> path of its rasters, with `{tile}` in it; none for a modality whose paths are in CSV files.
        labels: path of the label rasters, with `{tile}` in it, or the folder of the PNGs of panoptic labels, or None.
        classes: in the order of their indices, those of a class table too; COCO files that are rasterized also have BACKGROUND, in front of them.
        unlabeled: values of label rasters that mean "not labeled".
        splits: name -> the names of its tiles, or the path of a file that lists them, as written.
        tile_size: (height, width) of the tiles, px, if it is known.
        measured: modality -> {"MEAN": [...], "STD": [...]}, of the statistics beside the file.
    """

    path: Path
    root: Path
    task: str
    modalities: tuple[Mapping[str, Any], ...]
    files: Mapping[str, str]
    labels: str | None
    classes: tuple[DatasetClass, ...]
    unlabeled: tuple[int, ...]
    splits: Mapping[str, str | tuple[str, ...]]
    tile_size: tuple[int, int] | None = None
    measured: Mapping[str, Mapping[str, list[float]]] = field(default_factory=dict)

    @property
    def entries(self) -> list[dict[str, Any]]:
        """What MODEL.IMRSF.MODALITIES becomes: the modalities with the statistics, wherever these are written."""
        return [{**entry, **self.measured.get(entry["NAME"], {})} for entry in self.modalities]

    @property
    def modality_set(self) -> ModalitySet:
        """The modalities with the statistics; 0 and 1 where there are none."""
        return ModalitySet(map(Modality.from_mapping, self.entries))

    @property
    def unmeasured(self) -> list[str]:
        """The modalities that have no statistics yet, and need some before a model can be trained."""
        return unmeasured(self.entries)

    @property
    def coco(self) -> bool:
        """Whether the splits are COCO files."""
        return any(is_coco(split) for split in self.splits.values())

    @property
    def labeled_by_rasters(self) -> bool:
        """Whether every tile has a label raster."""
        return self.task == SEMANTIC.name and not self.coco

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the model's classes, in the order of their indices."""
        names = tuple(label.name for label in self.classes)
        return (BACKGROUND, *names) if self.coco and self.task == SEMANTIC.name else names

    def find(self, name: str) -> Path:
        """The path of a file that lists the tiles of a split or the classes: beside `dataset.yaml`, otherwise below ROOT."""
        beside = self.path.parent / Path(name).expanduser()
        return beside if beside.is_file() else self.root / Path(name).expanduser()


def measure_command(name: str) -> str:
    """The command that measures MEAN and STD of a dataset and writes them beside its file.

    Args:
        name: "DIR/dataset.yaml:split".
    """
    path, _ = split_name(name)
    data = os.path.dirname(path) if os.path.basename(path) == DATASET_FILE else path
    return f"python tools/compute_statistics.py --data {data} --write"


def is_folder_name(name: str) -> bool:
    """Whether a name of a dataset is that of a split of a dataset file: `DIR/dataset.yaml:train`."""
    return name.rpartition(":")[0].lower().endswith((".yaml", ".yml"))


def split_name(name: str) -> tuple[str, str]:
    """`DIR/dataset.yaml:train` -> the path of the file and the name of the split."""
    path, _, split = name.rpartition(":")
    return path, split


def short_name(name: str) -> str:
    """What folders of results, and headings, call a dataset: `mine_train` for `/data/mine/dataset.yaml:train`."""
    if not is_folder_name(name):
        return name
    path, split = split_name(name)
    file = Path(path).expanduser().absolute()
    words = [file.parent.name, *([file.stem] if file.name != DATASET_FILE else []), split]
    return "_".join(filter(None, words))


def is_coco(split: str | Sequence[str]) -> bool:
    """Whether a split is in a COCO file."""
    return isinstance(split, str) and split.lower().endswith(".json")
