"""A list of everything that is wrong with a copy of DFC2023."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from tabulate import tabulate

from imrsf_d2.data.datasets.coco import Unmarked, check_coco, read_images
from imrsf_d2.data.datasets.dfc2023 import CITIES, CLASSES, FOLDERS, LABELS, city_of, label_file, raster_folders
from imrsf_d2.preparation.dfc2023.layout import raster_names, track_folder
from imrsf_d2.preparation.dfc2023.raster_checks import Problem, check_tile
from imrsf_d2.utils.parallel import run_jobs

__all__ = ["Findings", "check_dfc2023"]


@dataclass(frozen=True)
class Findings:
    """What `check_dfc2023` found.

    Attributes:
        problems: sorted by file; a file can have several.
        files: number of rasters that were checked.
    """

    problems: list[Problem]
    files: int

    def __str__(self) -> str:
        if not self.problems:
            return f"{self.files} rasters and their labels checked: no problem found"
        table = tabulate(
            [[p.file, p.problem, p.expected] for p in self.problems],
            headers=["file", "problem", "expected"],
            tablefmt="plain",
            disable_numparse=True,
        )
        wrong = len({p.file for p in self.problems})
        return f"{table}\n\n{len(self.problems)} problems in {wrong} files; {self.files} rasters checked"


def check_dfc2023(source: str | os.PathLike, *, num_workers: int = 0, progress: bool = False) -> Findings:
    """Check every raster and the labels, without stopping at the first problem and without writing anything.

    A missing sensor is not a problem.

    Args:
        source: the folder that holds `track2`.
        num_workers: processes; 0 = all cores.
        progress: show a bar on the terminal.

    Raises:
        FileNotFoundError: if `source` holds no `track2`.
    """
    source = Path(source).expanduser()
    problems: list[Problem] = []
    sizes = _read_labels(source, problems)
    tiles: dict[str, dict[str, str]] = {}
    track = track_folder(source)
    folders, listed = raster_folders(track), raster_names(track)
    for modality in FOLDERS:
        if modality not in folders:
            problems.append(Problem(f"track2/train/{modality}", "no such folder", "a folder of GeoTIFFs"))
        for name in listed.get(modality, ()):
            tiles.setdefault(name, {})[modality] = os.fspath(folders[modality] / name)
    problems += _check_names(tiles, sizes, source)
    names = sorted(tiles)
    found = run_jobs(check_tile, [(tiles[name], (sizes or {}).get(name)) for name in names], num_workers, progress)
    for problem in (problem for tile in found for problem in tile):
        # GDAL's own words repeat the path, which the table has.
        text = problem.problem.replace(problem.file, Path(problem.file).name)
        problems.append(replace(problem, file=os.path.relpath(problem.file, source), problem=text))
    return Findings(sorted(problems, key=lambda problem: problem.file), sum(map(len, tiles.values())))


def _read_labels(source: Path, problems: list[Problem]) -> dict[str, tuple[int, int]] | None:
    """(height, width) of each labeled image, as far as the file can be read; None if it cannot."""
    try:
        path = label_file(track_folder(source))
    except FileNotFoundError:
        if not (source / "track2").is_dir():
            raise
        problems.append(Problem(f"track2/{LABELS[0]}", "no such file", "a COCO file of labels"))
        return None
    shown = os.path.relpath(path, source)
    try:
        unmarked = check_coco(path, CLASSES)
    except ValueError as error:
        unmarked = []
        problems.append(Problem(shown, str(error).replace(f"{path}: ", ""), "usable labels"))
    try:
        images = [(Path(image["file_name"]).name, (image["height"], image["width"])) for image in read_images(path)]
    except ValueError:  # already reported
        return None
    sizes = dict(images)
    for name, those in groupby(sorted(unmarked, key=_image_name), key=_image_name):
        first, *others = those
        marks = f"and {len(others)} more mark" if others else "marks"
        problems.append(
            Problem(
                shown,
                f"{first} {marks} no pixel of the image",
                "pixels within the {1} x {0} px of the image".format(*sizes[name]),
            )
        )
    for name, count in Counter(name for name, _ in images).items():
        if count > 1:
            problems.append(Problem(shown, f"{count} images named {name}", "one image for each tile"))
    return sizes


def _image_name(unmarked: Unmarked) -> str:
    return Path(unmarked.file_name).name


def _check_names(tiles: dict[str, dict[str, str]], sizes: dict | None, source: Path) -> list[Problem]:
    problems = []
    for name in sorted({*tiles, *(sizes or ())}):
        file = os.path.relpath(next(iter(tiles[name].values())), source) if name in tiles else name
        if name not in tiles:
            problems.append(Problem(file, "labels without a raster", f"a raster in one of {', '.join(FOLDERS)}"))
        elif sizes is not None and name not in sizes:
            problems.append(Problem(file, "a raster without labels", "an image of this name in the labels"))
        try:
            city_of(name)
        except ValueError:
            problems.append(Problem(file, "no labeled city in the name", f"one of {', '.join(CITIES)}"))
    return problems
