"""Which datasets to examine, and what they should be."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from detectron2.config import CfgNode

from imrsf_d2.data.dataset_file import DATASET_FILE, is_folder_name, read_dataset_file, split_name
from imrsf_d2.data.datasets import check_registered
from imrsf_d2.data.datasets.folder import register_folder
from imrsf_d2.modalities import ModalitySet

__all__ = ["Plan", "plan_of_config", "plan_of_folder", "plan_of_names"]


@dataclass(frozen=True)
class Plan:
    """What to examine.

    Args:
        trained, tested: names of registered datasets.
        cfg: the config of the model that they are for; None if there is none.
        modalities: that the datasets should have; None: those that the first files have.
        measured: the modalities whose MEAN and STD are known.
        complete: whether these are all splits, so that a file that none of them names belongs to none.
    """

    trained: tuple[str, ...]
    tested: tuple[str, ...]
    cfg: CfgNode | None = None
    modalities: ModalitySet | None = None
    measured: frozenset[str] = frozenset()
    complete: bool = True


def plan_of_config(cfg: CfgNode) -> Plan:
    """The datasets of a config.

    Raises:
        InputError: if one is not registered.
    """
    check_registered([*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST])
    return Plan(tuple(cfg.DATASETS.TRAIN), tuple(cfg.DATASETS.TEST), cfg, *_modalities(cfg))


def plan_of_folder(folder: str | os.PathLike, cfg: CfgNode | None) -> Plan:
    """All splits of a folder with a `dataset.yaml`.

    Args:
        folder: or the path of that file.
        cfg: of the model that they are for; without one, the modalities are those of the file.

    Raises:
        InputError, MissingFileError: if the file cannot be used.
    """
    path = Path(folder).expanduser()
    path = path if path.is_file() else path / DATASET_FILE
    return plan_of_names([f"{path}:{split}" for split in read_dataset_file(path).splits], cfg, complete=True)


def plan_of_names(names: Sequence[str], cfg: CfgNode | None, complete: bool = False) -> Plan:
    """Some datasets.

    Args:
        names: of registered datasets or splits of folders. Models are scored on those whose split's name does not begin
            with "train", if there are others.
        cfg: of the model that they are for.
        complete: whether these are all splits of their dataset.

    Raises:
        InputError, MissingFileError: if one is not registered, or its file cannot be used.
    """
    files = [register_folder(name) for name in names if is_folder_name(name)]
    check_registered(names, where="--dataset")
    trained = tuple(name for name in names if _split(name).startswith("train"))
    tested = tuple(name for name in names if name not in trained)
    if cfg is not None:
        return Plan(trained, tested, cfg, *_modalities(cfg), complete)
    if files:
        known = frozenset(entry["NAME"] for entry in files[0].entries if "MEAN" in entry)
        return Plan(trained, tested, None, files[0].modality_set, known, complete)
    return Plan(trained, tested, complete=complete)


def _split(name: str) -> str:
    return split_name(name)[1] if is_folder_name(name) else name.rpartition("_")[2]


def _modalities(cfg: CfgNode) -> tuple[ModalitySet, frozenset[str]]:
    return ModalitySet.from_config(cfg), frozenset(e["NAME"] for e in cfg.MODEL.IMRSF.MODALITIES if "MEAN" in e)
