"""What is checked before a training run or an evaluation starts, so that neither completes with a wrong number."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence

from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog

from imrsf_d2.data.dataset_memory import load_once
from imrsf_d2.data.decibel_checks import check_decibels
from imrsf_d2.data.heads import class_number_key, is_rcnn, number_of_classes
from imrsf_d2.data.label_checks import (
    check_instances,
    check_label_maps,
    check_labels,
    count_labels,
    refuse_one_class,
    spread_evenly,
)
from imrsf_d2.data.label_codes import IGNORE_LABEL
from imrsf_d2.data.mappers import MAPPERS, PRETRAIN_MAPPER
from imrsf_d2.data.object_limits import check_object_numbers, object_limits
from imrsf_d2.data.places import check_annotated, check_overlap, check_places
from imrsf_d2.data.reading import SampleReader
from imrsf_d2.data.sample_checks import check_rasters, padding_share, shared_samples
from imrsf_d2.data.tasks import INSTANCE, PANOPTIC, SEMANTIC, TASKS
from imrsf_d2.data.value_checks import check_values
from imrsf_d2.data.windows import read_windows
from imrsf_d2.modalities import ModalitySet
from imrsf_d2.utils.errors import InputError, percent, some_of

__all__ = ["check_datasets", "check_task", "find_task_problems"]

logger = logging.getLogger(__name__)

Samples = Mapping[str, Sequence[dict]]


def check_datasets(cfg: CfgNode, training: bool) -> None:
    """Check that the datasets of a config are what its model is to be trained and scored on.

    They are loaded here, and remembered for the loaders and evaluators of the run (see `load_once`). Of label maps, values
    and headers a bounded number is read; messages say how many.

    Args:
        cfg: of a training run, a pre-training run or an evaluation.
        training: check DATASETS.TRAIN as well as DATASETS.TEST.

    Raises:
        InputError: on what cannot be meant: other classes or sensors than the model's, radar in decibels that is to be
            read as power, files of a sample in different places, or a test set on which a constant prediction is perfect.
        MissingFileError: if files are missing, or a sample has no raster.
    """
    loaded = load_once([*(cfg.DATASETS.TRAIN if training else ()), *cfg.DATASETS.TEST])
    train = {name: loaded[name] for name in cfg.DATASETS.TRAIN} if training else {}
    test = {name: loaded[name] for name in cfg.DATASETS.TEST}
    modalities = ModalitySet.from_config(cfg)
    check_task(cfg, [*train, *test])
    for group in ([list(train)] if train else []) + [[name] for name in test]:
        check_rasters([sample for name in group for sample in loaded[name]], modalities.names, group)
    read_at_test = tuple(cfg.INPUT.TEST_MODALITIES) or modalities.names
    datasets = [(samples, modalities.names) for samples in train.values()]
    datasets += [(samples, read_at_test) for samples in test.values()]
    _check_values(datasets, modalities)
    _check_places(cfg, datasets, modalities)
    if training:
        _warn_of_padding(cfg, train)
    if cfg.INPUT.DATASET_MAPPER_NAME != PRETRAIN_MAPPER:
        _warn_of_shared_files(train, test)
        for name, samples in train.items():
            _check_truth(cfg, name, samples, is_test=False)
        for name, samples in test.items():
            _check_truth(cfg, name, samples, is_test=True)


def check_task(cfg: CfgNode, names: Sequence[str]) -> None:
    """Check that mapper and classes match the datasets; otherwise a training run would silently learn nothing.

    Args:
        names: of registered datasets; some know their classes only once they have been loaded.

    Raises:
        InputError: if they do not, or if two datasets have different classes.
    """
    for problem in find_task_problems(cfg, names):
        raise problem


def find_task_problems(cfg: CfgNode, names: Sequence[str]) -> Iterator[InputError]:
    """All errors that `check_task` knows, the one that it raises first.

    Args:
        names: of registered datasets.
    """
    if cfg.MODEL.META_ARCHITECTURE != "MaskFormer" and not is_rcnn(cfg):
        return  # others have their own heads, with their own keys
    mapper = cfg.INPUT.DATASET_MAPPER_NAME
    first: tuple[str, list[str]] | None = None
    for name in names:
        metadata = MetadataCatalog.get(name)
        kind = metadata.get("evaluator_type")
        if kind in TASKS and mapper in MAPPERS and kind != mapper:
            yield InputError(f"INPUT.DATASET_MAPPER_NAME is {mapper!r}, expected {kind!r} for the dataset {name!r}.")
        ignored = metadata.get("ignore_label", IGNORE_LABEL)
        if mapper in MAPPERS and ignored != IGNORE_LABEL:
            yield InputError(
                f"the dataset {name!r} has ignore_label {ignored} in its metadata, expected {IGNORE_LABEL}, what pixels without a "
                "label have in training: register it with that and say with sem_seg_codes, as datasets/README.md does, which "
                "numbers of its files are no label."
            )
        classes = metadata.get(TASKS.get(mapper, SEMANTIC).classes)
        if classes is None:
            continue
        if len(classes) != number_of_classes(cfg):
            yield InputError(
                f"{class_number_key(cfg)} is {number_of_classes(cfg)}, expected "
                f"{len(classes)}, the classes of the dataset {name!r} ({', '.join(classes)})."
            )
        if first is not None and list(classes) != first[1]:
            yield InputError(
                f"the classes of the dataset {name!r} are {', '.join(classes)}, expected those of "
                f"{first[0]!r}, {', '.join(first[1])}, in this order: a class is known by its position."
            )
        first = first or (name, list(classes))


def _check_values(datasets: Sequence[tuple[Sequence[dict], Sequence[str]]], modalities: ModalitySet) -> None:
    """Check the values of the sensors that are read of each dataset."""
    checked = []
    for samples, names in datasets:
        chosen = [modalities[name] for name in names]
        checked.append((read_windows([sample["modalities"] for sample in samples], chosen), chosen))
    # Errors first: they make the warnings pointless.
    for windows, chosen in checked:
        check_decibels(windows, chosen)
    for windows, chosen in checked:
        check_values(windows, chosen)


def _check_places(cfg: CfgNode, datasets: Sequence[tuple[Sequence[dict], Sequence[str]]], modalities: ModalitySet) -> None:
    """Check where the sensors that are read of each dataset lie on the ground."""
    if cfg.INPUT.ALIGN:
        grid_of = SampleReader(modalities, modalities.names, tolerant=True, align=True).grid
        for samples, names in datasets:
            looked_at = spread_evenly(samples)
            check_overlap(looked_at, names, grid_of)
            check_annotated(looked_at, modalities.names)
    elif not cfg.INPUT.IGNORE_PLACES:
        for samples, names in datasets:
            check_places(spread_evenly(samples), names)


def _check_truth(cfg: CfgNode, name: str, samples: Sequence[Mapping], is_test: bool) -> None:
    if is_test:
        check_labels(name, samples)
    metadata = MetadataCatalog.get(name)
    task = TASKS.get(metadata.get("evaluator_type") or cfg.INPUT.DATASET_MAPPER_NAME)
    classes = None if task is None else metadata.get(task.classes)
    if classes is None:
        return
    if task is INSTANCE:
        check_instances(name, samples, classes)
        if is_test:
            check_object_numbers(name, object_limits(cfg, is_test), samples)
        return
    found = count_labels(samples, len(classes), all_if_one=is_test)
    if is_test and found.looked == found.total:
        # Objects of one class are found one by one, so to predict that class everywhere is not perfect.
        allow = task is PANOPTIC or cfg.TEST.ALLOW_SINGLE_CLASS
        refuse_one_class(name, found.pixels, found.unlabeled > 0, classes, allow, found.tags)
    if is_test and task is PANOPTIC:
        check_object_numbers(name, object_limits(cfg, is_test=False), samples)  # of all queries, not of the best
    check_label_maps(name, found, classes)


def _warn_of_shared_files(train: Samples, test: Samples) -> None:
    trained = [sample for samples in train.values() for sample in samples]
    for name, samples in test.items():
        if shared := shared_samples(trained, samples):
            logger.warning(
                "%d of the %d images of %s have a raster or label map that DATASETS.TRAIN (%s) holds too, e.g. "
                "%s: a score on training data says nothing about other places.",
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
