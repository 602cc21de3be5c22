"""Datasets that a config names by their `dataset.yaml`: they are registered, and the config takes from them what it lacks."""

from __future__ import annotations

from collections.abc import Sequence

from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog

from imrsf_d2.data.dataset_file import DatasetFile, is_folder_name, measure_command, split_name
from imrsf_d2.data.datasets.folder import register_folder
from imrsf_d2.modalities import unmeasured
from imrsf_d2.utils.errors import InputError, some_of

__all__ = ["adopt_datasets", "check_measured"]


def adopt_datasets(cfg: CfgNode, opts: Sequence, has_modalities: bool, need_data: bool) -> None:
    """Register the datasets `DIR/dataset.yaml:split` of DATASETS.TRAIN and DATASETS.TEST, and complete a config from them.

    A config without modalities takes modalities and NUM_CLASSES from the first of them, and its tiles' size for INPUT.CROP.SIZE
    if they are smaller. DATASETS.CLASSES is set in any case.

    Args:
        cfg: with all merges done; changed in place.
        opts: the KEY VALUE pairs of these merges, as `override_values` returns them, which win over what a dataset says.
        has_modalities: whether its file names modalities, which then stay.
        need_data: False if the datasets are not read: they are then looked for only by a config without modalities.

    Raises:
        InputError: if a `dataset.yaml` is wrong, or its classes are not those that a config has already.
        MissingFileError: if there is no such file.
    """
    names = [name for name in (*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST) if is_folder_name(name)]
    if not names or (has_modalities and not need_data):
        _describe_things(cfg)
        return
    files = {name: register_folder(name) for name in names}
    if not has_modalities:
        _complete(cfg, files[names[0]])
        cfg.merge_from_list(list(opts))
    for name, file in files.items():
        if file.classes:
            _name_classes(cfg, name, file)
            break  # whether the others have the same classes is checked when the datasets are read


def check_measured(cfg: CfgNode) -> None:
    """Check that all modalities of a training run on a `dataset.yaml` have statistics.

    Raises:
        InputError: if not, saying how to measure them.
    """
    for name in filter(is_folder_name, cfg.DATASETS.TRAIN):
        if without := unmeasured(cfg.MODEL.IMRSF.MODALITIES):
            raise InputError(
                f"{some_of(without)} of {split_name(name)[0]} have no MEAN and STD, which training needs; measure them with "
                f"{measure_command(name)}."
            )


def _complete(cfg: CfgNode, file: DatasetFile) -> None:
    cfg.MODEL.IMRSF.MODALITIES = file.entries
    if file.classes:
        cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = cfg.MODEL.ROI_HEADS.NUM_CLASSES = len(file.class_names)
    crop = cfg.INPUT.CROP
    if file.tile_size is not None and crop.TYPE == "absolute":
        crop.SIZE = [min(sides) for sides in zip(crop.SIZE, file.tile_size)]


def _name_classes(cfg: CfgNode, name: str, file: DatasetFile) -> None:
    known, names = [label["NAME"] for label in cfg.DATASETS.CLASSES], list(file.class_names)
    if known and known != names:
        raise InputError(
            f"the classes of the dataset {name!r} are {', '.join(names)}, expected those of the config's model, "
            f"{', '.join(known)}, in this order: a class is known by its position. For a model of the new classes, append "
            'DATASETS.CLASSES "[]".'
        )
    metadata = MetadataCatalog.get(name)
    colors = metadata.get("thing_colors") or metadata.get("stuff_colors")
    things = {label.name for label in file.classes if label.thing}
    cfg.DATASETS.CLASSES = [
        {"NAME": label, "COLOR": list(color)} | ({"THING": True} if label in things else {})
        for label, color in zip(names, colors)
    ]


def _describe_things(cfg: CfgNode) -> None:
    """Tell Mask2Former's model, which asks the training dataset, what are things where that dataset is not read."""
    if not (cfg.MODEL.MASK_FORMER.TEST.PANOPTIC_ON and cfg.DATASETS.TRAIN):
        return
    metadata = MetadataCatalog.get(cfg.DATASETS.TRAIN[0])
    if metadata.get("thing_dataset_id_to_contiguous_id") is None:
        things = [index for index, label in enumerate(cfg.DATASETS.CLASSES) if label.get("THING", False)]
        metadata.thing_dataset_id_to_contiguous_id = {index: index for index in things}
