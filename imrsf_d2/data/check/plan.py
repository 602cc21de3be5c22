"""Which datasets to examine, and what they should be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from detectron2.config import CfgNode

from imrsf_d2.data.dataset_file import is_folder_name, split_name
from imrsf_d2.data.datasets import check_registered
from imrsf_d2.data.datasets.folder import register_folder
from imrsf_d2.modalities import ModalitySet, unmeasured

__all__ = ["Plan", "plan_of_config", "plan_of_names", "split_roles"]


@dataclass(frozen=True)
class Plan:
    """What to examine.

    Args:
        trained, tested: names of registered datasets.
        cfg: the config of the model that they are for; None if there is none.
        modalities: that the datasets should have; None: those that the first files have.
        measured: the modalities whose MEAN and STD are known.
        unmeasured: those that training needs them of, too.
        complete: whether these are all splits, so that a file that none of them names belongs to none.
        crop_named: whether the user chose INPUT.CROP; that of a config which only stands in says nothing about the tiles.
    """

    trained: tuple[str, ...]
    tested: tuple[str, ...]
    cfg: CfgNode | None = None
    modalities: ModalitySet | None = None
    measured: frozenset[str] = frozenset()
    unmeasured: tuple[str, ...] = ()
    complete: bool = True
    crop_named: bool = True


def plan_of_config(cfg: CfgNode, crop_named: bool = True) -> Plan:
    """The datasets of a config.

    Args:
        cfg: the config.
        crop_named: as of `Plan`.

    Raises:
        InputError: if one is not registered.
    """
    check_registered([*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST])
    return Plan(tuple(cfg.DATASETS.TRAIN), tuple(cfg.DATASETS.TEST), cfg, *_modalities(cfg), crop_named=crop_named)


def plan_of_names(names: Sequence[str], cfg: CfgNode | None) -> Plan:
    """Some datasets; models are scored on those whose split's name does not begin with "train".

    Args:
        names: of registered datasets or splits of folders.
        cfg: of the model that they are for; without one, their modalities are those of a `dataset.yaml`, if they have one.

    Raises:
        InputError, MissingFileError: if one is not registered, or its file cannot be used.
    """
    check_registered(names, where="--dataset")
    trained, tested = split_roles(names)
    if cfg is not None:
        return Plan(trained, tested, cfg, *_modalities(cfg), complete=False)
    files = [register_folder(name) for name in names if is_folder_name(name)]
    if not files:
        return Plan(trained, tested, complete=False)
    known = frozenset(entry["NAME"] for entry in files[0].entries if "MEAN" in entry)
    return Plan(trained, tested, None, files[0].modality_set, known, tuple(files[0].unmeasured), complete=False)


def split_roles(names: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of datasets that models are trained on, and of those that they are scored on."""
    trained = tuple(name for name in names if _split(name).startswith("train"))
    return trained, tuple(name for name in names if name not in trained)


def _split(name: str) -> str:
    return split_name(name)[1] if is_folder_name(name) else name.rpartition("_")[2]


def _modalities(cfg: CfgNode) -> tuple[ModalitySet, frozenset[str], tuple[str, ...]]:
    entries = cfg.MODEL.IMRSF.MODALITIES
    return ModalitySet.from_config(cfg), frozenset(e["NAME"] for e in entries if "MEAN" in e), tuple(unmeasured(entries))
