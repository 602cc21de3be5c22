"""What is seen to before a training run or an evaluation starts, so that neither ends well with a wrong number."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog

from imrsf_d2.data.decibel_checks import check_decibels
from imrsf_d2.data.label_checks import (
    check_instances,
    check_label_maps,
    check_labels,
    count_labels,
    percent,
    refuse_one_class,
    spread_evenly,
)
from imrsf_d2.data.mappers import MAPPERS, PRETRAIN_MAPPER
from imrsf_d2.data.places import check_overlap, check_places
from imrsf_d2.data.reading import SampleReader
from imrsf_d2.data.sample_checks import check_rasters, padding_share, shared_samples
from imrsf_d2.data.value_checks import check_values
from imrsf_d2.modalities import ModalitySet
from imrsf_d2.utils.errors import InputError, some_of

__all__ = ["check_datasets", "check_task"]

logger = logging.getLogger(__name__)

#: INPUT.DATASET_MAPPER_NAME -> the metadata's key of the classes
CLASSES = {"imrsf_instance": "thing_classes", "imrsf_semantic": "stuff_classes"}
Samples = Mapping[str, Sequence[Mapping]]


def check_datasets(cfg: CfgNode, training: bool) -> None:
    """See that the datasets of a config are what its model is to be trained and scored on.

    Of label maps, radar and headers a bounded number is read; the log says how many.

    Args:
        cfg: of a training run, a pre-training run or an evaluation.
        training: look at DATASETS.TRAIN as well as at DATASETS.TEST.

    Raises:
        InputError: on what cannot be meant: other classes or sensors than the model's, radar in decibels that is to be
            read as power, files of a sample in different places, or a test set on which a constant prediction is perfect.
        MissingFileError: if files are missing, or a sample has no raster.
    """
    train = {name: DatasetCatalog.get(name) for name in cfg.DATASETS.TRAIN} if training else {}
    test = {name: DatasetCatalog.get(name) for name in cfg.DATASETS.TEST}
    modalities = ModalitySet.from_config(cfg)
    names = modalities.names
    check_task(cfg, [*train, *test])
    for group in ([list(train)] if train else []) + [[name] for name in test]:
        check_rasters([sample for name in group for sample in {**train, **test}[name]], names, group)
    for samples in train.values():
        check_decibels([sample["modalities"] for sample in samples], modalities)
    for samples in test.values():
        check_decibels(
            [sample["modalities"] for sample in samples], [modalities[name] for name in cfg.INPUT.TEST_MODALITIES or names]
        )
    for samples in (*train.values(), *test.values()):
        check_values([sample["modalities"] for sample in samples], modalities)
    if cfg.INPUT.ALIGN:
        grid_of = SampleReader(modalities, names, tolerant=True, align=True).grid
        for samples in (*train.values(), *test.values()):
            check_overlap(spread_evenly(samples), names, grid_of)
    elif not cfg.INPUT.IGNORE_PLACES:
        for samples in train.values():
            check_places(spread_evenly(samples), names)
        for samples in test.values():
            check_places(spread_evenly(samples), cfg.INPUT.TEST_MODALITIES or names)
    if training:
        _warn_of_padding(cfg, train)
    if cfg.INPUT.DATASET_MAPPER_NAME != PRETRAIN_MAPPER:
        _warn_of_shared_files(train, test)
        for name, samples in train.items():
            _check_truth(cfg, name, samples, is_test=False)
        for name, samples in test.items():
            _check_truth(cfg, name, samples, is_test=True)


def check_task(cfg: CfgNode, names: Sequence[str]) -> None:
    """See that mapper and classes are those of the datasets; otherwise a training run learns nothing, silently.

    Args:
        names: of registered datasets, which may have to be loaded first to know their classes.

    Raises:
        InputError: if they are not, or two datasets have different classes.
    """
    if cfg.MODEL.META_ARCHITECTURE != "MaskFormer":
        return  # others have their own heads, with their own keys
    mapper = cfg.INPUT.DATASET_MAPPER_NAME
    first: tuple[str, list[str]] | None = None
    for name in names:
        metadata = MetadataCatalog.get(name)
        task = metadata.get("evaluator_type")
        if task in MAPPERS and mapper in MAPPERS and task != mapper:
            raise InputError(f"INPUT.DATASET_MAPPER_NAME is {mapper!r}, expected {task!r} for the dataset {name!r}.")
        classes = metadata.get(CLASSES.get(mapper, "stuff_classes"))
        if classes is None:
            continue
        if len(classes) != cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES:
            raise InputError(
                f"MODEL.SEM_SEG_HEAD.NUM_CLASSES is {cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES}, expected "
                f"{len(classes)}, the classes of the dataset {name!r} ({', '.join(classes)})."
            )
        if first is not None and list(classes) != first[1]:
            raise InputError(
                f"the classes of the dataset {name!r} are {', '.join(classes)}, expected those of "
                f"{first[0]!r}, {', '.join(first[1])}, in this order: a class is known by its position."
            )
        first = first or (name, list(classes))


def _check_truth(cfg: CfgNode, name: str, samples: Sequence[Mapping], is_test: bool) -> None:
    if is_test:
        check_labels(name, samples)
    metadata = MetadataCatalog.get(name)
    task = metadata.get("evaluator_type") or cfg.INPUT.DATASET_MAPPER_NAME
    classes = metadata.get(CLASSES.get(task, ""))
    if classes is None:
        return
    if task == "imrsf_instance":
        check_instances(name, samples, classes)
        return
    found = count_labels(samples, len(classes), all_if_one=is_test)
    if is_test and found.looked == found.total:
        refuse_one_class(name, found.pixels, found.unlabeled > 0, classes, cfg.TEST.ALLOW_SINGLE_CLASS)
    check_label_maps(name, found, classes)


def _warn_of_shared_files(train: Samples, test: Samples) -> None:
    trained = [sample for samples in train.values() for sample in samples]
    for name, samples in test.items():
        if shared := shared_samples(trained, samples):
            logger.warning(
                "%d of the %d images of %s have a raster or label map that DATASETS.TRAIN (%s) holds too, e.g. "
                "%s: a score on what was trained on says nothing about other places.",
                len(shared),
                len(samples),
                name,
                ", ".join(train),
                some_of((s["file_name"] for s in shared), 3),
            )


def _warn_of_padding(cfg: CfgNode, train: Samples) -> None:
    crop = cfg.INPUT.CROP
    if not crop.ENABLED or crop.TYPE != "absolute" or len(crop.SIZE) != 2:
        return  # the mapper refuses what it cannot use
    for name, samples in train.items():
        sizes = [(sample["height"], sample["width"]) for sample in samples]
        if share := padding_share(sizes, crop.SIZE, cfg.INPUT.SCALE_JITTER):
            height, width = min(sizes)
            logger.warning(
                "%s of the pixels that %s trains on will be padding: its smallest image is %d x %d px, "
                "INPUT.CROP.SIZE [height, width] is %s. Set it to the size of the images, or less.",
                percent(share),
                name,
                width,
                height,
                list(crop.SIZE),
            )
