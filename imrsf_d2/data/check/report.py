"""An examination as text for people, and as data for machines."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from tabulate import tabulate

from imrsf_d2.data.check.examination import Dataset, Examination
from imrsf_d2.data.check.files import LABELS, FileFacts
from imrsf_d2.data.check.findings import Finding, Group
from imrsf_d2.data.check.sensors import pixel_size, usual
from imrsf_d2.data.sample_checks import sample_files
from imrsf_d2.geo.decibel import to_db
from imrsf_d2.geo.rasters import size_text
from imrsf_d2.modalities import Modality, subset_label
from imrsf_d2.utils.errors import counted, percent

__all__ = ["as_data", "as_text"]

#: Files of a kind that are shown, and lines about a whole dataset, each of which says something else.
SHOWN, SHOWN_OF_ALL = 3, 12
WIDTH = 120


def as_text(examination: Examination) -> str:
    """The report: what there is in tables, then what is wrong, most serious first, and how to go on."""
    root = _root(examination)
    tables = [_sensor_table(examination), _subset_table(examination), _class_table(examination), _object_table(examination)]
    parts = [_headline(examination, root), *filter(None, tables)]
    problems = [found for found in examination.groups if found.kind.is_problem]
    remarks = [found for found in examination.groups if not found.kind.is_problem]
    for title, groups in (("PROBLEMS", problems), ("REMARKS (these may be as they should be)", remarks)):
        if groups:
            parts.append("\n".join([title, *(_group_text(number, found, root) for number, found in enumerate(groups, 1))]))
    if not problems:
        parts.append("No problem found.")
    return "\n\n".join(parts)


def as_data(examination: Examination) -> dict[str, Any]:
    """The same, complete, for JSON."""
    return {
        "problems": [_group_data(found) for found in examination.groups if found.kind.is_problem],
        "remarks": [_group_data(found) for found in examination.groups if not found.kind.is_problem],
        "datasets": {dataset.name: _dataset_data(examination, dataset) for dataset in examination.datasets},
    }


# --- text


def _headline(examination: Examination, root: str) -> str:
    tiles = sum(len(dataset.samples) for dataset in examination.datasets)
    files = sum(len(examination.files(name)) for name in (*examination.modalities.names, LABELS))
    counts = ", ".join(f"{dataset.title} {len(dataset.samples)}" for dataset in examination.datasets)
    lines = [
        f"Read {counted(files, 'raster')} of {counted(tiles, 'tile')} ({counts})" + (f", below {root}." if root else ".")
    ]
    systems = usual(
        _system(tile.grid) for one in examination.datasets for tile in one.tiles if tile.grid and tile.grid.located
    )
    if systems:
        sizes = usual(
            pixel_size(tile.grid) for one in examination.datasets for tile in one.tiles if tile.grid and tile.grid.located
        )
        lines.append(f"Coordinate systems of the tiles: {systems}. Pixels: {sizes}.")
    return "\n".join(lines)


def _sensor_table(examination: Examination) -> str:
    rows = []
    for modality in examination.modalities:
        files = examination.files(modality.name)
        rows.append(
            [modality.name, *_file_counts(examination, modality.name), *_file_texts(files), _value_text(modality, files)]
        )
    if labels := examination.files(LABELS):
        rows.append([LABELS, *_file_counts(examination, LABELS), *_file_texts(labels), ""])
    headers = ["sensor", *_titles(examination), "bands", "type", "size", "no-data", "valid", "values (5 to 95 %)"]
    return _table(rows, headers)


def _file_counts(examination: Examination, name: str) -> list[str]:
    return [str(len(examination.files(name, dataset))) for dataset in examination.datasets]


def _file_texts(files: Sequence[FileFacts]) -> list[str]:
    pixels = sum(file.pixels for file in files)
    return [
        _most([_band_text(file) for file in files]),
        _most([", ".join(file.dtypes) for file in files]),
        _most([size_text(file.grid.shape) for file in files]),
        _most([", ".join(file.no_data) or "none" for file in files]),
        percent(sum(file.valid for file in files) / pixels) if pixels else "",
    ]


def _band_text(file: FileFacts) -> str:
    names = [name for name in file.bands if name]
    if len(set(names)) < len(file.bands) or not names:
        return str(len(file.bands))
    names = [repr(name) for name in names]
    return f"{len(names)} named {', '.join(names) if len(names) <= 4 else f'{names[0]} ... {names[-1]}'}"


def _most(texts: Sequence[str]) -> str:
    """The most frequent text, and of how many files, if there are others."""
    if not texts:
        return ""
    first = max(dict.fromkeys(texts), key=texts.count)
    count = texts.count(first)
    return first + (f" in {count} of {len(texts)} files" if count < len(texts) else "")


def _value_text(modality: Modality, files: Sequence[FileFacts]) -> str:
    if modality.categorical:
        return f"{modality.classes} classes"
    kept = [file.values for file in files if file.values is not None and file.values.size]
    if not kept:
        return ""
    values = np.concatenate(kept, axis=1)
    if modality.transform == "db":
        with np.errstate(invalid="ignore", divide="ignore"):
            values = to_db(values)
        values = values[:, np.isfinite(values).all(axis=0)]
        if not values.size:
            return ""
    low, high = np.quantile(values, (0.05, 0.95))
    return f"{low:.4g} to {high:.4g}" + (" dB" if modality.in_decibels else "")


def _subset_table(examination: Examination) -> str:
    names = examination.modalities.names
    subsets = sorted({subset for one in examination.datasets for subset in one.subsets}, key=lambda s: (-len(s), s))
    if subsets in ([], [names]):
        return ""
    rows = [
        [subset_label(subset) or "none", *(str(one.subsets[subset]) for one in examination.datasets)] for subset in subsets
    ]
    return _table(rows, ["sensors of a tile", *_titles(examination)])


def _class_table(examination: Examination) -> str:
    tables = [(one.title, one.classes) for one in examination.datasets if one.classes is not None and one.classes.maps]
    if not tables:
        return ""
    rows = []
    for index, name in enumerate(tables[0][1].classes):
        row = [name]
        for _, found in tables:
            share = found.pixels[index] / max(int(found.pixels.sum()), 1)
            row.append(f"{percent(share)} ({found.tiles[index]})")
        rows.append(row)
    rows.append(["not labeled, of all pixels", *(percent(found.unlabeled / _all_pixels(found)) for _, found in tables)])
    if any(found.unknown for _, found in tables):
        unknown = (sum(pixels for pixels, _, _ in found.unknown.values()) for _, found in tables)
        rows.append(["unknown codes", *(percent(n / _all_pixels(found)) for n, (_, found) in zip(unknown, tables))])
    return _table(rows, ["share of the labeled pixels (tiles)", *(title for title, _ in tables)])


def _all_pixels(found) -> int:
    return max(int(found.pixels.sum()) + found.unlabeled + sum(pixels for pixels, _, _ in found.unknown.values()), 1)


def _object_table(examination: Examination) -> str:
    tables = [(one.title, one.objects) for one in examination.datasets if one.objects is not None]
    if not tables:
        return ""
    rows = [["objects", *(str(int(found.objects.sum())) for _, found in tables)]]
    if len(tables[0][1].classes) > 1:
        for index, name in enumerate(tables[0][1].classes):
            rows.append([f"  {name}", *(str(found.objects[index]) for _, found in tables)])
    rows.append(["per tile: median, 95 %, most", *(_spread(found.per_tile) for _, found in tables)])
    rows.append(["tiles without any", *(str(int((found.per_tile == 0).sum())) for _, found in tables)])
    rows.append(["size in px: 5 %, median, 95 %", *(_sizes(found.areas) for _, found in tables)])
    return _table(rows, ["", *(title for title, _ in tables)])


def _spread(numbers: np.ndarray) -> str:
    return "{:.0f}, {:.0f}, {:.0f}".format(*np.quantile(numbers, (0.5, 0.95, 1))) if numbers.size else ""


def _sizes(areas: np.ndarray) -> str:
    return "{:.0f}, {:.0f}, {:.0f}".format(*np.quantile(areas, (0.05, 0.5, 0.95))) if areas.size else ""


def _group_text(number: int, found: Group, root: str) -> str:
    count = len(found.findings)
    title = f"{counted(count, found.kind.noun)} {found.kind.title}" if found.kind.noun else found.kind.title
    where = f"{found.where}: " if found.where else ""
    there = ", ".join(f"{name} {amount}" for name, amount in found.datasets.items())
    by_dataset = any(not finding.file for finding in found.findings)  # then each line names its own
    lines = [f"{number}. {where}{title}" + (f" ({there})" if there and not by_dataset else "")]
    most = SHOWN_OF_ALL if by_dataset else SHOWN
    lines += [_wrapped(_line(finding, root), "     ", "       ") for finding in found.findings[:most]]
    if count > most:
        lines.append(f"     and {count - most} more")
    if found.kind.remedy:
        lines.append(_wrapped(found.kind.remedy, "   > ", "     "))
    return "\n".join(lines)


def _line(finding: Finding, root: str) -> str:
    start = finding.file or finding.dataset
    text = ": ".join(filter(None, [start, finding.found])) + (f", expected {finding.expected}" if finding.expected else "")
    return text.replace(root + os.sep, "") if root else text


def _wrapped(text: str, first: str, rest: str) -> str:
    return textwrap.fill(
        text, WIDTH, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )


def _table(rows: Iterable[Sequence[str]], headers: Sequence[str]) -> str:
    return tabulate(rows, headers=headers, tablefmt="simple", disable_numparse=True)


def _titles(examination: Examination) -> list[str]:
    return [dataset.title for dataset in examination.datasets]


def _system(grid) -> str:
    return f"EPSG:{code}" if (code := grid.crs.to_epsg()) else grid.crs.to_string()[:40]


def _root(examination: Examination) -> str:
    """The folder that all files are in; empty if there is none."""
    folders = {
        os.path.dirname(os.path.abspath(path))
        for dataset in examination.datasets
        for sample in dataset.samples
        for _, path in sample_files(sample)
    }
    if not folders:
        return ""
    try:
        common = os.path.commonpath(folders)
    except ValueError:  # on several drives
        return ""
    return common if common.count(os.sep) > 1 else ""


# --- data


def _group_data(found: Group) -> dict[str, Any]:
    return {
        "kind": found.kind.name,
        "what": f"{found.kind.noun} {found.kind.title}".strip(),
        "sensor": found.where or None,
        "count": len(found.findings),
        "remedy": found.kind.remedy or None,
        "findings": [
            {
                "file": finding.file or None,
                "dataset": finding.dataset or None,
                "found": finding.found,
                "expected": finding.expected or None,
            }
            for finding in found.findings
        ],
    }


def _dataset_data(examination: Examination, dataset: Dataset) -> dict[str, Any]:
    data: dict[str, Any] = {
        "tiles": len(dataset.samples),
        "files": {name: len(examination.files(name, dataset)) for name in (*examination.modalities.names, LABELS)},
        "subsets": {subset_label(subset) or "none": count for subset, count in dataset.subsets.items()},
    }
    if (found := dataset.classes) is not None:
        data["classes"] = {
            name: {"pixels": int(pixels), "tiles": int(tiles)}
            for name, pixels, tiles in zip(found.classes, found.pixels, found.tiles, strict=True)
        }
        data["unlabeled_pixels"] = found.unlabeled
        data["unknown_codes"] = {f"{code:.10g}": pixels for code, (pixels, _, _) in found.unknown.items()}
    if (objects := dataset.objects) is not None:
        data["objects"] = dict(zip(objects.classes, objects.objects.tolist(), strict=True))
        data["objects_per_tile"] = objects.per_tile.tolist()
    return data
