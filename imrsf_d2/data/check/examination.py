"""Everything about some datasets, from one pass over their files."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog

from imrsf_d2.data.check import kinds
from imrsf_d2.data.check.files import LABELS, FileFacts, inferred_modality
from imrsf_d2.data.check.findings import Finding, Group, group
from imrsf_d2.data.check.labels import (
    ClassCounts,
    ObjectCounts,
    class_findings,
    count_classes,
    count_objects,
    object_findings,
)
from imrsf_d2.data.check.plan import Plan
from imrsf_d2.data.check.sensors import pixel_size_findings, sensor_findings
from imrsf_d2.data.check.splits import find_orphans, overlapping_tiles, same_pixels, sensor_subsets, shared_files
from imrsf_d2.data.check.tiles import TileExaminer, TileFacts
from imrsf_d2.data.dataset_checks import find_task_problems
from imrsf_d2.data.dataset_file import is_folder_name, measure_command, split_name
from imrsf_d2.data.datasets.folder import load_folder, register_folder
from imrsf_d2.data.mappers import PRETRAIN_MAPPER
from imrsf_d2.data.object_limits import object_limits
from imrsf_d2.data.sample_checks import count_sensors, find_problems, padding_share, sample_files
from imrsf_d2.data.tasks import INSTANCE, PANOPTIC, TASKS, Task
from imrsf_d2.geo.gdal import RasterError
from imrsf_d2.modalities import Modality, ModalitySet
from imrsf_d2.utils.errors import InputError, UserError, is_user_error, percent
from imrsf_d2.utils.parallel import run_jobs

__all__ = ["Dataset", "Examination", "examine"]

#: Values of each band that are kept of all files together, and the least and most of one.
VALUES, LEAST, MOST = 200_000, 4, 256
#: Fewer files than this are read sooner than other processes are started.
FEW_FILES = 100


@dataclass
class Dataset:
    """One dataset, and what was found in it.

    Attributes:
        name: as registered.
        title: short, as in tables.
        is_test: whether models are scored on it.
        task: what its labels are; None without labels.
        samples: dataset dicts.
        tiles: what was found of each.
        subsets: how many tiles have each subset of the sensors.
        classes, objects: of its labels, if there are any.
    """

    name: str
    title: str
    is_test: bool
    task: Task | None = None
    samples: list[dict] = field(default_factory=list)
    tiles: list[TileFacts] = field(default_factory=list)
    subsets: Counter[tuple[str, ...]] = field(default_factory=Counter)
    classes: ClassCounts | None = None
    objects: ObjectCounts | None = None


@dataclass(frozen=True)
class Examination:
    """What was found.

    Args:
        datasets: in the order of the plan.
        modalities: that were looked for.
        groups: everything that is wrong, problems first.
    """

    datasets: Sequence[Dataset]
    modalities: ModalitySet
    groups: Sequence[Group]

    @property
    def problems(self) -> int:
        """How many groups are problems."""
        return sum(found.kind.is_problem for found in self.groups)

    def files(self, name: str, dataset: Dataset | None = None) -> list[FileFacts]:
        """The files of a sensor, or label maps, that could be opened.

        Args:
            name: of the sensor; LABELS.
            dataset: only of this one.
        """
        tiles = [tile for one in ([dataset] if dataset else self.datasets) for tile in one.tiles]
        if name == LABELS:
            return [tile.labels.file for tile in tiles if tile.labels is not None]
        return [tile.files[name] for tile in tiles if name in tile.files]


def examine(plan: Plan, num_workers: int = 0, progress: bool = False) -> Examination:
    """Read every file of some datasets once.

    Args:
        plan: which.
        num_workers: processes; 0 = all cores.
        progress: show a bar on the terminal.

    Raises:
        InputError: if there is nothing to look at.
    """
    findings: list[Finding] = []
    datasets = [_load(name, name in plan.tested, plan.cfg, findings) for name in (*plan.trained, *plan.tested)]
    titles = _titles([dataset.name for dataset in datasets])
    for dataset in datasets:
        dataset.title = titles[dataset.name]
    findings = [replace(found, dataset=titles.get(found.dataset, found.dataset)) for found in findings]
    modalities = plan.modalities or _inferred(datasets, findings)
    if plan.cfg is not None:
        loaded = [dataset.name for dataset in datasets if dataset.samples]
        findings += [Finding(kinds.CONFIG, "", "", str(problem)) for problem in find_task_problems(plan.cfg, loaded)]
    for dataset in datasets:
        findings += _sample_findings(dataset, modalities)
        dataset.subsets = sensor_subsets(dataset.samples, modalities.names)
    findings += _missing_sensors(datasets, modalities.names)
    _examine_tiles(plan, datasets, modalities, num_workers, progress)
    for dataset in datasets:
        findings += [replace(found, dataset=dataset.title) for tile in dataset.tiles for found in tile.findings]
        findings += _label_findings(dataset, plan.cfg)
        findings += _padding(dataset, plan.cfg) if plan.crop_named else []
    findings += _unmeasured(plan)
    examination = Examination(datasets, modalities, ())
    for modality in modalities:
        findings += sensor_findings(modality, examination.files(modality.name), modality.name in plan.measured)
    findings += pixel_size_findings(tile.grid for one in datasets for tile in one.tiles if tile.grid is not None)
    findings += _common(datasets, plan.complete)
    return replace(examination, groups=group(findings))


def _load(name: str, is_test: bool, cfg: CfgNode | None, findings: list[Finding]) -> Dataset:
    dataset = Dataset(name, name, is_test)
    try:
        if is_folder_name(name):
            problems: list[UserError] = []
            dataset.samples = load_folder(register_folder(name), split_name(name)[1], problems.append)
            looked_at = {path for sample in dataset.samples for _, path in sample_files(sample)}
            # A file that cannot be read is found again when it is.
            problems = [error for error in problems if not (isinstance(error, RasterError) and error.path in looked_at)]
            findings += [Finding(kinds.SAMPLES, "", "", str(problem), dataset=name) for problem in problems]
        else:
            dataset.samples = list(DatasetCatalog.get(name))
    except Exception as error:
        if not is_user_error(error):
            raise
        findings.append(Finding(kinds.NOT_LOADED, "", "", str(error), dataset=name))
    mapper = "" if cfg is None else cfg.INPUT.DATASET_MAPPER_NAME
    if mapper != PRETRAIN_MAPPER:
        dataset.task = TASKS.get(MetadataCatalog.get(name).get("evaluator_type") or mapper)
    return dataset


def _titles(names: Sequence[str]) -> dict[str, str]:
    """Short names that differ: train and val of "DIR/dataset.yaml:train" and "DIR/dataset.yaml:val"."""
    prefix = os.path.commonprefix(list(names)) if len(set(names)) > 1 else "".join(names[0].rpartition(":")[:2])
    start = max(prefix.rfind(mark) for mark in ":_/") + 1
    return {name: name[start:] for name in names}


def _inferred(datasets: Sequence[Dataset], findings: list[Finding]) -> ModalitySet:
    """The sensors as the first file of each has them."""
    found: dict[str, Modality] = {}
    paths = [sample["modalities"] for dataset in datasets for sample in dataset.samples if "modalities" in sample]
    for files in paths:
        for name, path in files.items():
            if path is not None and name not in found:
                try:
                    found[name] = inferred_modality(name, path)
                except RasterError:
                    continue  # reported when it is read
    if not found:
        problems = " ".join(finding.found for finding in findings)
        raise InputError(f"there is nothing to check: no raster of any dataset can be opened. {problems}".rstrip())
    return ModalitySet(found.values())


def _sample_findings(dataset: Dataset, modalities: ModalitySet) -> list[Finding]:
    if not dataset.samples:
        return []
    problems = [str(problem) for problem in find_problems(dataset.samples, modalities.names, [dataset.title])]
    dataset.samples = [sample for sample in dataset.samples if "modalities" in sample]
    return [Finding(kinds.SAMPLES, "", "", problem, dataset=dataset.title) for problem in problems]


def _missing_sensors(datasets: Sequence[Dataset], names: Sequence[str]) -> list[Finding]:
    findings = []
    counts = {dataset.name: count_sensors(dataset.samples) for dataset in datasets if dataset.samples}
    loaded = [dataset for dataset in datasets if dataset.name in counts]
    trained = [dataset for dataset in loaded if not dataset.is_test]
    for name in names:
        there = [dataset for dataset in loaded if counts[dataset.name][name]]
        if loaded and not there:
            findings += [
                Finding(kinds.NO_SENSOR, name, "", f"0 of {len(one.samples)} tiles", dataset=one.title) for one in loaded
            ]
        elif trained and not any(dataset in there for dataset in trained):
            findings += [
                Finding(
                    kinds.NOT_TRAINED, name, "", f"{counts[one.name][name]} of {len(one.samples)} tiles", dataset=one.title
                )
                for one in there
            ]
    return findings


def _examine_tiles(
    plan: Plan, datasets: Sequence[Dataset], modalities: ModalitySet, num_workers: int, progress: bool
) -> None:
    """Fill in what is found of each tile."""
    owners = [dataset for dataset in datasets for _ in dataset.samples]
    files = sum(len(sample["modalities"]) for dataset in datasets for sample in dataset.samples)
    wanted = min(max(VALUES // max(len(owners), 1), LEAST), MOST)
    align, ignore = (plan.cfg.INPUT.ALIGN, plan.cfg.INPUT.IGNORE_PLACES) if plan.cfg is not None else (False, False)
    # The datasets of one config may have several tasks, which is a finding of its own, or none where one was not loaded.
    jobs = []
    for dataset in datasets:
        examiner = TileExaminer(tuple(modalities), dataset.task, align, ignore, wanted)
        jobs += [(examiner, sample) for sample in dataset.samples]
    facts = run_jobs(_examine_tile, jobs, 1 if files < FEW_FILES else num_workers, progress, unit="tile")
    for dataset, tile in zip(owners, facts, strict=True):
        dataset.tiles.append(tile)


def _examine_tile(job: tuple[TileExaminer, dict]) -> TileFacts:
    examiner, sample = job
    return examiner(sample)


def _label_findings(dataset: Dataset, cfg: CfgNode | None) -> list[Finding]:
    if dataset.task is None or not dataset.samples:
        return []
    classes = MetadataCatalog.get(dataset.name).get(dataset.task.classes)
    if classes is None:
        return []
    title, tiles, is_test = dataset.title, dataset.tiles, dataset.is_test
    if dataset.task is INSTANCE:
        dataset.objects = count_objects(tiles, dict(enumerate(classes)))
        limits = {} if cfg is None else object_limits(cfg, is_test)
        return list(object_findings(title, dataset.samples, tiles, dataset.objects, is_test, limits))
    dataset.classes = count_classes(dataset.samples, tiles, classes)
    if dataset.task is PANOPTIC:
        things = sorted(set(MetadataCatalog.get(dataset.name).thing_dataset_id_to_contiguous_id.values()))
        dataset.objects = count_objects(tiles, {index: classes[index] for index in things})
    # Objects of one class are found one by one, so to predict that class everywhere is not perfect.
    allow = dataset.task is PANOPTIC or (cfg is not None and cfg.TEST.ALLOW_SINGLE_CLASS)
    return list(class_findings(title, dataset.classes, is_test, allow))


def _padding(dataset: Dataset, cfg: CfgNode | None) -> list[Finding]:
    if cfg is None or dataset.is_test or not dataset.samples:
        return []
    crop = cfg.INPUT.CROP
    if not crop.ENABLED or crop.TYPE != "absolute" or len(crop.SIZE) != 2:
        return []
    sizes = [(sample["height"], sample["width"]) for sample in dataset.samples]
    if not (share := padding_share(sizes, crop.SIZE, cfg.INPUT.SCALE_JITTER)):
        return []
    height, width = min(sizes)
    text = f"{percent(share)} of the pixels will be padding: the smallest tile is {width} x {height} px"
    return [Finding(kinds.PADDING, "", "", text, f"INPUT.CROP.SIZE {list(crop.SIZE)} or more", dataset.title)]


def _unmeasured(plan: Plan) -> list[Finding]:
    """The sensors that `imrsf statistics` has still to measure before training."""
    name = next(filter(is_folder_name, (*plan.trained, *plan.tested)), None)
    if name is None or not plan.unmeasured:
        return []
    remedy = kinds.NO_STATISTICS.remedy.format(command=measure_command(name))
    kind = replace(kinds.NO_STATISTICS, remedy=remedy)
    return [Finding(kind, "", "", modality) for modality in plan.unmeasured]


def _common(datasets: Sequence[Dataset], complete: bool) -> list[Finding]:
    """What splits share, and what belongs to none."""

    def chosen(is_test: bool) -> tuple[dict[str, list[dict]], dict[str, list[TileFacts]]]:
        these = [dataset for dataset in datasets if dataset.is_test is is_test]
        return {one.title: one.samples for one in these}, {one.title: one.tiles for one in these}

    (trained, trained_tiles), (tested, tested_tiles) = chosen(False), chosen(True)
    ids = {one.title: [sample["image_id"] for sample in one.samples] for one in datasets}
    shared = shared_files(trained, tested)
    known = {(finding.dataset, finding.file) for finding in shared}
    overlap = overlapping_tiles(trained_tiles, tested_tiles, ids)
    findings = shared + [finding for finding in overlap if (finding.dataset, finding.file) not in known]
    findings += same_pixels(trained_tiles, tested_tiles)
    everything: Mapping[str, Sequence[Mapping]] = {**trained, **tested}
    return findings + (find_orphans(everything) if complete else [])
