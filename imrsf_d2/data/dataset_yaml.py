"""Reading `dataset.yaml`, which checks all of it and opens no raster, and writing it."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from imrsf_d2.data.class_tables import read_class_table
from imrsf_d2.data.dataset_file import BACKGROUND, DATASET_FILE, STATISTICS_FILE, TILE, DatasetClass, DatasetFile, is_coco
from imrsf_d2.data.tasks import INSTANCE, PANOPTIC, PRETRAIN, SEMANTIC, TASKS
from imrsf_d2.modalities import Modality
from imrsf_d2.utils.atomic import write_text
from imrsf_d2.utils.errors import InputError, MissingFileError

__all__ = ["read_dataset_file", "write_dataset_file"]

KEYS = ("TASK", "ROOT", "MODALITIES", "LABELS", "CLASSES", "UNLABELED", "TILE_SIZE", "SPLITS")
CLASS_KEYS = ("NAME", "COLOR", "CODES", "THING")


def read_dataset_file(path: str | os.PathLike) -> DatasetFile:
    """Read a `dataset.yaml` and the statistics beside it.

    Args:
        path: of the file.

    Raises:
        MissingFileError: if it, or the file of a split, is missing.
        InputError: naming the file, the key, what was found and what was expected.
    """
    path = Path(path).expanduser().absolute()
    if not path.is_file():
        raise MissingFileError(
            f"no dataset file {path}, expected a {DATASET_FILE} as in datasets/README.md. If the dataset was moved, give its "
            "new place: --data DIR, or DATASETS.TRAIN and DATASETS.TEST."
        )
    file = _parse(_read_yaml(path), path)
    for name, split in file.splits.items():
        if isinstance(split, str) and not file.find(split).is_file():
            looked = f"{path.parent}" + (f" or {file.root}" if file.root != path.parent else "")
            raise MissingFileError(f"{path}: SPLITS: {name!r} is {split!r}, but there is no such file in {looked}.")
    return file


def write_dataset_file(file: DatasetFile) -> None:
    """Write a `dataset.yaml` to its path, whole or not at all; `measured` is not part of it."""
    lines = [f"TASK: {file.task}"]
    if file.root != file.path.parent:
        lines.append(f"ROOT: {_flow(os.fspath(file.root))}")
    lines.append("MODALITIES:")
    for entry in file.modalities:
        pattern = {"FILES": file.files[entry["NAME"]]} if entry["NAME"] in file.files else {}
        lines.append(f"  - {_flow({**_plain(entry), **pattern})}")
    if file.labels is not None:
        lines.append(f"LABELS: {_flow(file.labels)}")
    if file.classes:
        lines.append("CLASSES:")
    for label in file.classes:
        color = {} if label.color is None else {"COLOR": list(label.color)}
        thing = {"THING": True} if label.thing else {}
        lines.append(f"  - {_flow({'NAME': label.name, **color, 'CODES': list(label.codes), **thing})}")
    if file.unlabeled:
        lines.append(f"UNLABELED: {_flow(list(file.unlabeled))}")
    if file.tile_size is not None:
        lines.append(f"TILE_SIZE: {_flow(list(file.tile_size))}")
    lines.append("SPLITS:")
    lines += [f"  {_flow(name)}: {_flow(_plain(split))}" for name, split in file.splits.items()]
    write_text(file.path, "\n".join(lines) + "\n")


def _parse(content: Any, path: Path) -> DatasetFile:
    _expect(isinstance(content, Mapping), path, "the file", content, "keys and values as in datasets/README.md")
    _check_keys(content, KEYS, ("TASK", "MODALITIES", "SPLITS"), f"{path}")
    task = content["TASK"]
    tasks = [*(known.name for known in TASKS.values()), PRETRAIN]
    _expect(task in tasks, path, "TASK", task, f"one of {', '.join(tasks)}")
    splits = _splits(content["SPLITS"], path)
    coco = {name for name, split in splits.items() if is_coco(split)}
    if task in (INSTANCE.name, PANOPTIC.name) and coco != set(splits):
        other = next(name for name in splits if name not in coco)
        raise InputError(f"{path}: SPLITS: {other!r} is no COCO file (.json), expected one for TASK: {task}.")
    if coco and coco != set(splits):
        raise InputError(f"{path}: SPLITS: {sorted(coco)} are COCO files and the others are not, expected all or none.")
    modalities, files = _modalities(content["MODALITIES"], path)
    labels = content.get("LABELS")
    if task == PANOPTIC.name:
        folder = isinstance(labels, str) and labels != "" and TILE not in labels
        _expect(folder, path, "LABELS", labels, "the folder of the panoptic PNGs, which the COCO files name")
    elif labels is not None:
        _check_pattern(labels, path, "LABELS")
        if coco or task != SEMANTIC.name:
            found = "COCO splits" if task != PRETRAIN else "TASK: pretrain"
            raise InputError(
                f"{path}: LABELS is {labels!r} together with {found}, expected no LABELS: they would not be read."
            )
    csv = [name for name, split in splits.items() if isinstance(split, str) and split.lower().endswith(".csv")]
    if len(csv) < len(splits):  # CSV files may have all paths in them
        for entry in modalities:
            if entry["NAME"] not in files:
                raise InputError(f"{path}: MODALITIES: {entry['NAME']!r} has no FILES, expected e.g. 'S1/{TILE}.tif'.")
        if task == SEMANTIC.name and labels is None and not coco:
            raise InputError(f"{path} has no LABELS, expected the path of the label rasters, e.g. 'labels/{TILE}.tif'.")
    root = content.get("ROOT", path.parent)
    _expect(isinstance(root, (str, Path)) and root != "", path, "ROOT", root, "a folder")
    root = Path(os.path.normpath(path.parent / Path(root).expanduser()))
    unlabeled = _numbers(content.get("UNLABELED", []), path, "UNLABELED")
    classes = content.get("CLASSES")
    if isinstance(classes, str) and task != PRETRAIN:
        classes, more = _table_classes(classes, path, root)
        unlabeled = tuple(dict.fromkeys((*unlabeled, *more)))
    else:
        classes = _classes(classes, task, bool(coco), path)
    if unlabeled and (coco or task == PRETRAIN):
        raise InputError(f"{path}: UNLABELED is {list(unlabeled)}, expected none: it is about the values of label rasters.")
    _check_codes(classes, unlabeled, path)
    size = content.get("TILE_SIZE")
    if size is not None:
        pair = isinstance(size, list) and len(size) == 2 and all(type(side) is int and side > 0 for side in size)
        _expect(pair, path, "TILE_SIZE", size, "[height, width] in px, e.g. [256, 256]")
    return DatasetFile(
        path,
        root,
        task,
        modalities,
        files,
        labels,
        classes,
        unlabeled,
        splits,
        None if size is None else (size[0], size[1]),
        _read_statistics(path, modalities),
    )


def _modalities(content: Any, path: Path) -> tuple[tuple[dict[str, Any], ...], dict[str, str]]:
    _expect(
        isinstance(content, list) and content != [], path, "MODALITIES", content, "a list, e.g. of {NAME: s1, FILES: ...}"
    )
    entries, files = [], {}
    for item in content:
        _expect(isinstance(item, Mapping), path, "MODALITIES", item, "a mapping, e.g. {NAME: s1, FILES: ...}")
        entry = {key: value for key, value in item.items() if key != "FILES"}
        where = f"MODALITIES: {entry.get('NAME')!r}"
        try:
            modality = Modality.from_mapping(entry)
        except InputError as error:
            text = str(error).replace("MODEL.IMRSF.MODALITIES: ", "", 1)
            raise InputError(f"{path}: MODALITIES: {text}") from error
        if ("MEAN" in entry) != ("STD" in entry):
            raise InputError(f"{path}: {where} has only one of MEAN and STD, expected both or none.")
        entries.append(entry)
        if "FILES" in item:
            _check_pattern(item["FILES"], path, f"{where}: FILES")
            files[modality.name] = item["FILES"]
    _check_distinct([entry["NAME"] for entry in entries], path, "MODALITIES")
    return tuple(entries), files


def _classes(content: Any, task: str, coco: bool, path: Path) -> tuple[DatasetClass, ...]:
    if task == PRETRAIN:
        if content is not None:
            raise InputError(f"{path} has CLASSES together with TASK: pretrain, expected none: nothing is labeled.")
        return ()
    example = "a list, e.g. of {NAME: water, CODES: [1]}, or the name or path of a class table"
    _expect(isinstance(content, list) and 0 < len(content) < 255, path, "CLASSES", content, example)
    classes = []
    for index, item in enumerate(content):
        _expect(isinstance(item, Mapping), path, "CLASSES", item, "a mapping, e.g. {NAME: water, CODES: [1]}")
        _check_keys(item, CLASS_KEYS, ("NAME",), f"{path}: CLASSES: {dict(item)}")
        name, color = item["NAME"], item.get("COLOR")
        _expect(isinstance(name, str) and name.strip() != "", path, "CLASSES: NAME", name, "a text (numbers in quotes)")
        if color is not None:
            triple = isinstance(color, list) and len(color) == 3 and all(type(v) is int and 0 <= v < 256 for v in color)
            _expect(triple, path, f"CLASSES: {name!r}: COLOR", color, "[red, green, blue] from 0 to 255")
        codes = _numbers(item.get("CODES", [index + 1 if coco else index]), path, f"CLASSES: {name!r}: CODES")
        _expect(codes != (), path, f"CLASSES: {name!r}: CODES", [], "one number or more")
        thing = item.get("THING", False)
        _expect(type(thing) is bool, path, f"CLASSES: {name!r}: THING", thing, "true or false")
        if "THING" in item and task != PANOPTIC.name:
            raise InputError(
                f"{path}: CLASSES: {name!r} has THING together with TASK: {task}, expected it for panoptic alone."
            )
        classes.append(DatasetClass(name, None if color is None else (color[0], color[1], color[2]), codes, thing))
    names = [label.name for label in classes]
    _check_distinct(names, path, "CLASSES")
    if coco and task == SEMANTIC.name and BACKGROUND in names:
        raise InputError(
            f"{path}: CLASSES has {BACKGROUND!r}, expected the categories of the COCO files alone: what no object covers "
            "becomes the background."
        )
    return tuple(classes)


def _table_classes(table: str, path: Path, root: Path) -> tuple[tuple[DatasetClass, ...], tuple[int, ...]]:
    """The classes of a class table, and its codes that mean "not labeled"."""
    found = next((folder / table for folder in (path.parent, root) if (folder / table).is_file()), None)
    try:
        content = read_class_table(found or table)
        classes = tuple(DatasetClass(row.name, row.color, content.numbers(row.codes)) for row in content.rows)
        return classes, content.numbers(content.unlabeled)
    except MissingFileError as error:
        raise MissingFileError(f"{path}: CLASSES: {error}") from error
    except InputError as error:
        raise InputError(f"{path}: CLASSES: {error}") from error


def _check_codes(classes: Sequence[DatasetClass], unlabeled: Sequence[int], path: Path) -> None:
    meanings: dict[int, str] = {}
    for meaning, codes in [*((repr(label.name), label.codes) for label in classes), ("UNLABELED", unlabeled)]:
        for code in codes:
            if code in meanings:
                raise InputError(
                    f"{path}: the code {code} belongs to {meanings[code]} and to {meaning}, expected one of them: give "
                    "CODES or UNLABELED that differ."
                )
            meanings[code] = meaning


def _splits(content: Any, path: Path) -> dict[str, str | tuple[str, ...]]:
    example = "e.g. {train: train.txt, val: val.txt}"
    _expect(isinstance(content, Mapping) and len(content) > 0, path, "SPLITS", content, example)
    splits: dict[str, str | tuple[str, ...]] = {}
    for name, tiles in content.items():
        _expect(
            isinstance(name, str) and re.fullmatch(r"[^:/\\\s]+", name) is not None, path, "SPLITS", name, "a short name"
        )
        if isinstance(tiles, list):
            _expect(tiles != [], path, f"SPLITS: {name!r}", tiles, "the names of tiles")
            for tile in tiles:
                _expect(isinstance(tile, str) and tile != "", path, f"SPLITS: {name!r}", tile, "names (numbers in quotes)")
            splits[name] = tuple(tiles)
        else:
            _expect(
                isinstance(tiles, str) and tiles != "", path, f"SPLITS: {name!r}", tiles, "a file, or a list of tile names"
            )
            splits[name] = tiles
    return splits


def _read_statistics(path: Path, modalities: Sequence[Mapping]) -> dict[str, dict[str, list[float]]]:
    """The statistics beside a dataset file, checked against its modalities."""
    statistics = path.with_name(STATISTICS_FILE)
    if not statistics.is_file():
        return {}
    content = _read_yaml(statistics)
    _expect(isinstance(content, Mapping), statistics, "the file", content, "{NAME: {MEAN: [...], STD: [...]}}")
    entries = {entry["NAME"]: entry for entry in modalities}
    for name, item in content.items():
        _expect(name in entries, statistics, "the name of a modality", name, f"one of {list(entries)} as in {path}")
        if not isinstance(item, Mapping) or set(item) != {"MEAN", "STD"}:
            raise InputError(f"{statistics}: {name!r} is {item!r}, expected {{MEAN: [...], STD: [...]}}.")
        if "MEAN" in entries[name]:
            raise InputError(
                f"{path} has MEAN and STD of {name!r}, and so has {statistics}, expected one of them: delete the one that is out "
                "of date."
            )
        try:
            Modality.from_mapping({**entries[name], **item})
        except InputError as error:
            raise InputError(f"{statistics}: {error} Delete this file, and measure anew.") from error
    return {name: {key: list(item[key]) for key in ("MEAN", "STD")} for name, item in content.items()}


class _Loader(yaml.SafeLoader):
    """Refuses a key that is given twice, of which YAML would take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(
                    problem=f"the key {key!r} is given twice", problem_mark=node.start_mark
                )
        return super().construct_mapping(node, deep)


def _read_yaml(path: Path) -> Any:
    try:
        with open(path, encoding="utf-8") as file:
            return yaml.load(file, _Loader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as YAML: {' '.join(str(error).split())}.") from error


def _check_keys(found: Mapping, known: Sequence[str], needed: Sequence[str], where: str) -> None:
    for key in found:
        if key not in known:
            raise InputError(f"{where} has the unknown key {key!r}, expected some of {', '.join(known)}.")
    for key in needed:
        if key not in found:
            raise InputError(f"{where} has no {key}, expected {', '.join(needed)}.")


def _check_pattern(pattern: Any, path: Path, key: str) -> None:
    _expect(
        isinstance(pattern, str) and TILE in pattern, path, key, pattern, f"a path with {TILE} in it, e.g. 'S1/{TILE}.tif'"
    )
    if others := set(re.findall(r"\{[^{}]*\}", pattern)) - {TILE}:
        raise InputError(
            f"{path}: {key} is {pattern!r}, expected {TILE} alone: nothing is put in the place of {min(others)}."
        )


def _check_distinct(names: Sequence[str], path: Path, key: str) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise InputError(f"{path}: {key} has {name!r} {count} times, expected each name once.")


def _numbers(content: Any, path: Path, key: str) -> tuple[int, ...]:
    whole = isinstance(content, list) and all(type(value) is int for value in content)
    _expect(whole, path, key, content, "a list of whole numbers, e.g. [0, 255]")
    return tuple(content)


def _expect(met: bool, path: Path, key: str, found: object, expected: str) -> None:
    if not met:
        raise InputError(f"{path}: {key} is {found!r}, expected {expected}.")


def _plain(value: Any) -> Any:
    """With lists in the place of tuples, which YAML does not know."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (tuple, list)) else value


def _flow(value: Any) -> str:
    """A value on one line of YAML."""
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=float("inf"), allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")
